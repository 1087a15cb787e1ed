"""The comparison slice by slice: by cell type, IoU threshold, cell size and density.

Takes the `FoundCells` of every method and image, gives `Breakdown` records.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellflow.comparison.estimates import PairedEstimates, paired_estimates
from cellflow.comparison.result import Breakdown, Slice
from cellflow.metrics.by_type import indices_by_type
from cellflow.metrics.found_cells import FoundCells
from cellflow.metrics.matching import THRESHOLDS
from cellflow.metrics.score import Score

N_PARTS = 3
"""Number of slices by size and by density (small, medium, large), about equally full."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What is known of M methods on N images.

    Parameters
    ----------
    scores : tuple of M Score
        Of the same images in the same order.
    found : tuple of M tuples of N FoundCells
    n_draws, seed : int
        Of the bootstrap; every slice starts from the seed, so that slices do not affect each other.
    """

    scores: tuple[Score, ...]
    found: tuple[tuple[FoundCells, ...], ...]
    n_draws: int
    seed: int

    @property
    def precision(self) -> NDArray[np.float64]:
        """Precision of each method, threshold and image, (M, T, N)."""
        images = [[image.precision for image in score.images] for score in self.scores]
        return np.array(images).transpose(0, 2, 1)

    @property
    def n_truths(self) -> NDArray[np.int64]:
        """True cells of each image, (N,)."""
        return np.array([image.n_truths for image in self.scores[0].images])

    def estimate(
        self,
        parts: NDArray[np.float64],
        wholes: NDArray[np.float64] | None = None,
        images: Sequence[int] | None = None,
    ) -> PairedEstimates:
        """Give scores and differences over some images, by `paired_estimates`.

        Parameters
        ----------
        parts : (M, T, N) float64
        wholes : (M, T, N) float64, optional
            Ones by default, which gives means over images.
        images : sequence of int, optional
            All by default.
        """
        chosen = list(range(parts.shape[-1])) if images is None else list(images)
        ones = np.ones((1, 1, len(chosen)))
        first = self.scores[0]
        return paired_estimates(
            parts[..., chosen],
            ones if wholes is None else wholes[..., chosen],
            rng=np.random.default_rng(self.seed),
            strata=[first.cell_types[i] for i in chosen],
            clusters=[first.groups[i] for i in chosen],
            n_draws=self.n_draws,
        )


def all_breakdowns(evidence: Evidence) -> tuple[Breakdown, ...]:
    """Give the breakdown by cell type, and every other one that has at least two slices."""
    others = (by_threshold(evidence), by_cell_size(evidence), by_density(evidence))
    return (by_cell_type(evidence), *(one for one in others if len(one.slices) > 1))


def by_cell_type(evidence: Evidence) -> Breakdown:
    """Give the comparison on the images of each cell type."""
    of_type = indices_by_type(evidence.scores[0].cell_types)
    slices = [_of_images(evidence, kind, own) for kind, own in of_type.items()]
    return Breakdown(by="cell type", note="mAP over the images of a type", slices=tuple(slices))


def by_threshold(evidence: Evidence) -> Breakdown:
    """Give the comparison at each IoU threshold."""
    precision = evidence.precision
    slices = []
    for row, threshold in enumerate(THRESHOLDS):
        found = evidence.estimate(precision[:, row : row + 1])
        slices.append(
            Slice(
                label=f"IoU > {threshold:.2f}",
                n_images=precision.shape[-1],
                n_truths=int(evidence.n_truths.sum()),
                scores=found.scores,
                differences=found.differences,
            )
        )
    note = "precision at one threshold, mean over images"
    return Breakdown(by="IoU threshold", note=note, slices=tuple(slices))


def by_density(evidence: Evidence) -> Breakdown:
    """Give the comparison on images with few, some and many true cells."""
    counts = evidence.n_truths
    slices = [
        _of_images(
            evidence,
            f"{low} to {high} cells",
            np.flatnonzero((counts >= low) & (counts <= high)).tolist(),
        )
        for low, high in _bounds(counts)
    ]
    note = "mAP over the images with so many true cells, about a third of the images each"
    return Breakdown(by="density", note=note, slices=tuple(slices))


def by_cell_size(evidence: Evidence) -> Breakdown:
    """Give the comparison on small, medium and large cells.

    Notes
    -----
    An image rarely has cells of all sizes, so counts are summed over the images before they are
    divided. A hit belongs to the slice of its true cell, a spurious cell to the slice of its own
    size. A size between two slices belongs to the lower one; spurious cells smaller or larger than
    all true cells belong to the first or the last slice.
    """
    areas = np.concatenate([image.truth_areas for image in evidence.found[0]])
    bounds, slices = _bounds(areas), []
    starts = [0, *(low for low, _ in bounds[1:]), np.inf]
    for number, (low, high) in enumerate(bounds):
        parts, wholes = _counts_of_size(evidence.found, *starts[number : number + 2])
        found = evidence.estimate(parts, wholes)
        counts = [
            int(((image.truth_areas >= low) & (image.truth_areas <= high)).sum())
            for image in evidence.found[0]
        ]
        slices.append(
            Slice(
                label=f"{low} to {high} px",
                n_images=sum(count > 0 for count in counts),
                n_truths=sum(counts),
                scores=found.scores,
                differences=found.differences,
            )
        )
    note = (
        "TP / (TP + FP + FN) with counts summed over images, mean over IoU thresholds; "
        "about a third of the true cells each"
    )
    return Breakdown(by="cell size", note=note, slices=tuple(slices))


def _of_images(evidence: Evidence, label: str, images: list[int]) -> Slice:
    found = evidence.estimate(evidence.precision, images=images)
    return Slice(
        label=label,
        n_images=len(images),
        n_truths=int(evidence.n_truths[images].sum()),
        scores=found.scores,
        differences=found.differences,
    )


def _bounds(values: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Give the least and largest value of about equally full parts; equal values share a part."""
    if len(values) == 0:
        return []
    edges = np.quantile(values, np.arange(1, N_PARTS) / N_PARTS, method="inverted_cdf")
    part = np.searchsorted(np.unique(edges), values)
    return [
        (int(values[part == number].min()), int(values[part == number].max()))
        for number in np.unique(part)
    ]


def _counts_of_size(
    found: Sequence[Sequence[FoundCells]], low: float, below: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give hits, and hits + spurious + missed, of cells in a range of sizes, (M, T, N) each."""
    shape = (len(found), len(THRESHOLDS), len(found[0]))
    parts, wholes = np.zeros(shape), np.zeros(shape)
    for method, images in enumerate(found):
        for column, image in enumerate(images):
            of_truth = (image.truth_areas >= low) & (image.truth_areas < below)
            of_predicted = (image.predicted_areas >= low) & (image.predicted_areas < below)
            parts[method, :, column] = image.found[:, of_truth].sum(axis=1)
            spurious = (~image.hits[:, of_predicted]).sum(axis=1)
            wholes[method, :, column] = of_truth.sum() + spurious
    return parts, wholes
