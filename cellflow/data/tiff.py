"""The picture of a TIFF file: which planes are channels, and what the numbers stand for."""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from cellflow.errors import ImageError

MOST_CHANNELS = 4
"""In a picture; an array with more is a stack, or has its channels last."""
_UNNAMED = "Q"
"""What tifffile calls an axis that the file does not name; for a stack of pages it is I."""
_SPLIT = "in Fiji: File > Save As > Image Sequence"
"""How to save the planes of a stack as separate files."""
_ALPHA = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)


def read_tiff(path: Path, *, as_stored: bool = False) -> NDArray[Any]:
    """Read the picture of a TIFF file, as `read_image` documents it.

    Returns
    -------
    (H, W) or (C, H, W) array

    Raises
    ------
    ImageError
        A stack of several planes, too many channels, CMYK, or numbers that are no grey levels.
    OSError, and whatever a decoder raises
        The file cannot be read, or is broken.
    """
    with tifffile.TiffFile(path) as file:
        if not file.series:
            raise ValueError("it contains no image; the file may be truncated")
        series = file.series[0]
        alike = [
            one for one in file.series if (one.shape, one.dtype) == (series.shape, series.dtype)
        ]
        if len(alike) > 1:
            raise _stack(path, (len(alike), *series.shape), "I" + series.axes)
        if series.dtype is None or series.dtype.kind not in "buif":
            raise ImageError(f"{path}: expected grey levels, found numbers of type {series.dtype}")
        page = file.pages.first
        if page.photometric == tifffile.PHOTOMETRIC.SEPARATED:
            raise in_inks(path)
        is_shown_otherwise = not as_stored and not file.is_imagej
        pixels = _channels(path, series.asarray(), list(series.axes))
        colours = page.colormap
    if is_shown_otherwise and page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        return _turned_around(pixels, page.bitspersample)
    if is_shown_otherwise and page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        return _coloured(pixels, colours)
    if pixels.ndim == 2:
        return pixels
    if page.photometric == tifffile.PHOTOMETRIC.RGB:
        return np.ascontiguousarray(pixels[:3])
    if page.extrasamples and page.extrasamples[-1] in _ALPHA:
        pixels = pixels[:-1]
    return np.ascontiguousarray(pixels if len(pixels) > 1 else pixels[0])


def _channels(path: Path, pixels: NDArray[Any], axes: list[str]) -> NDArray[Any]:
    """Give (H, W), or (C, H, W) with alpha; refuse what is no single picture."""
    for axis in reversed(range(len(axes))):
        if pixels.shape[axis] == 1 and axes[axis] not in "YX":
            pixels = pixels.squeeze(axis)
            del axes[axis]
    if pixels.ndim == 2:
        return pixels
    found = f"shape {pixels.shape}, axes {''.join(axes)}"
    if pixels.ndim == 3 and axes[0] in _UNNAMED and pixels.shape[-1] <= MOST_CHANNELS:
        axes = ["Y", "X", "C"]
    elif pixels.ndim == 3 and axes[0] in _UNNAMED:
        axes = ["C", "Y", "X"]
    kind = {axis for axis in axes if axis not in "YX"}
    if pixels.ndim != 3 or kind not in ({"C"}, {"S"}):
        raise _stack(path, pixels.shape, "".join(axes))
    pixels = np.moveaxis(pixels, axes.index(kind.pop()), 0)
    if len(pixels) > MOST_CHANNELS:
        raise ImageError(
            f"{path}: expected at most {MOST_CHANNELS} channels, found {len(pixels)} ({found}); "
            "save the channel of the cells (in Fiji: Image > Duplicate) or, if it is a stack, each "
            f"plane ({_SPLIT}) as a file of its own"
        )
    return pixels


def _turned_around(pixels: NDArray[Any], n_bits: int) -> NDArray[Any]:
    """Give grey levels from black to white for those from white to black."""
    if pixels.dtype.kind == "b":
        return ~pixels
    # For floats and signed numbers it is unknown what is black.
    return (2**n_bits - 1) - pixels if pixels.dtype.kind == "u" else pixels


def _coloured(indices: NDArray[Any], colours: NDArray[np.uint16] | None) -> NDArray[np.uint8]:
    """Give red, green and blue, (3, H, W) uint8, for the indices (H, W) of a palette."""
    if colours is None:
        raise ValueError("it has no palette")
    # The table has 16 bits; some programs fill only the lower eight.
    eight_bits = colours >> 8 if colours.max(initial=0) > 255 else colours
    return eight_bits.astype(np.uint8)[:, indices]


def _stack(path: Path, shape: tuple[int, ...], axes: str) -> ImageError:
    return ImageError(
        f"{path}: expected one picture, found a stack of shape {shape} (axes {axes}); save its "
        f"planes as separate files ({_SPLIT}) or, if they are channels, as ImageJ or OME TIFF with "
        "axes CYX"
    )


def in_inks(path: Path) -> ImageError:
    """Give the error for a picture in the four inks of printing."""
    return ImageError(
        f"{path}: expected grey or red, green and blue, found printing inks (CMYK); "
        "convert it to RGB"
    )
