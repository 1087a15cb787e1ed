"""Folders of images and label images: Cellpose pairs, ``images/`` + ``masks/``, DSB2018, Usiigaci.

Every opener gives None when the folder is not of its layout.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from cellflow.data.dataset import Dataset, Entry
from cellflow.data.images import image_files, read_image
from cellflow.data.label_files import (
    SEG_ENDING,
    group_by_image,
    image_name,
    is_label_image,
    label_reader,
    picture_name,
    read_label_masks,
)
from cellflow.data.own_files import is_own
from cellflow.data.rle import dense_to_masks
from cellflow.errors import LabelError
from cellflow.records import CellMasks
from cellflow.wording import counted, some_of

IMAGE_FOLDERS, MASK_FOLDERS = ("images", "raw"), ("masks", "labels")


def open_cellpose_pairs(folder: Path) -> Dataset | None:
    """Open ``x.tif`` + ``x_masks.tif`` or ``x_seg.npy``, in `folder` or one level below.

    The label images may also lie in a subfolder ``masks``. Where there are several files of one
    picture they must hold the same cells; reading them tells.
    """
    files = image_files(folder)
    if files and (folder / "masks").is_dir():
        files += [path for path in image_files(folder / "masks") if is_label_image(path)]
    if not files:
        files = [
            path for sub in sorted(folder.iterdir()) if sub.is_dir() for path in image_files(sub)
        ]
    truths = group_by_image(filter(is_label_image, files), _image_key)
    entries, sources = [], dict[str, list[Path]]()
    for path in (path for path in files if not is_label_image(path)):
        found = truths.pop((path.parent, picture_name(path)), [])
        seg = path.with_name(path.stem + SEG_ENDING)
        found += [seg] if seg.exists() else []
        read = label_reader(found) if found else None
        entries.append(Entry(name=_name(path, folder), image_path=path, read_masks=read))
        sources[entries[-1].name] = found
    remarks = [*_without_picture(truths.values()), *_unchanged_predictions(sources)]
    return _with_truth(folder, "cellpose", entries, remarks)


def open_image_mask_folders(folder: Path) -> Dataset | None:
    """Open ``images/x.png`` + ``masks/x.png``; the label image may end in ``_masks`` or alike.

    Where there are several label images of one picture they must hold the same cells; reading
    them tells.
    """
    images = next((folder / name for name in IMAGE_FOLDERS if (folder / name).is_dir()), None)
    masks = next((folder / name for name in MASK_FOLDERS if (folder / name).is_dir()), None)
    if images is None or masks is None:
        return None
    truths = group_by_image(image_files(masks), lambda path: image_name(path.name))
    entries, sources = [], dict[str, list[Path]]()
    for path in image_files(images):
        found = truths.get(picture_name(path), [])
        read = label_reader(found) if found else None
        entries.append(Entry(name=path.stem, image_path=path, read_masks=read))
        sources[path.stem] = found
    used = {picture_name(entry.image_path) for entry in entries}
    unused = [paths for name, paths in truths.items() if name not in used]
    remarks = [*_without_picture(unused), *_unchanged_predictions(sources)]
    return _with_truth(folder, "folders", entries, remarks)


def open_dsb2018(folder: Path) -> Dataset | None:
    """Open ``<id>/images/<id>.png`` + ``<id>/masks/*.png``, one mask file a cell."""
    top = folder / "stage1_train" if (folder / "stage1_train").is_dir() else folder
    entries = []
    for sub in sorted(path for path in top.iterdir() if path.is_dir()):
        pictures = image_files(sub / "images") if (sub / "images").is_dir() else []
        if len(pictures) != 1:
            continue
        read = partial(read_mask_files, sub / "masks") if (sub / "masks").is_dir() else None
        entries.append(Entry(name=sub.name, image_path=pictures[0], read_masks=read))
    return _with_truth(folder, "dsb2018", entries)


def open_usiigaci(folder: Path) -> Dataset | None:
    """Open ``<set>/raw.tif`` + ``<set>/instances_ids.png``, in `folder` or one level below."""
    entries = []
    for picture in sorted([*folder.glob("*/raw.tif"), *folder.glob("*/*/raw.tif")]):
        truth = picture.with_name("instances_ids.png")
        name = "_".join(picture.parent.relative_to(folder).parts)
        read = partial(read_label_masks, truth) if truth.exists() else None
        entries.append(Entry(name=name, image_path=picture, read_masks=read))
    return _with_truth(folder, "usiigaci", entries)


def open_images(folder: Path) -> Dataset | None:
    """Open a folder of images without any truth."""
    paths = sorted(image_files(folder), key=lambda path: path.stem)
    entries = tuple(Entry(name=path.stem, image_path=path) for path in paths)
    return Dataset(root=folder, layout="images", entries=entries) if entries else None


def read_mask_files(folder: Path) -> CellMasks:
    """Give the cells of a folder with one black-and-white picture each.

    Raises
    ------
    LabelError
        A picture is empty, coloured, or of another size than the first.
    """
    masks, shape = [], None
    for path in image_files(folder):
        picture = read_image(path)
        if picture.ndim == 3 and (picture != picture[:1]).any():
            raise LabelError(f"{path}: expected a black-and-white mask, found colours")
        mask = (picture if picture.ndim == 2 else picture[0]) > 0
        shape = shape or mask.shape
        if mask.shape != shape:
            raise LabelError(f"{path}: the mask has shape {mask.shape}, the others have {shape}")
        if not mask.any():
            raise LabelError(f"{path}: the mask is empty")
        masks.append(mask)
    if not masks:
        raise LabelError(f"{folder}: no mask pictures")
    return dense_to_masks(np.stack(masks))


def _with_truth(
    folder: Path, layout: str, entries: Sequence[Entry], remarks: Iterable[str] = ()
) -> Dataset | None:
    """Give the data set of a layout; None if no image has truth."""
    if not any(entry.read_masks for entry in entries):
        return None
    ordered = tuple(sorted(entries, key=lambda entry: entry.name))
    return Dataset(root=folder, layout=layout, entries=ordered, remarks=tuple(remarks))


def _without_picture(groups: Iterable[Sequence[Path]]) -> list[str]:
    names = [path.name for paths in groups for path in paths]
    if not names:
        return []
    if len(names) == 1:
        return [f"{names[0]} has no picture"]
    return [f"{len(names)} label files have no picture: {some_of(names)}"]


def _unchanged_predictions(sources: Mapping[str, Sequence[Path]]) -> list[str]:
    """Name the images whose label files `predict` wrote and nobody changed since."""
    names = [name for name, paths in sources.items() if paths and all(map(is_own, paths))]
    if not names:
        return []
    return [
        f"truth of {counted(len(names), 'image')} is a prediction of cellflow that was not changed "
        f"since: {some_of(names)}"
    ]


def _image_key(path: Path) -> tuple[Path, str]:
    folder = path.parent.parent if path.parent.name == "masks" else path.parent
    return folder, image_name(path.name)


def _name(path: Path, folder: Path) -> str:
    """Give the stem, as `predict` and Cellpose do; below a subfolder with its name before it."""
    return path.stem if path.parent == folder else f"{path.parent.name}_{path.stem}"
