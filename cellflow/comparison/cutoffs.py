"""Minimum score and minimum area of detections, for each cell type, chosen on folds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellflow.comparison.result import TunedCutoffs
from cellflow.comparison.truth import Truth
from cellflow.inference.overlap_rules import Resolved
from cellflow.metrics.found_cells import find_cells
from cellflow.records import Detections
from cellflow.tuning.choice import choose_on_folds, given

N_SCORES = 32
"""Number of minimum scores to try: quantiles of the detections' scores, including the lowest."""
AREA_QUANTILES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
"""Quantiles of the detections' areas to try as minimum area, besides no minimum."""

Cutoff = tuple[float, int]
"""Minimum score, and minimum area in pixels."""

NO_CUTOFF: Cutoff = (-np.inf, 0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cutoffs:
    """The chosen cutoffs.

    Parameters
    ----------
    tuned : TunedCutoffs
    of_image : dict of image name to (float, int)
        Chosen on the folds that the image is not in; used by the comparison.
    per_fold : dict of int to dict of image name to (float, int)
        For each fold, the cutoffs of all images as chosen without that fold.
    on_all_images : dict of image name to (float, int)
        Chosen on all images with truth, for the image's cell type; includes images without truth.
    """

    tuned: TunedCutoffs
    of_image: dict[str, Cutoff]
    per_fold: dict[int, dict[str, Cutoff]]
    on_all_images: dict[str, Cutoff]


def tune_cutoffs(
    resolved: Mapping[str, Resolved],
    detections: Mapping[str, Detections],
    truth: Truth,
    folds: Mapping[str, int],
) -> Cutoffs | None:
    """Choose cutoffs by the competition's score.

    Parameters
    ----------
    resolved : mapping of image name to Resolved
        Without overlap, so that whether a cell is a hit does not depend on other cells.
    detections : mapping of image name to Detections
        What they were resolved from; read for the cell types that they name.
    truth : mapping of image name to TrueImage
        Images that are not in it get cutoffs, but do not take part in the choice.
    folds : mapping of image name to int
        Of the images of the truth.

    Returns
    -------
    Cutoffs or None
        None if all images are in one fold.

    Notes
    -----
    An image's cell type is that of the detections (the type with the largest sum of scores) if all
    types that they name occur in the truth; otherwise that of the truth.
    """
    names = [name for name in truth if name in resolved]
    numbers = np.array([folds[name] for name in names])
    if len(np.unique(numbers)) < 2:
        return None
    kinds, types_from = _cell_types(detections, truth)
    candidates = _candidates([resolved[name] for name in names])
    table = np.array([_image_scores(resolved[name], truth, candidates) for name in names])
    nested = choose_on_folds(table, [kinds[name] for name in names], numbers)

    def cut(choice: Mapping[str, int]) -> dict[str, Cutoff]:
        chosen = given(choice, list(kinds.values()))
        return {name: candidates[k] for name, k in zip(kinds, chosen, strict=True)}

    held_out = zip(names, nested.held_out, strict=True)
    return Cutoffs(
        tuned=TunedCutoffs(
            per_cell_type={kind: candidates[k] for kind, k in nested.choice.items()},
            types_from=types_from,
            n_folds=len(nested.per_fold),
            nested_score=float(nested.scores.mean()),
            same_images_score=nested.same_images_score,
        ),
        of_image={name: candidates[k] for name, k in held_out},
        per_fold={fold: cut(choice) for fold, choice in nested.per_fold.items()},
        on_all_images=cut(nested.choice),
    )


def passes(
    scores: NDArray[np.float32], areas: NDArray[np.int64], cutoff: Cutoff
) -> NDArray[np.bool_]:
    """Tell which cells reach a cutoff."""
    reached: NDArray[np.bool_] = (scores >= cutoff[0]) & (areas >= cutoff[1])
    return reached


def _candidates(resolved: Sequence[Resolved]) -> list[Cutoff]:
    """Give all pairs of score and area to try, starting with the lowest of both."""
    found, nothing = [one.prediction for one in resolved], np.zeros(0)
    scores = np.concatenate([nothing, *(one.scores for one in found)])
    areas = np.concatenate([nothing, *(np.bincount(one.labels.ravel())[1:] for one in found)])
    if len(scores) == 0:
        return [NO_CUTOFF]
    shares = np.arange(N_SCORES) / N_SCORES
    score_steps = np.unique(np.quantile(scores, shares, method="inverted_cdf"))
    area_steps = np.unique([0, *np.quantile(areas, AREA_QUANTILES, method="inverted_cdf")])
    return [(float(score), int(area)) for score in score_steps for area in area_steps]


def _image_scores(
    resolved: Resolved, truth: Truth, candidates: Sequence[Cutoff]
) -> NDArray[np.float64]:
    """Give the image's score with each of the C candidates, (C,)."""
    found = find_cells(truth[resolved.prediction.name].masks, resolved.prediction.labels)
    limits = np.array(candidates)
    kept = (resolved.prediction.scores >= limits[:, :1]) & (found.predicted_areas >= limits[:, 1:])
    # Cells do not overlap, so a hit remains one when others are cut.
    n_hits = kept.astype(np.float64) @ found.hits.T
    total = kept.sum(axis=1, keepdims=True) + len(found.truth_areas) - n_hits
    precision = np.where(total > 0, n_hits / np.maximum(total, 1), 1.0)
    mean: NDArray[np.float64] = precision.mean(axis=1)
    return mean


def _cell_types(
    detections: Mapping[str, Detections], truth: Truth
) -> tuple[dict[str, str | None], str]:
    """Give the type of each image, and its source: "detections" or "truth"."""
    told = {name: _main_type(one) for name, one in detections.items()}
    true_types = {name: truth[name].cell_type if name in truth else None for name in detections}
    named = {kind for kind in told.values() if kind is not None}
    if named and named <= {image.cell_type for image in truth.values()}:
        return told, "detections"
    return true_types, "truth"


def _main_type(detections: Detections) -> str | None:
    """Give the type with the largest sum of scores, None when types are unknown."""
    if not detections.cell_types or detections.scores is None:
        return None
    sums: dict[str, float] = {}
    for kind, score in zip(detections.cell_types, detections.scores.tolist(), strict=True):
        sums[kind.lower()] = sums.get(kind.lower(), 0.0) + score
    return max(sums, key=sums.__getitem__)
