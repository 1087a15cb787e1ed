"""The pictures of a TIFF file: which planes are channels, and what the numbers stand for."""

from collections.abc import Iterator
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
_NAMED_IN_PLACES = "TZC"
"""Axes whose letter the place of a plane has: time, depth, channel."""
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
        first, *others = _alike(path, file)
        if others:
            raise _stack(path, (1 + len(others), *first.shape), "I" + first.axes)
        pixels = _channels(path, first.asarray(), list(first.axes))
        return _as_meant(file, pixels, as_stored=as_stored)


def read_planes(path: Path, *, as_stored: bool = False) -> Iterator[tuple[str, NDArray[Any]]]:
    """Read the planes of a stack, one after the other.

    Parameters
    ----------
    path : path
        TIFF file of several pictures: time points, depths, or pages. Channels of one picture stay
        together, unless there are more than four.
    as_stored : bool
        As for `read_image`.

    Yields
    ------
    place : str
        Where the plane lies, such as ``t03_z1``, from 0; without letters for axes that have no
        name. The order of the names is that of the planes.
    picture : (H, W) or (C, H, W) array
        As `read_image` gives it.

    Raises
    ------
    ImageError
        The file holds one picture, or one that `read_image` would refuse.
    OSError, and whatever a decoder raises
        The file cannot be read, or is broken.

    Notes
    -----
    The memory of some planes at a time: the file is mapped, or unpacked into a temporary file.
    """
    with tifffile.TiffFile(path) as file:
        alike = _alike(path, file)
        shape, axes = alike[0].shape, list(alike[0].axes)
        along = _stack_axes(shape, axes)
        if len(alike) == 1 and not along:
            raise ImageError(f"{path}: expected a stack of several planes, found one picture")
        lengths = (len(alike), *(shape[axis] for axis in along))
        letters = ["I", *(axes[axis] for axis in along)]
        rest = [name for axis, name in enumerate(axes) if axis not in along]
        for number, series in enumerate(alike):
            pixels = np.moveaxis(series.asarray(out="memmap"), along, range(len(along)))
            for indices in np.ndindex(pixels.shape[: len(along)]):
                plane = _channels(path, np.asarray(pixels[indices]), list(rest))
                place = _place((number, *indices), lengths, letters)
                yield place, _as_meant(file, plane, as_stored=as_stored)


def _alike(path: Path, file: tifffile.TiffFile) -> list[Any]:
    """Give the first series of a file and those that have its shape and type."""
    if not file.series:
        raise ValueError("it contains no image; the file may be truncated")
    first = file.series[0]
    if first.dtype is None or first.dtype.kind not in "buif":
        raise ImageError(f"{path}: expected grey levels, found numbers of type {first.dtype}")
    if file.pages.first.photometric == tifffile.PHOTOMETRIC.SEPARATED:
        raise in_inks(path)
    return [one for one in file.series if (one.shape, one.dtype) == (first.shape, first.dtype)]


def _as_meant(file: tifffile.TiffFile, pixels: NDArray[Any], *, as_stored: bool) -> NDArray[Any]:
    """Give a picture as its file says that the numbers are meant, without alpha."""
    page = file.pages.first
    is_shown_otherwise = not as_stored and not file.is_imagej
    if is_shown_otherwise and page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        return _turned_around(pixels, page.bitspersample)
    if is_shown_otherwise and page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        return _coloured(pixels, page.colormap)
    if pixels.ndim == 2:
        return pixels
    if page.photometric == tifffile.PHOTOMETRIC.RGB:
        return np.ascontiguousarray(pixels[:3])
    if page.extrasamples and page.extrasamples[-1] in _ALPHA:
        pixels = pixels[:-1]
    return np.ascontiguousarray(pixels if len(pixels) > 1 else pixels[0])


def _stack_axes(shape: tuple[int, ...], axes: list[str]) -> list[int]:
    """Give the axes along which whole pictures lie."""
    long = [axis for axis, length in enumerate(shape) if length > 1 or axes[axis] in "YX"]
    # As _channels has it: of three axes without names, a short first or last one is of channels.
    if len(long) == 3 and axes[long[0]] in _UNNAMED:
        first, _, last = (shape[axis] for axis in long)
        return [] if min(first, last) <= MOST_CHANNELS else long[:1]
    return [
        axis
        for axis in long
        if axes[axis] not in "YXCS" or (axes[axis] == "C" and shape[axis] > MOST_CHANNELS)
    ]


def _place(indices: tuple[int, ...], lengths: tuple[int, ...], letters: list[str]) -> str:
    """Give ``t03_z1`` for the places 3 and 1 along axes T and Z; axes of length 1 are left out."""
    return "_".join(
        f"{letter.lower() if letter in _NAMED_IN_PLACES else ''}{index:0{len(str(length - 1))}d}"
        for index, length, letter in zip(indices, lengths, letters, strict=True)
        if length > 1
    )


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
            "save the channel of the cells as a file of its own (`cellflow split` writes one file "
            "a plane, also of a stack)"
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
        f"{path}: expected one picture, found a stack of shape {shape} (axes {axes}); `cellflow "
        "split` writes one file a plane; if the planes are channels, save it as ImageJ or OME TIFF "
        "with axes CYX"
    )


def in_inks(path: Path) -> ImageError:
    """Give the error for a picture in the four inks of printing."""
    return ImageError(
        f"{path}: expected grey or red, green and blue, found printing inks (CMYK); "
        "convert it to RGB"
    )
