"""Cellpose's ``_seg.npy``: a pickled dictionary, read without running what it may contain."""

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from cellflow._version import PROGRAM
from cellflow.atomic import atomic_path
from cellflow.data.label_images import as_label_image
from cellflow.errors import LabelError

_OWN = "cellflow"
"""Key that marks files of ours; the GUI saves a file without it."""
_ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
    ("pathlib", "PosixPath"),
    ("pathlib", "WindowsPath"),
}
"""Arrays and what they are made of; nothing that acts."""


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that refuses everything but arrays and plain values."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return super().find_class(module, name)


def read_seg_labels(path: Path | str) -> NDArray[np.int32]:
    """Read the label image of a ``_seg.npy`` file.

    Returns
    -------
    (H, W) int32

    Raises
    ------
    LabelError
        The file is no such file, holds objects other than arrays and plain values, or its masks
        are not one 2-D label image, or exceed int32.
    """
    path = Path(path)
    masks = np.asarray(_entries(path)["masks"])
    while masks.ndim > 2 and 1 in masks.shape:  # a stack of one; but an image may have one row
        masks = masks.squeeze(masks.shape.index(1))
    if masks.ndim != 2 or masks.dtype.kind not in "iu":
        raise LabelError(f"{path}: expected one 2-D label image, found {masks.shape} {masks.dtype}")
    # Old versions of the GUI count from -1.
    first = 1 if masks.min(initial=0) < 0 else 0
    if masks.max(initial=0) > np.iinfo(np.int32).max - first:
        raise LabelError(f"{path}: labels must be at most 2147483647")
    return masks.astype(np.int32) + np.int32(first)


def write_seg(path: Path | str, labels: NDArray[Any], image_path: Path | str) -> None:
    """Write what the Cellpose GUI loads as segmentation of `image_path`.

    Parameters
    ----------
    path : path
        ``x_seg.npy`` beside the image, where the GUI looks for it.
    labels : (H, W) integer or bool
        0 background, cells from 1; gaps stay.
    image_path : path
        Need not exist; the GUI shows the image beside the file.

    Raises
    ------
    LabelError
        As `as_label_image`.
    DataError
        The file cannot be written.

    Notes
    -----
    Keys as `cellpose.io.masks_flows_to_seg` writes them, without the flows, which the GUI does
    not need to show and correct masks.
    """
    labels = as_label_image(labels)
    dtype = np.uint16 if labels.max(initial=0) < 2**16 - 1 else np.uint32
    content: dict[str, Any] = {
        "outlines": (labels * inner_border(labels)).astype(dtype),
        "masks": labels.astype(dtype),
        "chan_choose": [0, 0],
        "ismanual": np.zeros(int(labels.max(initial=0)), bool),
        "filename": str(Path(image_path).resolve()),
        "flows": [],
        "diameter": None,
    }
    content[_OWN] = {"program": PROGRAM, "masks": _hash(content["masks"])}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.array(content, object), allow_pickle=True)


def inner_border(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Tell which pixels of cells touch, by a side, another label or the background."""
    border = np.zeros(labels.shape, bool)
    vertical, horizontal = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    border[1:] |= vertical
    border[:-1] |= vertical
    border[:, 1:] |= horizontal
    border[:, :-1] |= horizontal
    inner: NDArray[np.bool_] = border & (labels > 0)
    return inner


def is_own_seg(path: Path) -> bool:
    """Tell whether `write_seg` wrote a file and its masks have not changed since.

    Raises
    ------
    LabelError
        As `read_seg_labels`.
    """
    entries = _entries(path)
    own = entries.get(_OWN)
    return isinstance(own, dict) and own.get("masks") == _hash(np.asarray(entries["masks"]))


def _entries(path: Path) -> dict[str, Any]:
    """Give the dictionary of a file, which has masks."""
    try:
        content = io.BytesIO(path.read_bytes())
        version = npy_format.read_magic(content)  # type: ignore[no-untyped-call]
        read_header = (
            npy_format.read_array_header_1_0
            if version == (1, 0)
            else npy_format.read_array_header_2_0
        )
        read_header(content)  # type: ignore[no-untyped-call]
        stored = _ArraysOnly(content).load()
        entries = stored.item()
        if not isinstance(entries, dict):
            raise TypeError("it does not hold a dictionary")
        if "masks" not in entries:
            raise KeyError("masks")
        return entries
    except OSError as error:
        raise LabelError(f"cannot read {path}: {error.strerror}") from error
    except (
        pickle.UnpicklingError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        EOFError,
    ) as error:
        raise LabelError(f"{path}: not a Cellpose _seg.npy file: {error}") from error


def _hash(masks: NDArray[Any]) -> str:
    return hashlib.sha256(f"{masks.shape} {masks.dtype}".encode() + masks.tobytes()).hexdigest()
