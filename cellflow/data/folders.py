"""Folders of images and label images: Cellpose pairs, ``images/`` + ``masks/``, DSB2018, Usiigaci.

Every opener gives None when the folder is not of its layout.
"""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np

from cellflow.data.dataset import Dataset, Entry
from cellflow.data.images import (
    IMAGE_ENDING,
    MASK_ENDINGS,
    SUFFIXES,
    read_image,
    read_label_image,
)
from cellflow.data.rle import dense_to_masks, labels_to_masks
from cellflow.data.seg_files import read_seg_labels
from cellflow.errors import LabelError
from cellflow.records import CellMasks

SEG_ENDING = "_seg.npy"
IMAGE_FOLDERS, MASK_FOLDERS = ("images", "raw"), ("masks", "labels")


def open_cellpose_pairs(folder: Path) -> Dataset | None:
    """Open ``x.tif`` + ``x_masks.tif`` or ``x_seg.npy``, in `folder` or one level below.

    The label images may also lie in a subfolder ``masks``.
    """
    files = _image_files(folder)
    if files and (folder / "masks").is_dir():
        files += [path for path in _image_files(folder / "masks") if _is_mask(path)]
    if not files:
        files = [
            path for sub in sorted(folder.iterdir()) if sub.is_dir() for path in _image_files(sub)
        ]
    truths = {_image_key(path): path for path in files if _is_mask(path)}
    pictures = [path for path in files if not _is_mask(path)]
    entries = []
    for path in pictures:
        seg = path.with_name(path.stem + SEG_ENDING)
        mask = truths.pop(_picture_key(path), None)
        if seg.exists():
            read = partial(read_seg_masks, seg)
        elif mask is not None:
            read = partial(read_label_masks, mask)
        else:
            entries.append(Entry(name=_name(path, folder), image_path=path))
            continue
        entries.append(Entry(name=_name(path, folder), image_path=path, read_masks=read))
    if not any(entry.read_masks for entry in entries):
        return None
    remarks = [f"{path.name} has no picture" for path in truths.values()]
    return _dataset(folder, "cellpose", entries, remarks)


def open_image_mask_folders(folder: Path) -> Dataset | None:
    """Open ``images/x.png`` + ``masks/x.png``; the label image may end in ``_masks`` or alike."""
    images = next((folder / name for name in IMAGE_FOLDERS if (folder / name).is_dir()), None)
    masks = next((folder / name for name in MASK_FOLDERS if (folder / name).is_dir()), None)
    if images is None or masks is None:
        return None
    truths = {_without_ending(path.stem): path for path in _image_files(masks)}
    entries = [
        Entry(
            name=path.stem,
            image_path=path,
            read_masks=partial(read_label_masks, truths[_without_image_ending(path.stem)])
            if _without_image_ending(path.stem) in truths
            else None,
        )
        for path in _image_files(images)
    ]
    if not any(entry.read_masks for entry in entries):
        return None
    return _dataset(folder, "folders", entries)


def open_dsb2018(folder: Path) -> Dataset | None:
    """Open ``<id>/images/<id>.png`` + ``<id>/masks/*.png``, one mask file a cell."""
    top = folder / "stage1_train" if (folder / "stage1_train").is_dir() else folder
    entries = []
    for sub in sorted(path for path in top.iterdir() if path.is_dir()):
        pictures = _image_files(sub / "images") if (sub / "images").is_dir() else []
        if len(pictures) != 1:
            continue
        read = partial(read_mask_files, sub / "masks") if (sub / "masks").is_dir() else None
        entries.append(Entry(name=sub.name, image_path=pictures[0], read_masks=read))
    if not any(entry.read_masks for entry in entries):
        return None
    return _dataset(folder, "dsb2018", entries)


def open_usiigaci(folder: Path) -> Dataset | None:
    """Open ``<set>/raw.tif`` + ``<set>/instances_ids.png``, in `folder` or one level below."""
    entries = []
    for picture in sorted([*folder.glob("*/raw.tif"), *folder.glob("*/*/raw.tif")]):
        truth = picture.with_name("instances_ids.png")
        name = "_".join(picture.parent.relative_to(folder).parts)
        read = partial(read_label_masks, truth) if truth.exists() else None
        entries.append(Entry(name=name, image_path=picture, read_masks=read))
    if not any(entry.read_masks for entry in entries):
        return None
    return _dataset(folder, "usiigaci", entries)


