"""Labels that models give to unannotated images, kept where the models agree, to train on.

Takes models and images, writes the competition's layout with ``weights.csv`` (the weight of each
image in the loss) and ``uncertain.csv`` (where the models disagree: left out of the loss).
"""

import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.atomic import atomic_path, write_json
from cellflow.configfile import config_to_dict
from cellflow.data.images import read_image
from cellflow.data.kaggle import UNCERTAIN, WEIGHTS, KaggleImage, write_train_csv
from cellflow.data.label_images import keep_labels
from cellflow.data.rle import labels_to_masks
from cellflow.data.tables import write_table
from cellflow.errors import ConfigError, DataError, ImageError
from cellflow.hashing import hash_file
from cellflow.inference.model import Model
from cellflow.inference.store import first_difference, state_of
from cellflow.jsontext import read_object
from cellflow.metrics.overlap import find_overlap
from cellflow.network.model_folder import versions
from cellflow.telling import Report, Say, ignore
from cellflow.wording import counted

SAME = 0.5
"""IoU above which two cells are the same; above 0.5 a cell has at most one partner."""
VIEWS_OF_ONE = 4
"""Of a single model, the average over this many views is compared with one view."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """Which labels are good enough to train on.

    Parameters
    ----------
    cell_agreement : float
        Smallest IoU of a cell with its partner in every vote.
    image_agreement : float
        Smallest agreement of an image; see `Vote`.
    most_per_type : int
        Images of each cell type, at most; the best ones are taken.
    weight : float
        Weight in the loss of an image with agreement 1; annotated images have 1.
    """

    cell_agreement: float = 0.7
    image_agreement: float = 0.6
    most_per_type: int = 200
    weight: float = 0.5

    def __post_init__(self) -> None:
        for name in ("cell_agreement", "image_agreement", "weight"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(
                    f"{name}: expected above 0, at most 1, found {getattr(self, name)}"
                )
        if self.most_per_type < 1:
            raise ConfigError(f"most_per_type: expected >= 1, found {self.most_per_type}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Vote:
    """What all models together found in an image, and how far each of them agrees.

    Parameters
    ----------
    labels : (H, W) int32
    agreement : (N,) float64
        Of each cell: the smallest over the votes of its largest IoU with a cell there.
    image_agreement : float
        Smallest over the votes of ``2 · sum of IoU above 0.5 / (cells here + cells there)``;
        1 where neither has any.
    others : (H, W) bool
        Cells of single votes that are not among `labels`.
    """

    labels: NDArray[np.int32]
    agreement: NDArray[np.float64]
    image_agreement: float
    others: NDArray[np.bool_]


def compare_votes(labels: NDArray[np.int32], votes: Sequence[NDArray[np.int32]]) -> Vote:
    """Compare the labels of all models together with those of each vote; label images (H, W)."""
    n_cells = int(labels.max(initial=0))
    agreement, image_agreement = np.ones(n_cells), 1.0
    others = np.zeros(labels.shape, bool)
    for vote in votes:
        overlap, n_there = find_overlap(labels, vote), int(vote.max(initial=0))
        best = np.zeros(n_cells)
        np.maximum.at(best, overlap.truth, overlap.iou)
        agreement = np.minimum(agreement, best)
        same = overlap.iou > SAME
        if n_cells + n_there:
            shared = 2 * overlap.iou[same].sum() / (n_cells + n_there)
            image_agreement = min(image_agreement, float(shared))
        unmatched = np.setdiff1d(np.arange(n_there), overlap.predicted[same]) + 1
        others |= np.isin(vote, unmatched)
    return Vote(labels=labels, agreement=agreement, image_agreement=image_agreement, others=others)


def split_cells(vote: Vote, least: float) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Give the sure cells, and everything unsure as one cell; label images (H, W) int32."""
    sure = keep_labels(vote.labels, vote.agreement >= least)
    unsure = ((vote.labels > 0) | vote.others) & (sure == 0)
    return sure, unsure.astype(np.int32)


def cell_type_of(name: str) -> str | None:
    """Read the cell type off the name of an image of ``train_semi_supervised``.

    Examples
    --------
    >>> cell_type_of("astros[cereb]_E4-1_Vessel-362_Ph_1"), cell_type_of("image 7")
    ('astro', None)
    """
    match = re.match(r"([a-z0-9]+)\[", name)
    if match is None:
        return None
    return "astro" if match[1] == "astros" else match[1]


def write_pseudo_labels(
    models: Sequence[Model],
    images: Sequence[Path],
    out: Path,
    gates: Gates,
    *,
    report: Report = ignore,
    say: Say = ignore,
) -> dict[str, Any]:
    """Label images by several models, or by several views of one, and write what is agreed on.

    Parameters
    ----------
    models : sequence of Model
    images : sequence of Path
        Their stems are their names.
    out : Path
        What each image got stays in ``votes/``: with other gates, or after an interruption, no
        image goes through the networks again.
    gates : Gates
    report : callable
        Called with the number of images done.
    say : callable
        Told which image cannot be read; the others are labelled all the same.

    Returns
    -------
    dict
        What ``record.json`` keeps: models, settings, versions, gates, the images by cell type.

    Raises
    ------
    ConfigError
        The same model or name twice, `out` holds votes by other models or settings or anything
        that is not of an earlier call, or an image lies in it.
    DataError
        No image is agreed on.
    """
    together, single = _voters(models)
    twice = [name for name, n in Counter(path.stem for path in images).items() if n > 1]
    if twice:
        raise ConfigError(f"{twice[0]}: two images have this name")
    _claim(out, [together, *single], images)
    found, best = [], 0.0
    for number, path in enumerate(images, 1):
        try:
            vote = _kept_vote(_vote_file(out, path), path, together, single)
        except ImageError as error:
            named = str(error) if str(path) in str(error) else f"{path}: {error}"
            say(f"left out: {named}")
            continue
        if vote.labels.any():
            best = max(best, vote.image_agreement)
        if vote.image_agreement >= gates.image_agreement and vote.labels.any():
            found.append((vote.image_agreement, path))
        report(number, {"total": len(images)})
    chosen = _best_of_each_type(found, gates.most_per_type)
    if not chosen:
        raise DataError(
            f"none of {counted(len(images), 'image')} has cells and an agreement of "
            f"{gates.image_agreement:g}; the best is {best:.2f}. The votes are kept in "
            f"{out / 'votes'}; try again with a lower --image-agreement"
        )
    return _write(out, chosen, gates, together)


