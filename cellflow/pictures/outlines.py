"""Drawing of the outline of every cell on an image, from a label image or `CellMasks`."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellflow.errors import ImageError
from cellflow.metrics.overlap import Cells, as_masks
from cellflow.pictures.colours import colour_cells
from cellflow.pictures.display import stretch_contrast

ZOOM = 2
"""Picture pixels per image pixel along each side. At 2× an outline, one picture pixel wide, takes
half an image pixel, so that even 790 cells can be told apart."""


def outlines(
    image: NDArray[Any],
    cells: Cells,
    *,
    zoom: int = ZOOM,
    colours: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Draw the outline of every cell on the contrast-stretched image.

    Parameters
    ----------
    image : (H, W) or (C, H, W), any real dtype
    cells : CellMasks, or (H, W) label image
        Masks may overlap; each is outlined completely, later ones on top.
    zoom : int
        Picture pixels per image pixel, along each side.
    colours : (N, 3) uint8, optional
        One per cell; by default from `colour_cells`, different for neighbours.

    Returns
    -------
    (zoom · H, zoom · W, 3) uint8
        Outlines lie inside their cell and are one picture pixel wide, so touching cells show
        two lines.

    Raises
    ------
    ImageError
        Image and cells differ in size, the number of colours is not that of the cells, or the zoom
        is below 1.

    Examples
    --------
    >>> drawn = outlines(np.zeros((3, 3)), np.array([[1, 1, 1], [1, 1, 1], [1, 1, 1]]), zoom=1)
    >>> (drawn == 0).all(axis=-1).astype(int)
    array([[0, 0, 0],
           [0, 1, 0],
           [0, 0, 0]])
    """
    masks = as_masks(cells)
    if masks.shape != image.shape[-2:]:
        raise ImageError(
            f"the cells are for {masks.shape[0]}x{masks.shape[1]} pixels, "
            f"the image is {'x'.join(map(str, image.shape[-2:]))}"
        )
    if zoom < 1:
        raise ImageError(f"zoom: expected 1 or more, found {zoom}")
    colours = colour_cells(masks) if colours is None else np.ascontiguousarray(colours, np.uint8)
    if colours.shape != (len(masks), 3):
        raise ImageError(f"expected {len(masks)} colours (N, 3), found shape {colours.shape}")
    picture = enlarge(stretch_contrast(image), zoom)
    owner = np.zeros(masks.shape[0] * masks.shape[1], np.int32)
    _draw(masks.starts, masks.lengths, masks.offsets, colours, owner, zoom, picture)
    return picture


def enlarge(picture: NDArray[np.uint8], zoom: int) -> NDArray[np.uint8]:
    """Repeat every pixel of (H, W, 3) `zoom` times along each side, without smoothing."""
    return np.ascontiguousarray(picture.repeat(zoom, axis=0).repeat(zoom, axis=1))


@njit(cache=True, nogil=True)
def _draw(starts, lengths, offsets, colours, owner, zoom, picture):  # type: ignore[no-untyped-def]
    """Colour the rim of each cell in `picture`; `owner` (H · W,) int32 is scratch memory, 0."""
    width = picture.shape[1] // zoom
    height = picture.shape[0] // zoom
    for cell in range(len(offsets) - 1):
        for run in range(offsets[cell], offsets[cell + 1]):
            for pixel in range(starts[run], starts[run] + lengths[run]):
                owner[pixel] = cell + 1
        for run in range(offsets[cell], offsets[cell + 1]):
            for pixel in range(starts[run], starts[run] + lengths[run]):
                y, x = pixel // width, pixel % width
                top = y == 0 or owner[pixel - width] != cell + 1
                bottom = y == height - 1 or owner[pixel + width] != cell + 1
                left = x == 0 or owner[pixel - 1] != cell + 1
                right = x == width - 1 or owner[pixel + 1] != cell + 1
                if not (top or bottom or left or right):
                    continue
                for v in range(zoom):
                    for u in range(zoom):
                        if (
                            (top and v == 0)
                            or (bottom and v == zoom - 1)
                            or (left and u == 0)
                            or (right and u == zoom - 1)
                        ):
                            picture[y * zoom + v, x * zoom + u] = colours[cell]
