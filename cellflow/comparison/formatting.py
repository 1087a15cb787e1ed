"""Numbers and long sentences as text of at most 100 columns."""

import textwrap
from collections.abc import Sequence

from cellflow.wording import defined

WIDTH = 100


def wrapped(sentences: Sequence[str]) -> list[str]:
    """Break sentences into lines; continuation lines are indented."""
    return [
        line
        for sentence in sentences
        for line in textwrap.wrap(sentence, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    ]


def p_value(p: float) -> str:
    """Format as ``0.136``, or as below a thousandth."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def visible_text(size: float) -> str:
    """Format a value of `smallest_visible`; "none" if no difference is large enough."""
    return defined(size, ".3f")
