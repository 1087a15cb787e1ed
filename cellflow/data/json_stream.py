"""JSON files larger than memory, item by item.

The standard decoder can read one value from the beginning of a longer text. Here that text is a
window that moves over the file: what is decoded is dropped in front, more is read at the end.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from cellflow.errors import DataError

CHUNK = 1 << 20
"""Characters read at once."""

LONGEST_ITEM = 1 << 28
"""Characters of one item, at most; with a longer one the file is taken for broken."""

_SPACE = " \t\n\r"
_LONGEST_TOKEN = 16
"""A number or a name like ``-Infinity`` this close to the window's end may be cut off."""


def iterate_json(path: Path | str) -> Iterator[tuple[str, Any]]:
    """Give the items of a JSON file one by one.

    Parameters
    ----------
    path : path
        A JSON array, or an object whose members may be long arrays. UTF-8 with or without BOM.

    Yields
    ------
    key : str
        Of the member that the item belongs to; "" if the file is one array.
    item : any
        An element of an array, or the whole value of a member that is not an array.

    Raises
    ------
    DataError
        The file cannot be read, is not UTF-8, or is not valid JSON; names the character.

    Notes
    -----
    Memory: a chunk of text and one item. Arrays nested deeper are read as a whole; in COCO files
    these are short.
    """
    with _reading(Path(path)) as reader:
        yield from reader.items()


def starts_json_array(path: Path | str) -> bool:
    """Tell whether the file's first character, after spaces, opens an array.

    Raises
    ------
    DataError
        As `iterate_json`.
    """
    with _reading(Path(path)) as reader:
        return reader.peek() == "["


@contextmanager
def _reading(path: Path) -> Iterator["_Reader"]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield _Reader(path, file)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text: {error.reason}") from error


class _Reader:
    """A window over the text of a file."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self._path, self._file = path, file
        self._text, self._at = "", 0
        self._passed = 0
        self._decoder = json.JSONDecoder()

    def items(self) -> Iterator[tuple[str, Any]]:
        """Give all items, and refuse any text after them."""
        opening = self.peek()
        if opening == "[":
            for item in self._array():
                yield "", item
        elif opening == "{":
            yield from self._object()
        else:
            self._fail("expected [ or { at the beginning", self._at)
        if self.peek():
            self._fail("expected the end of the file", self._at)

    def peek(self) -> str:
        """Give the next character that is not a space, "" at the end of the file."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if not self._read_on():
                return ""

    def _array(self) -> Iterator[Any]:
        self._take("[")
        if self.peek() == "]":
            self._at += 1
            return
        while True:
            yield self._value()
            if self._take(",]") == "]":
                return

    def _object(self) -> Iterator[tuple[str, Any]]:
        self._take("{")
        if self.peek() == "}":
            self._at += 1
            return
        while True:
            if self.peek() != '"':
                self._fail("expected a member's name in quotes", self._at)
            key = self._value()
            self._take(":")
            if self.peek() == "[":
                for item in self._array():
                    yield key, item
            else:
                yield key, self._value()
            if self._take(",}") == "}":
                return

    def _take(self, allowed: str) -> str:
        found = self.peek()
        if not found or found not in allowed:
            what = repr(found) if found else "the end of the file"
            self._fail(f"expected {' or '.join(allowed)}, found {what}", self._at)
        self._at += 1
        return found

    def _value(self) -> Any:
        """Decode one value; reads on as long as its text seems to be cut off."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                place = self._passed + error.pos
                near_end = error.pos >= len(self._text) - _LONGEST_TOKEN
                is_cut = near_end or error.msg.startswith("Unterminated string")
                if not is_cut or not self._read_on():
                    self._fail(error.msg, place - self._passed)
            except RecursionError:
                self._fail("nested too deep", self._at)
            except ValueError as error:  # a number of too many digits
                self._fail(str(error), self._at)
            else:
                length = end - self._at
                # "1" may go on as "12", and "1e+" as "1e+5".
                is_cut = len(self._text) - end <= 2 and isinstance(value, int | float)
                if not is_cut or not self._read_on():
                    self._at += length
                    return value

    def _read_on(self) -> bool:
        """Drop what is decoded and append more; tells whether there was more."""
        if len(self._text) - self._at > LONGEST_ITEM:
            self._fail(f"an item is longer than {LONGEST_ITEM:,} characters", self._at)
        # Doubles the text, so that a long item is not decoded again for every chunk.
        more = self._file.read(max(CHUNK, len(self._text) - self._at))
        self._passed += self._at
        self._text, self._at = self._text[self._at :] + more, 0
        return bool(more)

    def _fail(self, reason: str, at: int) -> None:
        raise DataError(
            f"{self._path}: not valid JSON at character {self._passed + at + 1:,}: {reason}"
        )
