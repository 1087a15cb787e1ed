"""Label images: 0 is background, and every cell has its own number."""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from cellflow._version import PROGRAM
from cellflow.atomic import atomic_path
from cellflow.data.images import read_image
from cellflow.errors import LabelError

JPEG_SUFFIXES = frozenset({".jpg", ".jpeg"})


def read_label_image(path: Path | str) -> NDArray[np.int32]:
    """Read a label image.

    Parameters
    ----------
    path : path
        Grey or palette PNG or TIFF; of a palette the indices are read, not its colours.

    Returns
    -------
    (H, W) int32

    Raises
    ------
    ImageError
        As `read_image`.
    LabelError
        The picture is a JPEG, is coloured, holds fractions or negative numbers, exceeds int32, or
        is a black-and-white mask of several cells.

    Notes
    -----
    A black-and-white mask has 1 bit; or 8 bits and only the numbers 0 and 1; or only 0 and the
    largest number of its type. If it is in one piece (pixels may touch at a corner only), it is
    taken as the label image of one cell.
    """
    path = Path(path)
    if path.suffix.lower() in JPEG_SUFFIXES:
        raise LabelError(
            f"{path}: a JPEG cannot hold labels, since its compression changes the numbers; save "
            "labels as PNG or TIFF"
        )
    labels = read_image(path, as_stored=True)
    if labels.ndim != 2:
        raise LabelError(
            f"{path}: expected a label image with one channel, found {len(labels)} channels"
        )
    if labels.dtype.kind == "f" and not (labels == np.round(labels)).all():
        raise LabelError(f"{path}: expected whole numbers as labels, found fractions")
    if labels.size and (labels.min() < 0 or labels.max() > np.iinfo(np.int32).max):
        raise LabelError(f"{path}: labels must be between 0 and 2147483647")
    _refuse_mask(path, labels)
    return labels.astype(np.int32)


def as_label_image(labels: NDArray[Any]) -> NDArray[np.int32]:
    """Give labels as files of them are written.

    Parameters
    ----------
    labels : (H, W) integer or bool
        0 background; gaps between the labels are allowed. Any memory layout.

    Raises
    ------
    LabelError
        Not a 2-D array of whole numbers with pixels, or a label is negative or exceeds int32.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "iub" or labels.size == 0:
        raise LabelError(
            f"labels: expected an (H, W) array of whole numbers, found {labels.shape} "
            f"{labels.dtype}"
        )
    smallest, largest = int(labels.min()), int(labels.max())
    if smallest < 0 or largest > np.iinfo(np.int32).max:
        wrong = smallest if smallest < 0 else largest
        raise LabelError(f"labels: expected 0 to 2147483647, found {wrong}")
    return labels.astype(np.int32)


def write_label_tiff(path: Path | str, labels: NDArray[Any]) -> None:
    """Write a label image as compressed TIFF, whole or not at all.

    Parameters
    ----------
    path : path
    labels : (H, W) integer or bool
        0 background, cells from 1; gaps stay.

    Raises
    ------
    LabelError
        As `as_label_image`.
    DataError
        The file cannot be written.

    Notes
    -----
    uint16 if the labels fit, since ImageJ shows that directly, otherwise uint32. Never uint8: an
    image can hold 790 cells.
    """
    labels = as_label_image(labels)
    fits = int(labels.max(initial=0)) <= np.iinfo(np.uint16).max
    with atomic_path(path) as temporary:
        tifffile.imwrite(
            temporary,
            labels.astype(np.uint16 if fits else np.uint32),
            compression="zlib",
            software=PROGRAM,
        )


def keep_labels(labels: NDArray[np.int32], keep: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Give the cells for which `keep` is true, numbered without gaps; the others become 0.

    Parameters
    ----------
    labels : (H, W) int32
        0 and 1…N.
    keep : (N,) bool

    Examples
    --------
    >>> keep_labels(np.array([[0, 1, 2, 3]], np.int32), np.array([False, True, True]))
    array([[0, 0, 1, 2]], dtype=int32)
    """
    numbers = np.concatenate([[0], np.where(keep, np.cumsum(keep), 0)]).astype(np.int32)
    kept: NDArray[np.int32] = numbers[labels]
    return kept


def _refuse_mask(path: Path, labels: NDArray[Any]) -> None:
    """Refuse a black-and-white mask in several pieces, which would become a single cell."""
    largest = int(labels.max(initial=0))
    if labels.dtype.kind not in "bu" or largest == 0 or not _is_mask_value(largest, labels.dtype):
        return
    if not ((labels == 0) | (labels == largest)).all():
        return
    from scipy import ndimage

    n_pieces = ndimage.label(labels, np.ones((3, 3)))[1]
    if n_pieces > 1:
        raise LabelError(
            f"{path}: a black-and-white mask, whose {n_pieces} pieces all have the number "
            f"{largest}; expected a different number for each cell (for instance from "
            "scipy.ndimage.label), or 16 bits and the number 1 if they are one cell"
        )


def _is_mask_value(value: int, dtype: np.dtype[Any]) -> bool:
    if dtype.kind == "b":
        return True
    return value == np.iinfo(dtype).max or (value == 1 and dtype.itemsize == 1)
