"""Files of labels: which image each belongs to, and what if several belong to one image."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from cellflow.data.images import IMAGE_ENDING, MASK_ENDINGS, image_files
from cellflow.data.label_images import read_label_image
from cellflow.data.rle import labels_to_masks
from cellflow.data.seg_files import read_seg_labels
from cellflow.errors import LabelError
from cellflow.records import CellMasks
from cellflow.wording import counted

SEG_ENDING = "_seg.npy"

Key = TypeVar("Key", bound=Hashable)


def list_label_files(folder: Path) -> dict[str, Callable[[], CellMasks]]:
    """Give a reader of masks for every image that a folder holds labels of.

    Parameters
    ----------
    folder : path
        With ``x_seg.npy`` and label images that end in ``_masks`` or similar, with or without their
        pictures; if there are none of these, all images are label images.

    Returns
    -------
    dict of image name to callable
        As `label_reader` gives them; empty when there is none.
    """
    files = [*folder.glob(f"*{SEG_ENDING}"), *filter(is_label_image, image_files(folder))]
    named = group_by_image(sorted(files) or image_files(folder), lambda path: image_name(path.name))
    return {name: label_reader(paths) for name, paths in named.items()}


def group_by_image(paths: Iterable[Path], key: Callable[[Path], Key]) -> dict[Key, list[Path]]:
    """Give all label files of each image, in the given order; `key` identifies the image."""
    found: dict[Key, list[Path]] = {}
    for path in paths:
        found.setdefault(key(path), []).append(path)
    return found


def label_reader(paths: Sequence[Path]) -> Callable[[], CellMasks]:
    """Give a function that reads the labels of one image from one file, or several that agree.

    Parameters
    ----------
    paths : sequence of path
        At least one; ``_seg.npy`` or label images.

    Returns
    -------
    callable
        Picklable. Raises `LabelError` when a file is broken, or two hold different cells.
    """
    if len(paths) > 1:
        return partial(read_agreeing, tuple(paths))
    return partial(read_seg_masks if paths[0].suffix == ".npy" else read_label_masks, paths[0])


def read_agreeing(paths: Sequence[Path]) -> CellMasks:
    """Give the cells of several label files of one image, which must be the same in all.

    Raises
    ------
    LabelError
        Two differ: one may be a prediction that Cellpose saved beside the truth, and nothing says
        which.

    Notes
    -----
    The number of a cell does not matter. The order is that of the first file.
    """
    first, *others = paths
    masks = label_reader([first])()
    for other in others:
        found = label_reader([other])()
        if found.shape != masks.shape or _cells(found) != _cells(masks):
            raise LabelError(
                f"{first} ({counted(len(masks), 'cell')}) and {other.name} "
                f"({counted(len(found), 'cell')}) are both labels of image "
                f"{image_name(first.name)} and differ; keep the one that was drawn or corrected, "
                "and move the other, such as a prediction saved beside the images, elsewhere"
            )
    return masks


def read_label_masks(path: Path) -> CellMasks:
    """Give the cells of a label image file."""
    return labels_to_masks(read_label_image(path))


def read_seg_masks(path: Path) -> CellMasks:
    """Give the cells of a ``_seg.npy`` file of the Cellpose GUI."""
    return labels_to_masks(read_seg_labels(path))


def is_label_image(path: Path) -> bool:
    """Tell whether the name ends as a label image's beside its picture does."""
    return path.stem.endswith(MASK_ENDINGS)


def image_name(file_name: str) -> str:
    """Give the name of the image that a label file belongs to.

    Examples
    --------
    >>> [image_name(name) for name in ("a_seg.npy", "a_cp_masks.png", "a.tif")]
    ['a', 'a', 'a']
    """
    if file_name.endswith(SEG_ENDING):
        return file_name.removesuffix(SEG_ENDING)
    stem = Path(file_name).stem
    for ending in sorted(MASK_ENDINGS, key=len, reverse=True):
        if stem.endswith(ending):
            return stem.removesuffix(ending)
    return stem


def picture_name(path: Path) -> str:
    """Give the name of a picture as its label files have it: without Cellpose's ``_img``."""
    return path.stem.removesuffix(IMAGE_ENDING)


def _cells(masks: CellMasks) -> set[tuple[bytes, bytes]]:
    bounds = zip(masks.offsets[:-1], masks.offsets[1:], strict=True)
    return {(masks.starts[a:b].tobytes(), masks.lengths[a:b].tobytes()) for a, b in bounds}
