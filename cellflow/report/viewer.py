"""Markup of the viewer's buttons and its two pictures; `viewer.js` implements their behaviour."""

from cellflow.report.markup import tag, text
from cellflow.report.subject import Subject

Layer = tuple[str, str, str, str]
"""CSS class, name, key on the keyboard, and description."""

LAYERS_WITH_TRUTH: tuple[Layer, ...] = (
    ("truth", "Truth", "t", "what the annotators drew"),
    ("prediction", "Prediction", "p", "what the model found"),
    ("hits", "Hits", "h", "predictions that count as hits"),
    ("missed", "Missed", "m", "true cells without a hit"),
    ("spurious", "Spurious", "s", "predictions that hit nothing"),
)
LAYERS_OF_SEVERAL: tuple[Layer, ...] = (
    ("prediction", "Prediction", "p", "what the model found"),
    ("hits", "Shared", "h", "cells that another model finds too"),
    ("spurious", "Alone", "s", "cells that the other model does not find"),
)
LAYERS_OF_ONE = LAYERS_OF_SEVERAL[:1]
HINT = (
    "Point at a cell, or tap it. In a picture the arrow keys go from cell to cell, Escape lets go; "
    "double-click enlarges, dragging moves."
)
THRESHOLD = (
    '<label class="group">IoU above <input type="range" id="threshold" min="0" max="9" step="1" '
    'value="0"><output id="threshold-shown">0.50</output></label>'
)


CONFIDENCE = (
    '<label class="group">confidence from <input type="range" id="confidence" min="0" max="100" '
    'step="5" value="0"><output id="confidence-shown">0.00</output></label>'
)


def viewer(subject: Subject) -> str:
    """Give the viewer, hidden until a script opens an image in it."""
    browse = tag(
        "div",
        _button("previous", "‹ Previous", "k"),
        '<output id="position"></output>',
        _button("next", "Next ›", "j"),
        class_="group",
    )
    zoom = tag(
        "div",
        _button("zoom-out", "−", "-", "smaller"),
        '<output id="zoom">100 %</output>',
        _button("zoom-in", "+", "+", "larger"),
        class_="group",
        role="group",
        aria_label="Zoom",
    )
    sliders = THRESHOLD if _has_matches(subject) else ""
    sliders += CONFIDENCE if any(subject.confidences) else ""
    return tag(
        "div",
        tag("h3", '<span id="image-name"></span>', id="viewer-title"),
        tag("div", browse, _layers(subject), sliders, zoom, class_="toolbar"),
        tag("div", _panel(subject, 0), _panel(subject, 1), class_="panels-large"),
        tag("p", HINT, class_="hint"),
        id="viewer",
        role="group",
        aria_labelledby="viewer-title",
        hidden=True,
    )


def _has_matches(subject: Subject) -> bool:
    """Tell whether cells are matched with truth or with those of another model."""
    return subject.truths is not None or len(subject.models) > 1


def _layers(subject: Subject) -> str:
    layers = LAYERS_WITH_TRUTH if subject.truths is not None else LAYERS_OF_SEVERAL
    shown_first = {"hits", "missed", "spurious"}
    if not _has_matches(subject):
        layers, shown_first = LAYERS_OF_ONE, {"prediction"}
    buttons = [
        tag(
            "button",
            _swatch(layer),
            text(label),
            " ",
            tag("kbd", key.upper()),
            type="button",
            aria_pressed="true" if layer in shown_first else "false",
            aria_keyshortcuts=key,
            data_layer=layer,
            title=meaning,
        )
        for layer, label, key, meaning in layers
    ]
    return tag("div", *buttons, class_="group layers", role="group", aria_label="Show")


def _panel(subject: Subject, side: int) -> str:
    """Give one of the two pictures; a single model is shown beside the bare image."""
    shown = side if len(subject.models) > 1 else side - 1
    options = [tag("option", "image alone", value=-1, selected=shown == -1)]
    options += [
        tag("option", text(model), value=index, selected=shown == index)
        for index, model in enumerate(subject.models)
    ]
    where = ("left", "right")[side]
    canvas = tag(
        "canvas",
        tabindex=0,
        role="application",
        aria_roledescription="picture of cells",
        aria_label=f"{where} picture",
    )
    return tag(
        "figure",
        tag(
            "figcaption",
            tag("select", *options, aria_label=f"What the {where} picture shows"),
            tag("span", class_="counts"),
        ),
        tag("div", canvas, tag("div", class_="tip", hidden=True), class_="stage"),
        tag("p", "\N{NO-BREAK SPACE}", class_="fact", aria_live="polite"),
        class_="panel-large",
        data_side=side,
    )


def _button(identifier: str, label: str, key: str, meaning: str | None = None) -> str:
    return tag(
        "button",
        text(label),
        id=identifier,
        type="button",
        aria_keyshortcuts=key,
        aria_label=meaning,
        title=f"key {key.upper()}",
    )


def _swatch(layer: str) -> str:
    line = tag("line", x1=1, x2=25, y1=6, y2=6, class_=f"swatch {layer}")
    return tag("svg", line, width=26, height=12, aria_hidden="true")
