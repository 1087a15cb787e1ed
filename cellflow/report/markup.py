"""HTML and SVG from untrusted text: names of files, images and models."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cellflow.interval import Interval
from cellflow.jsontext import to_json

MINUS = "−"

_UNSHOWN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters and lone surrogates, which are not allowed in HTML files."""


_JSON_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}
"""Characters that could end a script element, or a line of script."""


def plain(value: object) -> str:
    """Give a value as text; characters that UTF-8 or HTML do not allow become U+FFFD."""
    return _UNSHOWN.sub("\ufffd", str(value))


def text(value: object) -> str:
    """Give a value as escaped text for an HTML element or attribute.

    Examples
    --------
    >>> text("<i> & 'a'")
    '&lt;i&gt; &amp; &#x27;a&#x27;'
    """
    return html.escape(plain(value), quote=True)


def script_json(content: Any) -> str:
    """Give plain values as JSON that can stand inside a script element."""
    return to_json(content, indent=None).translate(_JSON_ESCAPES)


def name(value: object) -> str:
    """Give a name as an element of its own, so that its text direction affects nothing else."""
    return f"<bdi>{text(value)}</bdi>"


def bounds(interval: Interval, *, signed: bool = False) -> str:
    """Format the bounds of an interval, or that there is none."""
    return interval.bounds("+.3f" if signed else ".3f").replace("-", MINUS)


def number(value: float, *, signed: bool = False) -> str:
    """Format a score or a difference with three decimals and a typographic minus sign."""
    return f"{value:{'+.3f' if signed else '.3f'}}".replace("-", MINUS)


def tag(kind: str, *content: str, **attributes: object) -> str:
    """Give an element.

    Parameters
    ----------
    kind : str
        Name of the tag.
    *content : str
        Markup, not escaped again.
    **attributes
        ``class_`` becomes ``class``, other underscores become hyphens. None omits the attribute,
        True gives it without a value; numbers are rounded to two decimals.

    Examples
    --------
    >>> tag("line", x1=1 / 3, class_="axis", hidden=True)
    '<line x1="0.33" class="axis" hidden></line>'
    """
    written = "".join(_attribute(*item) for item in attributes.items())
    return f"<{kind}{written}>{''.join(content)}</{kind}>"


def _attribute(key: str, value: object) -> str:
    key = key.rstrip("_").replace("_", "-")
    # This SVG attribute has a capital letter.
    key = "viewBox" if key == "viewbox" else key
    if value is None or value is False:
        return ""
    if value is True:
        return f" {key}"
    shown = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else text(value)
    return f' {key}="{shown}"'


def table(
    caption: str, header: Sequence[str], rows: Sequence[Sequence[str]], class_: str = "numbers"
) -> str:
    """Give a table whose first column names the rows.

    Parameters
    ----------
    caption : str
        Text; shown above the table, and read by screen readers.
    header : sequence of str
        Text.
    rows : sequence of sequence of str
        Markup.
    """
    head = "".join(tag("th", text(cell), scope="col") for cell in header)
    body = "".join(
        tag("tr", tag("th", first, scope="row"), *(tag("td", cell) for cell in rest))
        for first, *rest in rows
    )
    return tag(
        "div",
        tag(
            "table",
            tag("caption", text(caption)),
            tag("thead", tag("tr", head)),
            tag("tbody", body),
            class_=class_,
        ),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=caption,
    )


def figure(plots: str, caption: str, numbers: str) -> str:
    """Give plots with their caption and, collapsed, a table of their numbers.

    Parameters
    ----------
    plots, caption, numbers : str
        Markup.
    """
    return tag(
        "figure",
        plots,
        tag("figcaption", caption),
        tag("details", tag("summary", "The numbers"), numbers),
        class_="plot",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section of the page that links can point to.

    Parameters
    ----------
    anchor : str
        Target of links.
    title : str
        Text.
    content : str
        Markup.
    """

    anchor: str
    title: str
    content: str

    @property
    def markup(self) -> str:
        """The section with its heading."""
        identifier = f"{self.anchor}-title"
        heading = tag("h2", text(self.title), id=identifier)
        return tag("section", heading, self.content, id=self.anchor, aria_labelledby=identifier)
