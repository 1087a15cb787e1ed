"""Strictly valid JSON, and the reading of JSON files with helpful error messages."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from cellflow._version import __version__
from cellflow.errors import CellflowError


def to_json(content: Any, indent: int | None = 2) -> str:
    """Give `content` as JSON; NaN and infinities, which JSON lacks, become null.

    Parameters
    ----------
    content : dict, list, tuple, str, number, bool or None, nested
    indent : int, optional
        None = all on one line.
    """
    return json.dumps(_finite(content), indent=indent, ensure_ascii=False, allow_nan=False)


def read_object(
    path: Path, refusal: type[CellflowError], advice: str = "", *, newest: int | None = None
) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Parameters
    ----------
    path : Path
    refusal : type of CellflowError
        Raised if the file cannot be read or is broken.
    advice : str
        What the user should do then; the end of the message.
    newest : int, optional
        The latest ``format`` that this version can read; a file without the key has format 1.

    Raises
    ------
    CellflowError
        Of the type `refusal`.
    """
    behind = f"; {advice}" if advice else ""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise refusal(f"{path}: cannot read ({error.strerror}){behind}") from error
    except (ValueError, RecursionError) as error:
        raise refusal(f"{path}: broken ({error}){behind}") from error
    if not isinstance(content, dict):
        raise refusal(f"{path}: broken (not a JSON object){behind}")
    if newest is not None:
        written = content.get("format", 1)
        if type(written) is not int or written < 1:
            raise refusal(f"{path}: broken (format: expected a number from 1, found {written!r})")
        if written > newest:
            raise refusal(f"{path}: written by a newer cellflow; this is {__version__}{behind}")
    return content


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """An object in a JSON file, whose values are checked when they are accessed.

    Parameters
    ----------
    path : Path
        The file.
    values : mapping
    refusal : type of CellflowError
        Raised for a value that is missing or has another type.
    advice : str
        What the user should do then; the end of the message.
    where : str
        Place of the object in the file, such as ``"split."``; empty for the whole file.
    """

    path: Path
    values: Mapping[str, Any]
    refusal: type[CellflowError]
    advice: str
    where: str = ""

    def text(self, key: str) -> str:
        """Give a string."""
        value = self.values.get(key)
        return value if isinstance(value, str) else self._refuse(key, "a string")

    def texts(self, key: str) -> tuple[str, ...]:
        """Give a list of strings."""
        value = self.values.get(key)
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
            self._refuse(key, "a list of strings")
        return tuple(value)

    def inner(self, key: str) -> "Fields":
        """Give a nested object."""
        value = self.values.get(key)
        if not isinstance(value, Mapping):
            self._refuse(key, "an object")
        return replace(self, values=value, where=f"{self.where}{key}.")

    def _refuse(self, key: str, expected: str) -> NoReturn:
        found = f"found {self.values[key]!r:.60}" if key in self.values else "it is missing"
        behind = f"; {self.advice}" if self.advice else ""
        raise self.refusal(f"{self.path}: {self.where}{key}: expected {expected}, {found}{behind}")


def _finite(content: Any) -> Any:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return content
