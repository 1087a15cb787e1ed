"""Masks by image name, from a submission, a train.csv or a folder of label images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cellflow.data.dataset import masks_in_memory
from cellflow.data.kaggle import REQUIRED, read_train_csv
from cellflow.data.label_files import list_label_files
from cellflow.data.submission import COLUMNS, read_submission
from cellflow.data.tables import open_table
from cellflow.errors import DataError
from cellflow.records import CellMasks, Shape

Side = Literal["truth", "predicted"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaskSource:
    """Masks of several images.

    Parameters
    ----------
    side : "truth" or "predicted"
    readers : mapping of image name to callable
        Each reads the masks of the image.
    cell_types : mapping of image name to str
        If known.
    """

    side: Side
    readers: Mapping[str, Callable[[], CellMasks]]
    cell_types: Mapping[str, str] = field(default_factory=dict)


def open_masks(path: Path, shapes: Callable[[], Mapping[str, Shape]]) -> MaskSource:
    """Open a file or folder of masks; its kind is recognised by its content.

    Parameters
    ----------
    path : path
        A CSV with the columns of a train.csv (truth) or of a submission (predicted), or a folder
        of label images ``x.tif``, ``x_masks.tif`` or ``x_seg.npy`` (predicted).
    shapes : callable
        Gives the size of every image by name. Called only for a submission, which has no sizes.

    Raises
    ------
    DataError
        The path does not exist, or is none of these.
    """
    if path.is_dir():
        return MaskSource(side="predicted", readers=list_label_files(path))
    if path.suffix.lower() != ".csv":
        raise DataError(
            f"{path}: expected a submission.csv, a train.csv or a folder of label images"
        )
    with open_table(path, ("id",)) as table:
        columns = set(table.fieldnames or [])
    if columns >= set(REQUIRED):
        images = read_train_csv(path)
        return MaskSource(
            side="truth",
            readers={name: masks_in_memory(image.masks) for name, image in images.items()},
            cell_types={name: image.cell_type or "" for name, image in images.items()},
        )
    if columns >= set(COLUMNS):
        # Overlaps break the competition's rules, but the user may want to look at them.
        found = read_submission(path, shapes(), allow_overlap=True)
        readers = {name: masks_in_memory(masks) for name, masks in found.items()}
        return MaskSource(side="predicted", readers=readers)
    raise DataError(
        f"{path}: expected the columns {', '.join(REQUIRED)} or {', '.join(COLUMNS)}, "
        f"found {', '.join(sorted(columns))}"
    )
