"""Wording of counts, names and times in messages."""

import math
from collections.abc import Sequence


def counted(number: int, noun: str, form: str = "d") -> str:
    """Give a count with its noun, in singular or plural.

    Parameters
    ----------
    number : int
    noun : str
        In the singular, with a plural in -s; other words may precede it.
    form : str
        Format of the number: "," groups its digits.

    Examples
    --------
    >>> counted(1, "image"), counted(3, "truth image"), counted(2000, "cell", ",")
    ('1 image', '3 truth images', '2,000 cells')
    """
    return f"{number:{form}} {noun}" if number == 1 else f"{number:{form}} {noun}s"


def defined(value: float, form: str, otherwise: str = "none") -> str:
    """Format a number; give a word instead if it is not finite.

    Examples
    --------
    >>> defined(0.25, ".3f"), defined(math.nan, "8.3f"), defined(math.nan, ".3f", "–")
    ('0.250', 'none', '–')
    """
    return f"{value:{form}}" if math.isfinite(value) else otherwise


def some_of(names: Sequence[str]) -> str:
    """List the first five names, and say how many more there are.

    Examples
    --------
    >>> some_of(["a", "b"]), some_of(list("abcdefgh"))
    ('a, b', 'a, b, c, d, e and 3 more')
    """
    rest = len(names) - 5
    return ", ".join(names[:5]) + (f" and {rest} more" if rest > 0 else "")


def shortened(text: str) -> str:
    """Give the first 40 characters of a text, with … if it is longer.

    Examples
    --------
    >>> shortened("1 2 3"), len(shortened("1 2 " * 100))
    ('1 2 3', 41)
    """
    return text if len(text) <= 40 else text[:40] + "…"


def first_line(error: BaseException) -> str:
    r"""Give the first line of an error's message, or its type if there is no message.

    Examples
    --------
    >>> first_line(OSError("full\nSet DEBUG=1")), first_line(MemoryError())
    ('full', 'MemoryError')
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def duration_text(seconds: float) -> str:
    """Format a duration with about two significant digits.

    Examples
    --------
    >>> [duration_text(seconds) for seconds in (0.2, 20, 400, 12000)]
    ['1 s', '20 s', '7 min', '3.3 h']
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
