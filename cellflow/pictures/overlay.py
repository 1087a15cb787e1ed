"""Overlays: an image, its true outlines and its predicted outlines side by side, as one PNG."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cellflow.data.images import write_png
from cellflow.metrics.overlap import Cells, as_masks
from cellflow.pictures.colours import HIT, MISSED, SPURIOUS, colour_matches
from cellflow.pictures.display import stretch_contrast
from cellflow.pictures.lettering import add_caption, side_by_side
from cellflow.pictures.outlines import ZOOM, enlarge, outlines
from cellflow.wording import counted

Colouring = Literal["cells", "matches"]


def save_overlay(
    path: Path | str,
    image: NDArray[Any],
    *,
    truth: Cells | None = None,
    predicted: Cells | None = None,
    title: str = "",
    colouring: Colouring = "cells",
    zoom: int = ZOOM,
) -> None:
    """Write the picture of `draw_overlay` as PNG, completely or not at all.

    Raises
    ------
    DataError
        The file cannot be written.
    ImageError
        As `draw_overlay`.
    """
    picture = draw_overlay(
        image, truth=truth, predicted=predicted, title=title, colouring=colouring, zoom=zoom
    )
    write_png(path, picture)


def draw_overlay(
    image: NDArray[Any],
    *,
    truth: Cells | None = None,
    predicted: Cells | None = None,
    title: str = "",
    colouring: Colouring = "cells",
    zoom: int = ZOOM,
) -> NDArray[np.uint8]:
    """Draw an image, and beside it the outlines of truth and prediction, as far as given.

    Parameters
    ----------
    image : (H, W) or (C, H, W), any real dtype
    truth, predicted : CellMasks, or (H, W) label image, optional
        Each adds a panel beside the image.
    title : str
        Caption of the image, for instance its name.
    colouring : "cells" or "matches"
        ``cells``: one colour per cell. ``matches``, if both sides are given: hits (IoU above 0.5)
        sky blue, missed truths amber, spurious predictions vermilion.
    zoom : int
        Picture pixels per image pixel, along each side.

    Returns
    -------
    (height, width, 3) uint8
        One, two or three panels, each under its caption.

    Raises
    ------
    ImageError
        Image and cells differ in size, or the image has neither (H, W) nor (C, H, W).
    """
    panels = [add_caption(enlarge(stretch_contrast(image), zoom), title or "image")]
    colours: dict[str, NDArray[np.uint8] | None] = {"truth": None, "predicted": None}
    notes = {"truth": "", "predicted": ""}
    if colouring == "matches" and truth is not None and predicted is not None:
        of_truth, of_predicted = colour_matches(as_masks(truth), as_masks(predicted))
        colours = {"truth": of_truth, "predicted": of_predicted}
        notes = {
            "truth": f": {_count(of_truth, HIT)} hit (blue), "
            f"{_count(of_truth, MISSED)} missed (amber)",
            "predicted": f": {_count(of_predicted, HIT)} hit (blue), "
            f"{_count(of_predicted, SPURIOUS)} spurious (vermilion)",
        }
    for name, cells in (("truth", truth), ("predicted", predicted)):
        if cells is not None:
            masks = as_masks(cells)
            picture = outlines(image, masks, zoom=zoom, colours=colours[name])
            caption = f"{name}, {counted(len(masks), 'cell')}{notes[name]}"
            panels.append(add_caption(picture, caption))
    return side_by_side(panels)


def _count(colours: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> int:
    return int((colours == wanted).all(axis=-1).sum())
