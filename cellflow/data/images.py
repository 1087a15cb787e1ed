"""Pictures: PNG, TIFF and JPEG at full bit depth."""

import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tifffile import TiffFileError

from cellflow.atomic import atomic_path
from cellflow.data.tiff import MOST_CHANNELS, in_inks, read_tiff
from cellflow.errors import ImageError
from cellflow.wording import counted

TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
SUFFIXES = frozenset({".png", ".jpg", ".jpeg"}) | TIFF_SUFFIXES
"""File names that count as images, lower case."""
OTHER_SUFFIXES = frozenset(
    {".bmp", ".gif", ".webp", ".jp2", ".czi", ".nd2", ".lif", ".lsm", ".oib", ".ims", ".vsi"}
)
"""File names of pictures that cannot be read, lower case; they must be saved as TIFF."""
MASK_ENDINGS = ("_masks", "_mask", "_cp_masks", "_label", "_labels")
"""What a label image's name has in addition to its picture's."""
IMAGE_ENDING = "_img"
"""What Cellpose's own data sets add to a picture's name."""

_BROKEN = (
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    struct.error,
    TiffFileError,
)
"""What decoders raise for a truncated or mislabelled file, which differs from codec to codec."""
_START_OF_SCAN = 0xDA
_PNG_PALETTE = b"\x03"
"""Colour type, the 26th byte of a PNG file."""


def read_image(path: Path | str, *, as_stored: bool = False) -> NDArray[Any]:
    """Read a picture as it is in the file.

    Parameters
    ----------
    path : path
        PNG, JPEG or TIFF; 8 or 16 bit, or float TIFF.
    as_stored : bool
        For label images: give a palette's indices instead of its colours, and do not invert a TIFF
        that is shown from white to black.

    Returns
    -------
    (H, W) or (C, H, W) array
        Grey, or up to four channels first. An alpha channel is dropped, a palette becomes red,
        green and blue, grey stored as equal red, green and blue stays three channels.

    Raises
    ------
    ImageError
        The file is missing, truncated, of another format, a stack of several planes, or in the
        four inks of printing (CMYK).

    Notes
    -----
    A TIFF says whether its planes are channels or a stack; several pages are a stack. If the first
    axis has no name, up to four planes are channels. Of pictures of several sizes, as in a pyramid,
    the first is read. A TIFF whose grey levels go from white to black is inverted. In ImageJ,
    palettes and inverted greys only change the display, so its numbers are always read as stored.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ImageError(f"{path}: unknown kind of image; known: {', '.join(sorted(SUFFIXES))}")
    with naming_broken(path):
        if suffix in TIFF_SUFFIXES:
            return read_tiff(path, as_stored=as_stored)
        if as_stored and suffix == ".png" and (indices := _palette_indices(path)) is not None:
            return indices
        content = path.read_bytes()
        if suffix == ".png":
            return _channels_first(imagecodecs.png_decode(content))
        decoded = imagecodecs.jpeg_decode(content)
    if not _jpeg_is_whole(content):
        # The decoder fills what is missing with grey and says nothing.
        raise ImageError(f"{path}: truncated: the JPEG has no end; copy the file again")
    # A JPEG has no alpha channel.
    if decoded.ndim == 3 and decoded.shape[-1] == MOST_CHANNELS:
        raise in_inks(path)
    return _channels_first(decoded)


@contextmanager
def naming_broken(path: Path) -> Iterator[None]:
    """Turn whatever decoders raise into an `ImageError` that names the file."""
    try:
        yield
    except OSError as error:
        raise ImageError(f"{path}: cannot read: {error.strerror or error}") from error
    except _BROKEN as error:
        kind = path.suffix[1:].upper()
        raise ImageError(f"{path}: broken image, or not {kind}: {error}") from error


def image_files(folder: Path) -> list[Path]:
    """Give the image files directly in a folder, sorted by name, without hidden ones."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )


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
    paths = image_files(folder)
    if not paths:
        raise ImageError(f"{folder}: no images; looked for {', '.join(sorted(SUFFIXES))}")
    return sorted(paths, key=_natural_order)


def find_images(sources: Sequence[Path]) -> list[Path]:
    """Give the images that files and folders stand for.

    Parameters
    ----------
    sources : sequence of path
        Image files, folders of images, or the competition's folder, of which ``test/`` is meant.
        Label images that lie beside their pictures are left out.

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
            found += _without_masks(list_images(source))
    return found


def left_out_text(sources: Sequence[Path]) -> str:
    """Say what lies in the folders and looks like pictures, but is not found by `find_images`.

    Returns
    -------
    str
        Such as ``left out: 2 files of unsupported kinds (a.bmp), 1 image in folders beneath
        (b/c.png)``; empty if there is nothing. Looks one level deep.
    """
    folders = [source for source in sources if source.is_dir()]
    folders = [folder for folder in folders if not (folder / "train.csv").exists()]
    beneath = [path for folder in folders for path in sorted(folder.glob("*/*"))]
    beneath = [path for path in beneath if path.suffix.lower() in SUFFIXES]
    others = [path for folder in folders for path in sorted(folder.iterdir())]
    others = [path for path in others if path.suffix.lower() in OTHER_SUFFIXES]
    parts = []
    if others:
        kinds = f"{counted(len(others), 'file')} of unsupported kinds ({others[0].name})"
        parts.append(kinds)
    if beneath:
        where = f"{beneath[0].parent.name}/{beneath[0].name}"
        parts.append(f"{counted(len(beneath), 'image')} in subfolders ({where})")
    return f"left out: {', '.join(parts)}" if parts else ""


def _without_masks(paths: list[Path]) -> list[Path]:
    pictures = {path.stem for path in paths}
    return [path for path in paths if not _picture_of(path.stem) & pictures]


def _picture_of(stem: str) -> set[str]:
    """Give the names that the picture of a label image may have."""
    names = {stem.removesuffix(ending) for ending in MASK_ENDINGS if stem.endswith(ending)}
    return names | {name + IMAGE_ENDING for name in names}


def write_png(path: Path | str, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write (H, W) or (H, W, 3) pixels, uint8 or uint16, as PNG, whole or not at all."""
    encoded = imagecodecs.png_encode(np.ascontiguousarray(pixels), level=6)
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded)


def _channels_first(pixels: NDArray[Any]) -> NDArray[Any]:
    """Give (H, W) or (C, H, W) for a decoded PNG or JPEG, without the alpha channel."""
    if pixels.ndim == 2:
        return pixels
    # One and two channels are grey, three and four are colour; the second or fourth is alpha.
    if pixels.shape[-1] <= 2:
        return np.ascontiguousarray(pixels[..., 0])
    return np.ascontiguousarray(np.moveaxis(pixels[..., :3], -1, 0))


def _jpeg_is_whole(content: bytes) -> bool:
    """Tell whether the picture data, after the headers, has its end-of-image marker."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        if content[at + 1] == _START_OF_SCAN:
            return content.find(b"\xff\xd9", at) >= 0
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return False


def _palette_indices(path: Path) -> NDArray[Any] | None:
    """Give the indices of a palette PNG, or None if the file has no palette."""
    try:
        with path.open("rb") as file:
            header = file.read(26)
        if header[25:] != _PNG_PALETTE:
            return None
        with Image.open(path) as picture:
            return np.asarray(picture)
    except (OSError, SyntaxError) as error:
        raise ImageError(f"{path}: cannot read as PNG: {error}") from error


def _natural_order(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    parts = re.split(r"(\d+)", path.name)
    keys = [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
    # "a1" and "a01" are equal up to here.
    return keys, path.name
