"""The truth that methods are scored against, from a table, a COCO file or a folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cellflow.data.coco_truth import read_coco_truth
from cellflow.data.dataset import TrueImage
from cellflow.data.entrance import open_dataset
from cellflow.data.kaggle import read_train_csv
from cellflow.errors import DataError
from cellflow.metrics.average_precision import Variant
from cellflow.metrics.bootstrap import N_DRAWS
from cellflow.metrics.score import Score, score_images
from cellflow.records import CellMasks, Shape

Truth = Mapping[str, TrueImage]
"""By image name."""


def read_truth(path: Path | str, remarks: list[str] | None = None) -> dict[str, TrueImage]:
    """Read the truth; only a folder needs its pictures too.

    Parameters
    ----------
    path : path
        A ``train.csv``, a COCO ``.json``, or a folder that `open_dataset` can read.
    remarks : list of str, optional
        Sentences about problems and about what was left out are appended to it.

    Raises
    ------
    DataError, LabelError, RleError
        It cannot be read, or no image in it is annotated.
    """
    path = Path(path)
    if path.is_dir():
        dataset = open_dataset(path)
        if remarks is not None:
            remarks += dataset.remarks
        truth = {
            entry.name: TrueImage(masks=entry.truth(), cell_type=entry.cell_type, group=entry.group)
            for entry in dataset.annotated
        }
    elif path.suffix.lower() == ".json":
        truth = read_coco_truth(path, remarks)
    else:
        truth = {
            name: TrueImage(masks=image.masks, cell_type=image.cell_type, group=image.group)
            for name, image in read_train_csv(path).items()
        }
    if not truth:
        raise DataError(f"{path}: no annotated image")
    return truth


def shapes_of(truth: Truth) -> dict[str, Shape]:
    """Give the size of each image."""
    return {name: image.masks.shape for name, image in truth.items()}


def masks_of(truth: Truth) -> dict[str, CellMasks]:
    """Give the cells of each image."""
    return {name: image.masks for name, image in truth.items()}


def score_against(
    truth: Truth,
    cells: Mapping[str, CellMasks],
    *,
    variant: Variant = "competition",
    thresholds: Sequence[float] | None = None,
    n_draws: int = N_DRAWS,
    seed: int,
) -> Score:
    """Score the cells of one method, see `score_images`; `seed` is that of the bootstrap."""
    return score_images(
        masks_of(truth),
        cells,
        cell_types={name: image.cell_type for name, image in truth.items()},
        groups={name: image.group for name, image in truth.items()},
        variant=variant,
        thresholds=thresholds,
        n_draws=n_draws,
        rng=np.random.default_rng(seed),
    )
