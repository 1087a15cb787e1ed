"""Cellpose's ``_seg.npy``: a pickled dictionary, read without running what it may contain."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from cellflow.errors import LabelError

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
        masks = np.asarray(stored.item()["masks"])
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
        raise LabelError(f"{path}: not a _seg.npy of Cellpose: {error}") from error
    while masks.ndim > 2 and 1 in masks.shape:  # of a stack of one; an image may be a line
        masks = masks.squeeze(masks.shape.index(1))
    if masks.ndim != 2 or masks.dtype.kind not in "iu":
        raise LabelError(f"{path}: expected one 2-D label image, found {masks.shape} {masks.dtype}")
    # Old versions of the GUI count from -1.
    first = 1 if masks.min(initial=0) < 0 else 0
    if masks.max(initial=0) > np.iinfo(np.int32).max - first:
        raise LabelError(f"{path}: labels must be at most 2147483647")
    return masks.astype(np.int32) + np.int32(first)
