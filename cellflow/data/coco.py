"""COCO and LIVECell JSON: polygons and run lengths to `CellMasks`."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cellflow.data.coco_rle import Runs, runs_to_masks
from cellflow.data.dataset import Dataset, Entry, masks_in_memory
from cellflow.data.images import SUFFIXES
from cellflow.data.segmentations import segmentation_to_runs
from cellflow.errors import DataError, LabelError, RleError
from cellflow.record_checks import is_image_size
from cellflow.records import CellMasks, Shape
from cellflow.wording import counted, some_of

_LIVECELL_NAME = re.compile(r"(?P<type>\w+?)_Phase_(?P<well>[A-Z]\d+)_")

GENERIC_CATEGORIES = frozenset({"cell", "cells", "object", "nucleus"})
"""Category names that say nothing about the cell type."""


def open_coco(path: Path, faults: list[str] | None = None) -> Dataset | None:
    """Open a COCO file, or all COCO files of a folder together; None when there is none.

    Parameters
    ----------
    path : path
        A JSON file, or a folder with one or several; other JSON files are ignored. An image lies
        at ``file_name`` relative to the folder, or else anywhere beneath it, if only one file there
        has the last part of that name.
    faults : list of str, optional
        Gets a sentence for every broken segmentation, which is then left out; without the list the
        first one is raised.

    Raises
    ------
    DataError
        A file is not valid JSON or lacks a part of COCO, an image is in two files, it could be
        several files, none of the images is there, or every annotation would be left out.
    LabelError, RleError
        A segmentation is broken; names the annotation.
    """
    root = path if path.is_dir() else path.parent
    files = sorted(root.rglob("*.[jJ][sS][oO][nN]")) if path.is_dir() else [path]
    contents = {file: content for file in files if (content := read_coco(file)) is not None}
    if not contents:
        return None
    pictures: dict[str, list[Path]] = {}
    for picture in sorted(root.rglob("*")):
        if picture.suffix.lower() in SUFFIXES:
            pictures.setdefault(picture.name, []).append(picture)
    entries: dict[str, Entry] = {}
    missing, remarks, left_out, cells = [], list[str](), list[str](), list[CellMasks]()
    for file, content in contents.items():
        masks, skipped = read_annotations(content, file, faults)
        left_out += skipped
        cells += masks.values()
        kinds = image_cell_types(content, file)
        for image in content["images"]:
            name = Path(image["file_name"]).stem
            found = _find_picture(root, image["file_name"], pictures, file)
            if found is None:
                missing.append(name)
                continue
            if name in entries:
                raise DataError(f"image {name} is in two COCO files, the second is {file.name}")
            entries[name] = Entry(
                name=name,
                image_path=found,
                read_masks=masks_in_memory(masks[str(image["id"])]),
                cell_type=kinds.get(str(image["id"])) or type_in_name(name),
                group=well_in_name(name),
            )
    if not entries:
        raise DataError(
            f"{path}: none of {counted(len(missing), 'image')} of the COCO files was found"
        )
    if not faults:
        require_cells(path, cells, left_out)
    remarks += [*_together(root, contents), *left_out]
    if missing:
        remarks.append(
            f"{counted(len(missing), 'image')} of the COCO files not found: {some_of(missing)}"
        )
    ordered = tuple(entries[name] for name in sorted(entries))
    return Dataset(root=root, layout="coco", entries=ordered, remarks=tuple(remarks))


def read_annotations(
    content: Mapping[str, Any], source: Path, faults: list[str] | None = None
) -> tuple[dict[str, CellMasks], list[str]]:
    """Give the masks of every image of a COCO file.

    Parameters
    ----------
    content : mapping
        With ``images`` and ``annotations``.
    source : path
        For messages.
    faults : list of str, optional
        As for `open_coco`.

    Returns
    -------
    dict of image id (as text) to CellMasks
        In the order of the annotations; they may overlap.
    list of str
        What was left out, one sentence each: crowds, and annotations without a pixel.

    Raises
    ------
    DataError
        A key is missing, two images have one id, one has no size, or an annotation is of an
        unknown image.
    LabelError, RleError
        A segmentation is broken; names the annotation.
    """
    try:
        shapes = {}
        for image in content["images"]:
            if not isinstance(image["file_name"], str):
                raise TypeError(f"expected a string as file_name, found {image['file_name']!r}")
            if str(image["id"]) in shapes:
                raise DataError(f"{source}: image id {image['id']} appears twice")
            shapes[str(image["id"])] = _shape(image, source)
        cells: dict[str, list[Runs]] = {image: [] for image in shapes}
        n_crowds = n_empty = 0
        for annotation in _annotations(content):
            image = str(annotation["image_id"])
            if image not in shapes:
                raise DataError(
                    f"{source}: annotation {annotation.get('id')} belongs to the unknown image "
                    f"{image}"
                )
            if annotation.get("iscrowd", 0):
                n_crowds += 1
                continue
            try:
                runs = _runs(annotation, shapes[image], source)
            except (LabelError, RleError) as error:
                if faults is None:
                    raise
                faults.append(str(error))
                continue
            if len(runs[0]) == 0:
                n_empty += 1
                continue
            cells[image].append(runs)
    except KeyError as error:
        raise DataError(f"{source}: not a COCO file: {error} is missing") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{source}: not a COCO file: {error}") from error
    remarks = []
    if n_crowds:
        remarks.append(f"{source.name}: left out: {counted(n_crowds, 'crowd annotation')}")
    if n_empty:
        remarks.append(f"{source.name}: left out: {counted(n_empty, 'annotation')} without a pixel")
    return {image: runs_to_masks(runs, shapes[image]) for image, runs in cells.items()}, remarks


def require_cells(path: Path, images: Iterable[CellMasks], left_out: Sequence[str]) -> None:
    """Check that some annotation is left.

    Raises
    ------
    DataError
        Some were left out and no image has a cell; all would count as images without cells.
    """
    if left_out and not any(len(masks) for masks in images):
        raise DataError(f"{path}: no cell is there: {'; '.join(left_out)}")


def read_coco(file: Path) -> dict[str, Any] | None:
    """Give the content of a COCO file, or None for other JSON, even if that is broken."""
    try:
        text = file.read_bytes()
        content = json.loads(text.decode("utf-8-sig"))
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        if b'"images"' in text or b'"annotations"' in text:
            raise DataError(f"{file}: not valid JSON: {error}") from error
        return None
    if isinstance(content, dict) and {"images", "annotations"} <= content.keys():
        return content
    return None


def _together(root: Path, contents: Mapping[Path, Mapping[str, Any]]) -> list[str]:
    """Say which files form the data set, since one of them may be meant for testing."""
    if len(contents) < 2:
        return []
    files = [
        f"{file.relative_to(root).as_posix()} ({counted(len(content['images']), 'image')})"
        for file, content in contents.items()
    ]
    together = f"{len(files)} COCO files are read together: {', '.join(files)}"
    return [f"{together}; name one to open it alone"]


def _find_picture(
    root: Path, file_name: str, pictures: Mapping[str, Sequence[Path]], source: Path
) -> Path | None:
    with suppress(OSError):  # a name that no file can have
        if (root / file_name).is_file():
            return root / file_name
    found = pictures.get(Path(file_name).name, ())
    if len(found) > 1:
        raise DataError(
            f"{source}: image {file_name} could be {found[0]} or {found[1]}; write its folder into "
            "file_name, or remove the other one"
        )
    return found[0] if found else None


def _shape(image: Mapping[str, Any], source: Path) -> Shape:
    try:
        height, width = int(image["height"]), int(image["width"])
    except OverflowError:  # infinity
        height = width = 0
    if not is_image_size(height, width):
        raise DataError(
            f"{source}: image {image['id']}: expected a height and width in pixels, "
            f"found {image['height']} and {image['width']}"
        )
    return height, width


def _annotations(content: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """Give the annotations; some LIVECell files have an object of them, by number."""
    stored = content["annotations"]
    return stored.values() if isinstance(stored, dict) else stored


def _runs(annotation: Mapping[str, Any], shape: Shape, source: Path) -> Runs:
    try:
        return segmentation_to_runs(annotation["segmentation"], shape)
    except (LabelError, RleError) as error:
        raise type(error)(f"{source}: annotation {annotation.get('id')}: {error}") from error


def image_cell_types(content: Mapping[str, Any], source: Path) -> dict[str, str]:
    """Give the category of each image whose cells all have the same one, if it names a type.

    Raises
    ------
    DataError
        The categories are not those of a COCO file; names `source`.
    """
    found: dict[str, set[str]] = {}
    try:
        categories = content.get("categories") or []
        names = {category.get("id"): str(category.get("name", "cell")) for category in categories}
        for annotation in _annotations(content):
            name = names.get(annotation.get("category_id"), "cell")
            found.setdefault(str(annotation["image_id"]), set()).add(name)
    except (TypeError, AttributeError) as error:
        raise DataError(f"{source}: not a COCO file: its categories: {error}") from error
    return {
        image: next(iter(kinds))
        for image, kinds in found.items()
        if len(kinds) == 1 and not kinds & GENERIC_CATEGORIES
    }


def type_in_name(name: str) -> str | None:
    """Read the cell type off a LIVECell file name, ``SHSY5Y_Phase_C10_1_…``."""
    match = _LIVECELL_NAME.match(name)
    return match["type"].lower() if match else None


def well_in_name(name: str) -> str | None:
    """Read cell type and well off a LIVECell file name; the images of a well are one film."""
    match = _LIVECELL_NAME.match(name)
    return f"{match['type']}_{match['well']}" if match else None
