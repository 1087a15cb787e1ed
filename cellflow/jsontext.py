"""Plain values as JSON that every reader takes."""

import json
import math
from collections.abc import Mapping
from typing import Any


def to_json(content: Any, indent: int | None = 2) -> str:
    """Give `content` as JSON; NaN and infinities, which JSON does not know, become null.

    Parameters
    ----------
    content : dict, list, tuple, str, number, bool or None, nested
    indent : int, optional
        None = all in one line.
    """
    return json.dumps(_finite(content), indent=indent, ensure_ascii=False, allow_nan=False)


def _finite(content: Any) -> Any:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return content
