"""The competition's folder: ``train.csv`` beside ``train/*.png``.

One row an annotated cell. Read with the standard `csv`, since readers that guess types turn
hexadecimal ids such as ``12e4…`` into numbers.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cellflow.data.dataset import Dataset, Entry, masks_in_memory
from cellflow.data.images import list_images
from cellflow.data.rle import masks_to_rle, readable_masks
from cellflow.data.tables import open_table, write_table
from cellflow.errors import DataError, RleError
from cellflow.record_checks import is_image_size
from cellflow.records import CellMasks, Shape
from cellflow.wording import counted, some_of

METADATA = ("cell_type", "plate_time", "sample_date", "sample_id", "elapsed_timedelta")
COLUMNS = ("id", "annotation", "width", "height", *METADATA)
REQUIRED = COLUMNS[:4]
WEIGHTS, UNCERTAIN = "weights.csv", "uncertain.csv"
"""Beside ``train.csv``: the weight of each image in the loss, and cells that are left out of it."""

_WELL = re.compile(r"^(?P<plate>.+)_(?P<well>[A-Z]+\d+)-\d+_")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KaggleImage:
    """All rows of one image.

    Parameters
    ----------
    name : str
    masks : CellMasks
        In the order of the rows; they overlap.
    metadata : mapping of str to str
        The columns of `METADATA`; missing ones are "".
    """

    name: str
    masks: CellMasks
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def cell_type(self) -> str | None:
        """The cell line, or None when the column is empty."""
        return self.metadata.get("cell_type") or None

    @property
    def group(self) -> str | None:
        """Plate and well, of which there may be several images; None when unknown."""
        return plate_and_well(self.metadata.get("sample_id", ""))


def plate_and_well(sample_id: str) -> str | None:
    """Give the part of a ``sample_id`` that images of the same cells share.

    Notes
    -----
    A ``sample_id`` is ``<plate>_<well>-<position>_Vessel-<number>_Ph_<position>``. Positions within
    a well and its time points show the same culture and belong together. The vessel is ignored: two
    vessels of one plate name then share a group, and a group that is too large does not leak. None
    if the text has another form.

    Examples
    --------
    >>> plate_and_well("shsy5y[diff]_E10-4_Vessel-714_Ph_3")
    'shsy5y[diff]_E10'
    """
    match = _WELL.match(sample_id)
    return f"{match['plate']}_{match['well']}" if match else None


def read_train_csv(path: Path | str, faults: list[str] | None = None) -> dict[str, KaggleImage]:
    """Read ``train.csv``.

    Parameters
    ----------
    path : path
        Columns `REQUIRED`, further ones optional; UTF-8 with or without BOM, any line ends.
    faults : list of str, optional
        Gets a sentence for every broken annotation, which is then left out; without the list the
        first one is raised.

    Returns
    -------
    dict of image name to KaggleImage
        In the order of first appearance. An image whose only row has an empty annotation has
        no cells.

    Raises
    ------
    DataError
        A missing column, an empty id, a width or height that is no positive number or too large,
        or a size or cell type that differs within an image; the message names the line.
    RleError
        A broken annotation; the message names the line.
    """
    path = Path(path)
    rows: dict[str, _Rows] = {}
    with open_table(path, REQUIRED) as table:
        for row in table:
            line, name = table.line_num, row["id"]
            if not name:
                raise DataError(f"{path} line {line}: the id is empty")
            shape = _row_shape(path, line, row)
            image = rows.get(name)
            if image is None:
                metadata = {key: row.get(key, "") for key in METADATA}
                image = rows[name] = _Rows(shape, metadata)
            _require_same(path, line, row, shape, image)
            image.runs.append(row["annotation"].strip())
            image.lines.append(line)
    if not rows:
        raise DataError(f"{path}: no rows below the header; expected one row per cell")
    return {
        name: KaggleImage(name=name, masks=image.masks(path, faults), metadata=image.metadata)
        for name, image in rows.items()
    }


def write_train_csv(path: Path | str, images: Iterable[KaggleImage]) -> None:
    """Write ``train.csv`` with every column of the competition's, whole or not at all.

    Parameters
    ----------
    path : path
    images : iterable of KaggleImage
        One without cells gets one row with an empty annotation.
    """
    write_table(path, COLUMNS, (row for image in images for row in _train_rows(image)))


def _train_rows(image: KaggleImage) -> Iterator[Sequence[object]]:
    height, width = image.masks.shape
    metadata = [image.metadata.get(key, "") for key in METADATA]
    for runs in masks_to_rle(image.masks) or [""]:
        yield image.name, runs, width, height, *metadata


def open_kaggle(folder: Path | str, faults: list[str] | None = None) -> Dataset:
    """Open the competition's folder; images are read when they are asked for.

    Parameters
    ----------
    folder : path
        Holds ``train.csv`` and ``train/``.
    faults : list of str, optional
        As for `read_train_csv`.

    Returns
    -------
    Dataset
        Images without rows have no truth and rows without an image are left out; both are
        named in the remarks.

    Raises
    ------
    DataError
        No image of the table is there, two images have one name, or `read_train_csv` refuses
        the table.
    """
    folder = Path(folder)
    truth = read_train_csv(folder / "train.csv", faults)
    paths: dict[str, Path] = {}
    for path in list_images(folder / "train"):
        if path.stem in paths:
            raise DataError(f"{folder}: {paths[path.stem].name} and {path.name} have the same id")
        paths[path.stem] = path
    without_image = sorted(truth.keys() - paths.keys())
    without_rows = sorted(paths.keys() - truth.keys())
    if len(without_image) == len(truth):
        raise DataError(
            f"{folder}: none of the {len(truth)} ids of train.csv has an image in train/"
        )
    remarks = []
    if without_image:
        remarks.append(
            f"{counted(len(without_image), 'id')} without an image: {some_of(without_image)}"
        )
    if without_rows:
        remarks.append(
            f"{counted(len(without_rows), 'image')} without rows: {some_of(without_rows)}"
        )
    entries = [_entry(paths[name], truth.get(name)) for name in sorted(paths)]
    entries = _weighted(folder, entries)
    return Dataset(root=folder, layout="kaggle", entries=tuple(entries), remarks=tuple(remarks))


def _weighted(folder: Path, entries: list[Entry]) -> list[Entry]:
    """Add weights and uncertain pixels, if `cellflow pseudo-label` wrote the folder."""
    if not (folder / WEIGHTS).exists():
        return entries
    weights: dict[str, float] = {}
    with open_table(folder / WEIGHTS, ("id", "weight")) as table:
        for row in table:
            try:
                weight = float(row["weight"])
            except ValueError:
                weight = math.nan
            if not 0 <= weight < math.inf:
                raise DataError(
                    f"{folder / WEIGHTS} line {table.line_num}: expected a number of 0 or more, "
                    f"found {row['weight']!r}"
                )
            weights[row["id"]] = weight
    unsure = read_train_csv(folder / UNCERTAIN) if (folder / UNCERTAIN).exists() else {}
    return [
        replace(
            entry,
            weight=weights.get(entry.name, 1.0),
            uncertain=unsure[entry.name].masks if entry.name in unsure else None,
        )
        for entry in entries
    ]


@dataclass(slots=True)
class _Rows:
    """Rows of one image while the file is read."""

    shape: Shape
    metadata: dict[str, str]
    runs: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def masks(self, path: Path, faults: list[str] | None) -> CellMasks:
        if self.runs == [""]:
            return CellMasks.empty(self.shape)
        masks, _, broken = readable_masks(self.runs, self.shape)
        messages = [f"{path} line {self.lines[error.cell]}: {error.reason}" for error in broken]
        if faults is not None:
            faults += messages
        elif messages:
            raise RleError(messages[0])
        return masks


def _require_same(path: Path, line: int, row: Mapping[str, str], here: Shape, image: _Rows) -> None:
    above = image.shape
    if here != above:
        raise DataError(
            f"{path} line {line}: image {row['id']} is {here[1]}x{here[0]} here and "
            f"{above[1]}x{above[0]} above"
        )
    cell_type = row.get("cell_type", "")
    if cell_type != image.metadata["cell_type"]:
        raise DataError(
            f"{path} line {line}: image {row['id']} is {cell_type!r} here and "
            f"{image.metadata['cell_type']!r} above"
        )


def _row_shape(path: Path, line: int, row: Mapping[str, str]) -> Shape:
    try:
        height, width = int(row["height"]), int(row["width"])
    except ValueError:
        height = width = 0
    if not is_image_size(height, width):
        raise DataError(
            f"{path} line {line}: expected a width and height in pixels, "
            f"found {row['width']!r} and {row['height']!r}"
        )
    return height, width


def _entry(path: Path, image: KaggleImage | None) -> Entry:
    if image is None:
        return Entry(name=path.stem, image_path=path)
    return Entry(
        name=image.name,
        image_path=path,
        read_masks=masks_in_memory(image.masks),
        cell_type=image.cell_type,
        group=image.group,
    )
