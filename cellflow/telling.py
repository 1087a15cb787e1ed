"""Progress callbacks, since the library never prints."""

from collections.abc import Callable, Mapping

Report = Callable[[int, Mapping[str, float]], None]
"""Called as ``report(step, numbers)`` after every step; numbers contain at least ``total``."""

Say = Callable[[str], None]
"""Called as ``say(text)`` with a sentence on what was found or chosen."""


def ignore(*_: object) -> None:
    """Take the place of a `Report` or a `Say` that nobody hears."""
