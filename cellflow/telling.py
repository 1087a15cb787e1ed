"""How work tells of itself: the library never prints."""

from collections.abc import Callable, Mapping

Report = Callable[[int, Mapping[str, float]], None]
"""Called as ``report(step, numbers)`` after every step; numbers hold at least ``total``."""

Say = Callable[[str], None]
"""Called with a sentence on what was found or chosen."""