def open_images(folder: Path) -> Dataset | None:
    """Open a folder of images without any truth."""
    entries = [Entry(name=path.stem, image_path=path) for path in _image_files(folder)]
    return _dataset(folder, "images", entries) if entries else None


def list_label_files(folder: Path) -> dict[str, Callable[[], CellMasks]]:
    """Give a reader of the masks of every image that a folder holds labels of.

    Parameters
    ----------
    folder : path
        With ``x_seg.npy``, or else label images: those that end in ``_masks`` or alike when there
        are any, since the others then are their pictures, and all when there are none.

    Returns
    -------
    dict of image name to callable
        Empty when there is neither.

    Raises
    ------
    LabelError
        Two files are labels of one image.
    """
    files = sorted(folder.glob(f"*{SEG_ENDING}"))
    if files:
        return _by_name((path.name.removesuffix(SEG_ENDING), path) for path in files)
    files = _image_files(folder)
    files = [path for path in files if _is_mask(path)] or files
    return _by_name((_without_ending(path.stem), path) for path in files)


def read_label_masks(path: Path) -> CellMasks:
    """Give the cells of a label image file."""
    return labels_to_masks(read_label_image(path))


def read_seg_masks(path: Path) -> CellMasks:
    """Give the cells of a ``_seg.npy`` file of the Cellpose GUI."""
    return labels_to_masks(read_seg_labels(path))


def read_mask_files(folder: Path) -> CellMasks:
    """Give the cells of a folder with one black-and-white picture each.

    Raises
    ------
    LabelError
        A picture is empty, coloured, or of another size than the first.
    """
    masks, shape = [], None
    for path in _image_files(folder):
        picture = read_image(path)
        if picture.ndim == 3 and (picture != picture[:1]).any():
            raise LabelError(f"{path}: expected a black-and-white mask, found colours")
        mask = (picture if picture.ndim == 2 else picture[0]) > 0
        shape = shape or mask.shape
        if mask.shape != shape:
            raise LabelError(f"{path}: the mask is {mask.shape}, the others are {shape}")
        if not mask.any():
            raise LabelError(f"{path}: the mask has no pixel")
        masks.append(mask)
    if not masks:
        raise LabelError(f"{folder}: no mask pictures")
    return dense_to_masks(np.stack(masks))


def _by_name(files: Iterable[tuple[str, Path]]) -> dict[str, Callable[[], CellMasks]]:
    found: dict[str, Path] = {}
    for name, path in files:
        if name in found:
            raise LabelError(f"{found[name]} and {path.name} are both labels of image {name}")
        found[name] = path
    return {
        name: partial(read_seg_masks if path.suffix == ".npy" else read_label_masks, path)
        for name, path in found.items()
    }


def _dataset(
    folder: Path, layout: str, entries: Iterable[Entry], remarks: Iterable[str] = ()
) -> Dataset:
    ordered = tuple(sorted(entries, key=lambda entry: entry.name))
    return Dataset(root=folder, layout=layout, entries=ordered, remarks=tuple(remarks))


def _image_files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )


def _is_mask(path: Path) -> bool:
    return path.stem.endswith(MASK_ENDINGS)


def _without_ending(stem: str) -> str:
    for ending in sorted(MASK_ENDINGS, key=len, reverse=True):
        if stem.endswith(ending):
            return stem.removesuffix(ending)
    return stem


def _without_image_ending(stem: str) -> str:
    return stem.removesuffix(IMAGE_ENDING)


def _image_key(path: Path) -> tuple[Path, str]:
    folder = path.parent.parent if path.parent.name == "masks" else path.parent
    return folder, _without_ending(path.stem)


def _picture_key(path: Path) -> tuple[Path, str]:
    return path.parent, _without_image_ending(path.stem)


def _name(path: Path, folder: Path) -> str:
    """Give the stem, as `predict` and Cellpose do; below a subfolder with its name before it."""
    return path.stem if path.parent == folder else f"{path.parent.name}_{path.stem}"
