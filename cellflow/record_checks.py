"""What the fields of records, and sizes of images, must be; a `LabelError` names the field."""

import operator
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.errors import LabelError

MOST_PIXELS = 2**31 - 1
"""In one image: a run's length is an int32, and one run may cover the whole image."""


def is_image_size(height: int, width: int) -> bool:
    """Tell whether an image can be this large, in pixels: not empty, at most `MOST_PIXELS`."""
    return height >= 1 and width >= 1 and height * width <= MOST_PIXELS


def require_array(name: str, array: object, dtype: type[np.generic], n_axes: int) -> None:
    """Refuse what is not an array of this dtype and number of axes."""
    wanted = f"{name}: expected {np.dtype(dtype).name}"
    if not isinstance(array, np.ndarray):
        raise LabelError(f"{wanted}, found {type(array).__name__}")
    if array.dtype != dtype:
        raise LabelError(f"{wanted}, found {array.dtype.name}")
    if array.ndim != n_axes:
        raise LabelError(f"{name}: expected {n_axes} axes, found shape {array.shape}")


def require_shape(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Refuse an array of another shape."""
    if array.shape != shape:
        raise LabelError(f"{name}: expected shape {shape}, found {array.shape}")


def checked_shape(shape: Sequence[int]) -> tuple[int, int]:
    """Give height and width as a tuple of Python's own integers, whatever holds them.

    Raises
    ------
    LabelError
        It is not two whole numbers, 0 or more.
    """
    with suppress(TypeError, ValueError):  # refused below, as a negative side is
        height, width = (operator.index(side) for side in shape)
        if min(height, width) >= 0:
            return height, width
    raise LabelError(f"shape: expected (height, width) in whole pixels, found {shape!r}")


def by(shape: Sequence[int]) -> str:
    """Write a size as ``520x704``."""
    return "x".join(str(side) for side in shape)
