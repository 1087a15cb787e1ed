"""A folder of pictures of images and masks: an overlay per image, and sheets per cell type."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellflow.atomic import check_outputs
from cellflow.data.dataset import Entry
from cellflow.data.entrance import open_dataset
from cellflow.data.images import read_image
from cellflow.errors import DataError
from cellflow.pictures.gallery import PER_SHEET, draw_tile, gallery
from cellflow.pictures.mask_sources import MaskSource, open_masks
from cellflow.pictures.outlines import ZOOM
from cellflow.pictures.overlay import Colouring, save_overlay
from cellflow.records import CellMasks, Sample, Shape
from cellflow.telling import Report, ignore
from cellflow.wording import counted, some_of


@dataclass(slots=True, kw_only=True)
class ShowResult:
    """What was drawn.

    Parameters
    ----------
    n_pictures, n_sheets : int
    remarks : list of str
        One sentence for everything that was left out, with the reason.
    failures : list of str
        Images or masks that could not be read, one message each.
    """

    n_pictures: int = 0
    n_sheets: int = 0
    remarks: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def show_images(
    sources: Sequence[Path],
    out: Path,
    *,
    masks: Sequence[Path] = (),
    colouring: Colouring = "cells",
    zoom: int = ZOOM,
    report: Report = ignore,
) -> ShowResult:
    """Draw images beside their outlines, and gallery sheets per cell type.

    Parameters
    ----------
    sources : sequence of path
        Image files or folders; if a folder contains truth, like the competition's, it is drawn too.
    out : path
        Folder for ``<image>.png`` and ``gallery/<cell type>_<sheet>.png``.
    masks : sequence of path
        At most one truth and one prediction; see `open_masks`.
    colouring : "cells" or "matches"
        See `draw_overlay`.
    zoom : int
        Picture pixels per image pixel, along each side.
    report : callable
        Called as ``report(n_done, {"total": n})``.

    Returns
    -------
    ShowResult
        A broken image does not stop the others; it is listed in the failures.

    Raises
    ------
    DataError
        There is no image, two have the same name, masks fit none of the images, or one side has two
        mask sources.
    ConfigError
        A picture would replace an image.

    Notes
    -----
    A sheet shows the prediction, or else the truth, of each image. Images are read one by one.
    """
    entries = _find_entries(sources)
    check_outputs(
        [entry.image_path for entry in entries.values()], [out / f"{name}.png" for name in entries]
    )
    result = ShowResult()
    sides = _open_sides(masks, entries, result.remarks)
    sheets: dict[str, list[NDArray[np.uint8]]] = {}
    n_sheets: dict[str, int] = {}
    for done, entry in enumerate(entries.values(), start=1):
        try:
            sample, predicted = _load(entry, sides)
            _draw(out, sample, predicted, colouring, zoom)
        except DataError as error:
            result.failures.append(f"image {entry.name}: {error}")
        else:
            result.n_pictures += 1
            kind = sample.cell_type or "cells"
            shown = sample.masks if predicted is None else predicted
            sheets.setdefault(kind, []).append(draw_tile(sample.image, shown, sample.name))
            if len(sheets[kind]) == PER_SHEET:
                _write_sheet(out, kind, sheets, n_sheets)
        report(done, {"total": len(entries)})
    for kind in [kind for kind, tiles in sheets.items() if tiles]:
        _write_sheet(out, kind, sheets, n_sheets)
    result.n_sheets = sum(n_sheets.values())
    return result


def _find_entries(sources: Iterable[Path]) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for source in sources:
        if source.is_dir() or source.suffix == ".json":
            found: Iterable[Entry] = open_dataset(source)
        elif source.is_file():
            found = [Entry(name=source.stem, image_path=source)]
        else:
            raise DataError(f"{source}: no such file or folder")
        for entry in found:
            if entry.name in entries:
                raise DataError(
                    f"two images are named {entry.name}: {entries[entry.name].image_path} and "
                    f"{entry.image_path}; show them one after the other"
                )
            entries[entry.name] = entry
    if not entries:
        raise DataError("no images to show")
    return entries


def _open_sides(
    paths: Sequence[Path], entries: Mapping[str, Entry], remarks: list[str]
) -> dict[str, MaskSource]:
    sides: dict[str, MaskSource] = {}
    for path in paths:
        source = open_masks(path, lambda: _shapes(entries))
        if source.side in sides:
            raise DataError(f"{path}: a second source of {source.side} masks; give one of each")
        fitting = source.readers.keys() & entries.keys()
        if not fitting:
            theirs, ours = sorted(source.readers)[:1], sorted(entries)[:1]
            n_theirs = counted(len(source.readers), "image")
            raise DataError(
                f"{path}: of its {n_theirs}, such as {''.join(theirs)}, none is of "
                f"the {len(entries)} to show, such as {''.join(ours)}"
            )
        missing = sorted(entries.keys() - fitting)
        if missing:
            remarks.append(f"{path}: no masks for {some_of(missing)}; drawn without them")
        extra = sorted(source.readers.keys() - fitting)
        if extra:
            remarks.append(f"{path}: no image for {some_of(extra)}; left out")
        sides[source.side] = source
    return sides


def _shapes(entries: Mapping[str, Entry]) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {}
    for name, entry in entries.items():
        try:
            height, width = read_image(entry.image_path).shape[-2:]
        except DataError:
            # It becomes a failure when it is to be drawn.
            continue
        shapes[name] = (height, width)
    return shapes


def _load(entry: Entry, sides: Mapping[str, MaskSource]) -> tuple[Sample, CellMasks | None]:
    """Read image, truth and prediction; `sides` take precedence over the folder."""
    truth = sides.get("truth")
    if truth is not None:
        entry = replace(
            entry,
            read_masks=truth.readers.get(entry.name, entry.read_masks),
            cell_type=truth.cell_types.get(entry.name, entry.cell_type or "") or None,
        )
    predicted = sides.get("predicted")
    reader = predicted.readers.get(entry.name) if predicted is not None else None
    return entry.load(), None if reader is None else reader()


def _draw(
    out: Path, sample: Sample, predicted: CellMasks | None, colouring: Colouring, zoom: int
) -> None:
    title = f"{sample.name}, {sample.cell_type}" if sample.cell_type else sample.name
    save_overlay(
        out / f"{sample.name}.png",
        sample.image,
        truth=sample.masks,
        predicted=predicted,
        title=title,
        colouring=colouring,
        zoom=zoom,
    )


def _write_sheet(
    out: Path, kind: str, sheets: dict[str, list[NDArray[np.uint8]]], n_sheets: dict[str, int]
) -> None:
    # A cell type comes from a table, and may contain characters that file names cannot. Two types
    # may get the same file name; the numbers of their sheets are then consecutive.
    file_name = re.sub(r"[^\w.-]+", "_", kind)
    number = n_sheets[file_name] = n_sheets.get(file_name, 0) + 1
    path = out / "gallery" / f"{file_name}_{number}.png"
    gallery(path, f"{kind}, sheet {number}", sheets[kind])
    sheets[kind] = []
