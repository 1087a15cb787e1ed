"""Pictures and label images: PNG, TIFF and JPEG at their full bit depth."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from cellflow.atomic import atomic_path
from cellflow.errors import ImageError, LabelError

TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
SUFFIXES = frozenset({".png", ".jpg", ".jpeg"}) | TIFF_SUFFIXES
"""File names that count as images, lower case."""

_MOST_CHANNELS = 4


def read_image(path: Path | str) -> NDArray[Any]:
    """Read a picture as it is in the file.

    Parameters
    ----------
    path : path
        PNG, JPEG or TIFF; 8 or 16 bit, or float TIFF.

    Returns
    -------
    (H, W) or (C, H, W) array
        Grey, or the colour channels first. An alpha channel is dropped, grey stored as equal
        red, green and blue stays three channels.

    Raises
    ------
    ImageError
        The file is missing, truncated, of another format, or a stack of several planes.
    """
    path = Path(path)
    pixels = np.squeeze(_decode(path))
    if pixels.ndim == 2:
        return pixels
    if pixels.ndim == 3 and pixels.shape[-1] <= _MOST_CHANNELS:
        pixels = np.moveaxis(pixels, -1, 0)
    if pixels.ndim != 3 or len(pixels) > _MOST_CHANNELS:
        raise ImageError(
            f"{path}: expected one picture, grey or colour, found an array of shape {pixels.shape}"
        )
    # Two channels are grey with alpha, four are colour with alpha; TIFF may hold two real ones.
    if path.suffix.lower() not in TIFF_SUFFIXES and len(pixels) == 2:
        return np.ascontiguousarray(pixels[0])
    return np.ascontiguousarray(pixels[:3])


def read_label_image(path: Path | str) -> NDArray[np.int32]:
    """Read a label image: 0 background, one whole number a cell.

    Parameters
    ----------
    path : path
        Grey or palette PNG (the indices are read, not the colours), or TIFF.

    Returns
    -------
    (H, W) int32

    Raises
    ------
    ImageError
        As `read_image`.
    LabelError
        The picture is coloured, holds fractions or negative numbers, or exceeds int32.
    """
    path = Path(path)
    labels = _palette_indices(path) if path.suffix.lower() == ".png" else None
    if labels is None:
        labels = read_image(path)
    if labels.ndim != 2:
        raise LabelError(
            f"{path}: expected a label image with one channel, found {len(labels)} channels"
        )
    if labels.dtype.kind not in "iub":
        raise LabelError(f"{path}: expected whole numbers as labels, found {labels.dtype}")
    if labels.size and (labels.min() < 0 or labels.max() > np.iinfo(np.int32).max):
        raise LabelError(f"{path}: labels must be between 0 and 2147483647")
    return labels.astype(np.int32)


def list_images(folder: Path | str) -> list[Path]:
    """Give the image files directly in a folder, in natural order (``a2`` before ``a10``).

    Raises
    ------
    ImageError
        The folder does not exist or holds no image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder}: no such folder")
    paths = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    ]
    if not paths:
        raise ImageError(f"{folder}: no images; looked for {', '.join(sorted(SUFFIXES))}")
    return sorted(paths, key=_natural_order)


def find_images(sources: Sequence[Path]) -> list[Path]:
    """Give the images that files and folders stand for.

    Parameters
    ----------
    sources : sequence of path
        Image files, folders of images, or the competition's folder, of which ``test/`` is meant.

    Raises
    ------
    ImageError
        A folder holds no image.
    """
    found: list[Path] = []
    for source in sources:
        if not source.is_dir():
            found.append(source)
        elif (source / "train.csv").exists() and (source / "test").is_dir():
            found += list_images(source / "test")
        else:
            found += list_images(source)
    return found


def write_png(path: Path | str, pixels: NDArray[np.uint8]) -> None:
    """Write (H, W) or (H, W, 3) uint8 as PNG, whole or not at all."""
    encoded = imagecodecs.png_encode(np.ascontiguousarray(pixels), level=6)
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded)


def write_label_tiff(path: Path | str, labels: NDArray[np.int32]) -> None:
    """Write a label image as compressed TIFF, whole or not at all.

    Notes
    -----
    uint16 while the labels fit, since ImageJ shows that directly, otherwise uint32. Never uint8:
    an image can hold 790 cells.
    """
    fits = int(labels.max(initial=0)) <= np.iinfo(np.uint16).max
    with atomic_path(path) as temporary:
        tifffile.imwrite(
            temporary, labels.astype(np.uint16 if fits else np.uint32), compression="zlib"
        )


def _decode(path: Path) -> NDArray[Any]:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ImageError(f"{path}: unknown kind of image; known: {', '.join(sorted(SUFFIXES))}")
    try:
        if suffix in TIFF_SUFFIXES:
            return np.asarray(tifffile.imread(path))
        content = path.read_bytes()
        decode = imagecodecs.png_decode if suffix == ".png" else imagecodecs.jpeg_decode
        return np.asarray(decode(content))
    except OSError as error:
        raise ImageError(f"{path}: cannot read: {error.strerror or error}") from error
    except (ValueError, RuntimeError, IndexError, KeyError, TypeError) as error:
        # What the decoders raise for a truncated or mislabelled file differs by codec.
        raise ImageError(f"{path}: broken image, or not {suffix[1:].upper()}: {error}") from error


def _palette_indices(path: Path) -> NDArray[Any] | None:
    """Give the indices of a palette PNG, or None when the file has no palette."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return np.asarray(picture) if picture.mode == "P" else None
    except OSError as error:
        raise ImageError(f"{path}: cannot read as PNG: {error.strerror or error}") from error


def _natural_order(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]