def _voters(models: Sequence[Model]) -> tuple[Model, list[Model]]:
    prints = [model.fingerprint for model in models]
    for model in models:
        if prints.count(model.fingerprint) > 1:
            raise ConfigError(f"{model.name} is given twice; a model always agrees with itself")
    if len(models) > 1:
        return Model.joined(models), list(models)
    asked = models[0].config.inference.views
    views = VIEWS_OF_ONE if asked == 1 else asked
    return models[0].with_passes(views=views), [models[0].with_passes(views=1)]


def _claim(out: Path, voters: Sequence[Model], images: Sequence[Path]) -> None:
    """Check that everything in `out` may be replaced, and mark it as ours."""
    inside = [path for path in images if path.resolve().is_relative_to(out.resolve())]
    if inside:
        raise ConfigError(f"--out {out}: contains {inside[0]}, which is to be labelled")
    names = [path.name for path in sorted(out.iterdir())] if out.is_dir() else []
    foreign = [name for name in names if not name.startswith(".")]
    mark = out / "votes" / "voters.json"
    if foreign and not mark.is_file():
        raise ConfigError(
            f"--out {out}: holds {foreign[0]}, not written by pseudo-label; choose a new folder"
        )
    # A vote stays one whatever version reads it, and the first image settles the precision.
    states = [
        {key: value for key, value in state_of(voter).items() if key not in ("cellflow", "dtypes")}
        for voter in voters
    ]
    now = {"together": states[0], "single": states[1:]}
    kept = read_object(mark, DataError, "choose another --out") if mark.is_file() else now
    if (difference := first_difference(kept, now)) is not None:
        raise ConfigError(
            f"{out}: holds votes by other models or settings ({difference}); choose another --out"
        )
    write_json(mark, now)


def _vote_file(out: Path, path: Path) -> Path:
    """Give the file of the vote on an image, named by the image's content, which may change."""
    return out / "votes" / f"{hash_file(path)[:32]}.npz"


def _kept_vote(kept: Path, path: Path, together: Model, single: Sequence[Model]) -> Vote:
    if kept.exists():
        return _read_vote(kept)
    image = read_image(path)
    labels = together.predict(image, path.stem).labels
    vote = compare_votes(labels, [model.predict(image, path.stem).labels for model in single])
    with atomic_path(kept) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            labels=vote.labels,
            agreement=vote.agreement,
            image_agreement=vote.image_agreement,
            others=vote.others,
        )
    return vote


def _read_vote(path: Path) -> Vote:
    with np.load(path) as arrays:
        return Vote(
            labels=arrays["labels"],
            agreement=arrays["agreement"],
            image_agreement=float(arrays["image_agreement"]),
            others=arrays["others"],
        )


def _best_of_each_type(found: Sequence[tuple[float, Path]], most: int) -> list[tuple[float, Path]]:
    taken: Counter[str | None] = Counter()
    chosen = []
    for agreement, path in sorted(found, key=lambda one: (-one[0], one[1].stem)):
        kind = cell_type_of(path.stem)
        if taken[kind] < most:
            taken[kind] += 1
            chosen.append((agreement, path))
    return sorted(chosen, key=lambda one: one[1].stem)


def _write(
    out: Path, chosen: Sequence[tuple[float, Path]], gates: Gates, together: Model
) -> dict[str, Any]:
    # The table is removed first and written last: without it the folder is not a data set.
    (out / "train.csv").unlink(missing_ok=True)
    shutil.rmtree(out / "train", ignore_errors=True)
    sure: list[KaggleImage] = []
    unsure: list[KaggleImage] = []
    weights: list[tuple[str, str]] = []
    for agreement, path in chosen:
        vote = _read_vote(_vote_file(out, path))
        metadata = {"cell_type": cell_type_of(path.stem) or "", "sample_id": path.stem}
        both = split_cells(vote, gates.cell_agreement)
        for images, labels in zip((sure, unsure), both, strict=True):
            masks = labels_to_masks(labels)
            images.append(KaggleImage(name=path.stem, masks=masks, metadata=metadata))
        weights.append((path.stem, f"{gates.weight * agreement:.4f}"))
        with atomic_path(out / "train" / path.name) as temporary:
            shutil.copyfile(path, temporary)
    write_table(out / WEIGHTS, ("id", "weight"), weights)
    write_train_csv(out / UNCERTAIN, unsure)
    write_train_csv(out / "train.csv", sure)
    kinds = Counter(str(cell_type_of(path.stem)) for _, path in chosen)
    record = {
        "models": together.name,
        "fingerprint": together.fingerprint,
        "config": config_to_dict(together.config),
        "versions": versions(),
        "gates": asdict(gates),
        "n_images": len(chosen),
        "n_cells": sum(len(image.masks) for image in sure),
        "images_by_cell_type": dict(sorted(kinds.items())),
    }
    write_json(out / "record.json", record)
    return record
