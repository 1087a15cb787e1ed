"""Lettering with Pillow's built-in font, so that pictures need no font of the machine's."""

import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

INK: Colour = (32, 32, 32)
PAPER: Colour = (255, 255, 255)


@cache
def load_font(size: int) -> Font:
    """Give Pillow's built-in font at `size` pixels; the same on every machine."""
    return ImageFont.load_default(size)


def add_caption(picture: NDArray[np.uint8], text: str, *, size: int = 20) -> NDArray[np.uint8]:
    """Put one line of text on a white strip above a picture.

    Parameters
    ----------
    picture : (H, W, 3) uint8
    text : str
        Cut with an ellipsis when it is wider than the picture; see `plain`.
    size : int
        Height of the letters, pixels.

    Returns
    -------
    (H + 1.6 · size, W, 3) uint8
    """
    strip = Image.new("RGB", (picture.shape[1], round(1.6 * size)), PAPER)
    pen = ImageDraw.Draw(strip)
    font = load_font(size)
    shown = fit_text(text, picture.shape[1] - size // 2, font)
    pen.text((size // 3, round(0.2 * size)), shown, fill=INK, font=font)
    return np.concatenate([np.asarray(strip), picture])


SPELLED = str.maketrans(
    {
        **dict.fromkeys("–—−‐‑", "-"),
        **dict.fromkeys("‘’‚", "'"),
        **dict.fromkeys("“”„", '"'),
        **dict.fromkeys("µμ", "u"),
        **{"×": "x", "…": "...", "·": ".", "•": "*", "°": " deg", "±": "+-", "→": "->", "⁄": "/"},
        **{"≤": "<=", "≥": ">=", "ß": "ss", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "œ": "oe"},
        **{"Œ": "OE", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ı": "i", "þ": "th", "Þ": "Th"},
        **{"ð": "d", "Ð": "D"},
    }
)
"""Signs that Unicode does not take apart into those of ASCII, as they are spelled with them."""


def plain(text: str) -> str:
    """Bring a text to the signs that the built-in font has, which are ASCII's.

    Notes
    -----
    Accents are dropped and `SPELLED` spells what else is near to a Latin letter; every other sign,
    as of other scripts, becomes "?". Only the lettering changes, never a file's name.

    Examples
    --------
    >>> plain("Zürich – 細胞"), plain("Größe 5 µm²")
    ('Zurich - ??', 'Grosse 5 um2')
    """
    signs = unicodedata.normalize("NFC", text)
    return " ".join("".join(map(_in_ascii, signs)).split())


@cache
def _in_ascii(sign: str) -> str:
    """Give what stands for one sign: nothing only for an accent, and what nobody sees."""
    parts = unicodedata.normalize("NFKD", sign.translate(SPELLED)).translate(SPELLED)
    kept = "".join(part for part in parts if not unicodedata.combining(part))
    if sign.isspace() or (kept.isascii() and kept.isprintable() and kept):
        return kept
    is_unseen = unicodedata.combining(sign) or unicodedata.category(sign) == "Cf"
    return "" if is_unseen else "?"


def fit_text(text: str, width: int, font: Font) -> str:
    """Give `text` in plain signs, cut with an ellipsis to at most `width` pixels."""
    text = plain(text)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..." if text else ""


def side_by_side(pictures: list[NDArray[np.uint8]], gap: int = 8) -> NDArray[np.uint8]:
    """Set pictures (H_i, W_i, 3) beside each other on white, tops aligned."""
    height = max(picture.shape[0] for picture in pictures)
    width = sum(picture.shape[1] for picture in pictures) + gap * (len(pictures) - 1)
    sheet = np.full((height, width, 3), 255, np.uint8)
    x = 0
    for picture in pictures:
        sheet[: picture.shape[0], x : x + picture.shape[1]] = picture
        x += picture.shape[1] + gap
    return sheet
