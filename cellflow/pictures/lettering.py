"""Text in pictures with Pillow's built-in font, so that no installed font is needed."""

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
    """Add a white strip with one line of text above a picture.

    Parameters
    ----------
    picture : (H, W, 3) uint8
    text : str
        Cut with an ellipsis if it is wider than the picture; see `plain` for special characters.
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
"""ASCII spellings of characters that Unicode normalisation does not decompose into ASCII."""


def plain(text: str) -> str:
    """Replace all characters that the built-in font lacks, which are those beyond ASCII.

    Notes
    -----
    Accents are dropped, and `SPELLED` has spellings for symbols and special Latin letters. All
    other characters, for instance of other scripts, become "?". This changes text in pictures only,
    never the name of a file.

    Examples
    --------
    >>> plain("Zürich – 細胞"), plain("Größe 5 µm²")
    ('Zurich - ??', 'Grosse 5 um2')
    """
    signs = unicodedata.normalize("NFC", text)
    return " ".join("".join(map(_in_ascii, signs)).split())


@cache
def _in_ascii(sign: str) -> str:
    """Give the replacement of one character; empty only for accents and invisible characters."""
    parts = unicodedata.normalize("NFKD", sign.translate(SPELLED)).translate(SPELLED)
    kept = "".join(part for part in parts if not unicodedata.combining(part))
    if sign.isspace() or (kept.isascii() and kept.isprintable() and kept):
        return kept
    is_unseen = unicodedata.combining(sign) or unicodedata.category(sign) == "Cf"
    return "" if is_unseen else "?"


def fit_text(text: str, width: int, font: Font) -> str:
    """Give `text` in ASCII, cut with an ellipsis to at most `width` pixels."""
    text = plain(text)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..." if text else ""


def side_by_side(pictures: list[NDArray[np.uint8]], gap: int = 8) -> NDArray[np.uint8]:
    """Place pictures (H_i, W_i, 3) beside each other on white, aligned at the top."""
    height = max(picture.shape[0] for picture in pictures)
    width = sum(picture.shape[1] for picture in pictures) + gap * (len(pictures) - 1)
    sheet = np.full((height, width, 3), 255, np.uint8)
    x = 0
    for picture in pictures:
        sheet[: picture.shape[0], x : x + picture.shape[1]] = picture
        x += picture.shape[1] + gap
    return sheet
