"""Contact sheets: many images of a data set or a result at a glance."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cellflow.data.images import write_png
from cellflow.errors import ImageError
from cellflow.metrics.overlap import Cells, as_masks
from cellflow.pictures.display import stretch_contrast
from cellflow.pictures.lettering import add_caption, side_by_side
from cellflow.pictures.outlines import outlines
from cellflow.wording import counted

COLUMNS, PER_SHEET = 3, 12
TILE = 704
"""Longest side of an image on a sheet, px; larger images are scaled down."""


def draw_tile(image: NDArray[Any], cells: Cells | None, caption: str) -> NDArray[np.uint8]:
    """Draw one image for a sheet, with outlines and caption.

    Parameters
    ----------
    image : (H, W) or (C, H, W), any real dtype
    cells : CellMasks, (H, W) label image, or None
    caption : str

    Returns
    -------
    (height, width, 3) uint8
        At most `TILE` pixels wide.
    """
    if cells is None:
        picture = stretch_contrast(image)
    else:
        masks = as_masks(cells)
        picture = outlines(image, masks, zoom=1)
        caption = f"{caption}, {counted(len(masks), 'cell')}"
    longest = max(picture.shape[:2])
    if longest > TILE:
        height, width = (max(side * TILE // longest, 1) for side in picture.shape[:2])
        reduced = Image.fromarray(picture).resize((width, height), Image.Resampling.BOX)
        picture = np.asarray(reduced)
    return add_caption(picture, caption, size=16)


def gallery(path: Path | str, title: str, tiles: Sequence[NDArray[np.uint8]]) -> None:
    """Write tiles as one sheet of `COLUMNS` columns.

    Parameters
    ----------
    path : path
        A PNG; an existing file is replaced only by a complete one.
    title : str
    tiles : sequence of (h, w, 3) uint8
        From `draw_tile`, row by row.

    Raises
    ------
    ImageError
        There are no tiles.
    DataError
        The file cannot be written.
    """
    if not tiles:
        raise ImageError(f"{path}: no image to put on the sheet")
    rows = [
        side_by_side(list(tiles[start : start + COLUMNS]))
        for start in range(0, len(tiles), COLUMNS)
    ]
    height = sum(row.shape[0] for row in rows)
    sheet = np.full((height, max(row.shape[1] for row in rows), 3), 255, np.uint8)
    top = 0
    for row in rows:
        sheet[top : top + row.shape[0], : row.shape[1]] = row
        top += row.shape[0]
    write_png(path, add_caption(sheet, title, size=24))
