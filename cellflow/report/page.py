"""The page: sections, style, scripts and data in one file that needs no network."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from string import Template
from typing import Any

from cellflow._version import __version__
from cellflow.metrics.average_precision import HITS, Variant
from cellflow.metrics.matching import THRESHOLDS
from cellflow.metrics.score import empty_cases
from cellflow.report.headline import title_of
from cellflow.report.markup import Section, plain, script_json, tag, text
from cellflow.report.subject import Subject

SCRIPTS = ("cells.js", "panel.js", "viewer.js", "list.js")
"""The scripts, in the order in which they run."""
CSP = "default-src 'none'; img-src data:; style-src {style}; script-src {scripts}"
"""Content-Security-Policy: only own style and scripts, by their hashes, and embedded pictures."""


def assemble(
    subject: Subject, headline: str, sections: Sequence[Section], blocks: Sequence[str | None]
) -> str:
    """Give the whole page.

    Parameters
    ----------
    subject : Subject
    headline : str
        Markup of the first screen.
    sections : sequence of Section
    blocks : sequence of (str or None)
        JSON of each image of the subject, in its order.
    """
    style, scripts = _read("style.css"), [_read(one) for one in SCRIPTS]
    return Template(_read("page.html")).substitute(
        title=text(title_of(subject)),
        csp=CSP.format(style=_source(style), scripts=" ".join(map(_source, scripts))),
        version=text(__version__),
        style=style,
        contents="".join(tag("a", text(one.title), href=f"#{one.anchor}") for one in sections),
        headline=headline,
        sections="\n".join(one.markup for one in sections),
        data=_data("report-data", script_json(_facts(subject))),
        blocks="\n".join(
            _data(f"image-{index}", block) for index, block in enumerate(blocks) if block
        ),
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
    )


def method_section(subject: Subject, pictures: str) -> Section:
    """Give the section on how the numbers were computed.

    Parameters
    ----------
    subject : Subject
    pictures : str
        How the pictures were processed, plain text; may be empty.
    """
    lines = []
    if subject.scores:
        lines += [
            _how_scored(subject.scores[0].variant),
            "Intervals are 95 % bootstrap intervals over images, drawn within cell types, images "
            "of one group (plate and well), where known, together, widened for few images. They "
            "tell how much the number would move with other images like these.",
        ]
    if subject.comparison is not None:
        lines.append(
            "Differences are paired: each image is its own control. p is that of a permutation "
            "test that flips the sign of the images' differences; of several pairs it is corrected "
            "for their number by Holm's rule."
        )
    if not subject.scores:
        lines.append(
            "An image is unusual when the logarithm of its number of cells or of their median "
            "diameter lies more than three robust standard deviations from the median of all "
            "images, or when the model is much less sure there, or two models agree much less "
            "(mAP of one against the other). Unusual is not wrong: it is where to look first. A "
            "cell is shared when the first other model has one whose IoU with it is above that "
            "set over the pictures."
        )
    if pictures:
        lines.append(pictures)
    content = "".join(tag("p", text(line)) for line in lines)
    return Section(anchor="method", title="How these numbers came about", content=content)


def _how_scored(variant: Variant) -> str:
    """Explain the scores of a variant."""
    of = "TP / (TP + FP + FN)"
    if variant == "pooled":
        of += ", each summed over all images; mAP is its mean over the thresholds 0.50, 0.55 … 0.95"
    else:
        of += "; mAP is its mean over the thresholds 0.50, 0.55 … 0.95, then over images"
    told = (
        f"{HITS[variant]}. Average precision (AP) at a threshold is {of} (variant {variant}). "
        f"{empty_cases(variant)}"
    )
    if variant == "competition":
        return told
    return (
        f"{told} The error budget, hits and misses in the pictures, and what cutoffs and overlaps "
        "cost go by the variant competition all the same."
    )


def _facts(subject: Subject) -> Mapping[str, Any]:
    """Give the data that the scripts need, and the numbers for other programs."""
    numbers: Any = None
    if subject.comparison is not None:
        numbers = subject.comparison.to_dict()
    elif subject.scores:
        numbers = subject.scores[0].to_dict()
    return {
        "cellflow": __version__,
        "models": [plain(model) for model in subject.models],
        "hasTruth": bool(subject.scores),
        "thresholds": THRESHOLDS.tolist(),
        "images": [
            {"name": plain(name), "cellType": None if kind is None else plain(kind)}
            for name, kind in zip(subject.images, subject.cell_types, strict=True)
        ],
        "numbers": _plain(numbers),
    }


def _plain(content: Any) -> Any:
    """Apply `plain` to all text in nested plain values, including keys."""
    if isinstance(content, str):
        return plain(content)
    if isinstance(content, Mapping):
        return {plain(key): _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    return content


def _data(identifier: str, content: str) -> str:
    return f'<script type="application/json" id="{identifier}">{content}</script>'


def _read(name: str) -> str:
    return resources.files("cellflow.report").joinpath(name).read_text(encoding="utf-8")


def _source(content: str) -> str:
    digest = hashlib.sha256(content.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
