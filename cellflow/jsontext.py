"""Plain values as JSON that every reader takes."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cellflow._version import __version__
from cellflow.errors import CellflowError


def to_json(content: Any, indent: int | None = 2) -> str:
    """Give `content` as JSON; NaN and infinities, which JSON does not know, become null.

    Parameters
    ----------
    content : dict, list, tuple, str, number, bool or None, nested
    indent : int, optional
        None = all in one line.
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
        What is raised when the file cannot be read or is broken.
    advice : str
        What to do then, as the end of the sentence.
    newest : int, optional
        The latest ``format`` that this version reads; a file that names none is of the first.

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
        raise refusal(f"{path}: broken (no JSON object){behind}")
    if newest is not None:
        written = content.get("format", 1)
        if type(written) is not int or written < 1:
            raise refusal(f"{path}: broken (format: expected a number from 1, found {written!r})")
        if written > newest:
            raise refusal(f"{path}: written by a newer cellflow; this is {__version__}{behind}")
    return content


def _finite(content: Any) -> Any:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return content
