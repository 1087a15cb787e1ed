"""A random piece of an image and of its target: flip, turn, zoom, shift, in one resampling.

Takes a `PreparedImage` (network input and `FlowTarget` arrays at the image's own resolution), gives
a `Crop`. Flows are computed once, at the image's own resolution, and turned as vectors: as Cellpose
does it, and the only way in which a cell that the crop cuts keeps the centre of the whole cell.
Only the pixels of the crop are ever computed.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellflow.records import FlowTarget
from cellflow.training.levels import Levers

FLOW_UNITS = 32767
"""A packed flow vector of length 1; the rounding turns it by less than 0.001 degrees."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedImage:
    """One training image, ready to be cropped; packed, since many are kept in memory.

    Parameters
    ----------
    image : (C, H, W) float32
        Normalised network input, without the channels that are all 0.
    flows : (2, H, W) int16
        Vectors (dy, dx) in units of 1 / `FLOW_UNITS`, 0 outside cells.
    cells : (H, W) bool
    n_channels : int
        Channels of the network's input; those that `image` lacks are 0.
    labels : (H, W) int32, optional
        Which cell each pixel belongs to; kept only for mosaics.
    uncertain : (H, W) bool, optional
        What is left out of the loss.
    """

    image: NDArray[np.float32]
    flows: NDArray[np.int16]
    cells: NDArray[np.bool_]
    n_channels: int
    labels: NDArray[np.int32] | None = None
    uncertain: NDArray[np.bool_] | None = None

    @classmethod
    def pack(
        cls,
        image: NDArray[np.float32],
        target: FlowTarget,
        labels: NDArray[np.int32] | None = None,
        uncertain: NDArray[np.bool_] | None = None,
    ) -> Self:
        """Pack the network's input (C, H, W), its target and what else is asked for."""
        n_used = max((k + 1 for k in range(len(image)) if image[k].any()), default=1)
        return cls(
            image=np.ascontiguousarray(image[:n_used], np.float32),
            flows=np.rint(target.flows * FLOW_UNITS).astype(np.int16),
            cells=target.cells,
            n_channels=len(image),
            labels=labels,
            uncertain=uncertain,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Its size (H, W), pixels."""
        return self.cells.shape[0], self.cells.shape[1]

    @property
    def n_bytes(self) -> int:
        """Memory that the arrays take, bytes."""
        more = sum(part.nbytes for part in (self.labels, self.uncertain) if part is not None)
        return self.image.nbytes + self.flows.nbytes + self.cells.nbytes + more


@dataclass(frozen=True, slots=True, kw_only=True)
class Warp:
    """Where each pixel of a crop comes from.

    Parameters
    ----------
    horizontal_flip, vertical_flip : bool
        Mirror left-right, top-bottom; done before the turn.
    angle : float
        Turn about the image's middle, radians, from the x axis towards the y axis.
    scale : float
        Crop pixels per image pixel.
    shift : (float, float)
        Offset (y, x) of the image's middle from the crop's middle, crop pixels.
    shape : (h, w)
        Of the crop, pixels.
    """

    horizontal_flip: bool
    vertical_flip: bool
    angle: float
    scale: float
    shift: tuple[float, float]
    shape: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crop:
    """One training example, or one field of a mosaic.

    Parameters
    ----------
    image : (C, h, w) float32
    flows : (2, h, w) float32
        Target vectors (dy, dx), length at most 1.
    cells : (h, w) float32
        1 in cells, else 0.
    weights : (h, w) float32
        Weight of each pixel in the loss: 1, or 0 where something hides it.
    inside : (h, w) bool
        Whether the pixel lies in an image. Outside all arrays are 0, except that the image itself
        fades out over one of its pixels.
    """

    image: NDArray[np.float32]
    flows: NDArray[np.float32]
    cells: NDArray[np.float32]
    weights: NDArray[np.float32]
    inside: NDArray[np.bool_]

    @classmethod
    def empty(cls, n_channels: int, shape: tuple[int, int]) -> Self:
        """Give a crop outside any image."""
        return cls(
            image=np.zeros((n_channels, *shape), np.float32),
            flows=np.zeros((2, *shape), np.float32),
            cells=np.zeros(shape, np.float32),
            weights=np.ones(shape, np.float32),
            inside=np.zeros(shape, np.bool_),
        )


def draw_warp(
    rng: np.random.Generator,
    shape: tuple[int, int],
    size: tuple[int, int],
    *,
    levers: Levers,
    rescale: float = 1.0,
    cell_type: str | None = None,
) -> Warp:
    """Draw flips, turn, zoom and position; by level ``cellpose`` as Cellpose 3.1 does.

    Parameters
    ----------
    rng : numpy.random.Generator
        Seven numbers are drawn, whatever the levers: a lever that is switched on or off leaves the
        others' draws as they are.
    shape : (H, W)
        Of the image, pixels.
    size : (h, w)
        Of the crop, pixels.
    levers : Levers
    rescale : float
        Crop pixels per image pixel before the random zoom: diam_mean / diameter.
    cell_type : str, optional
        Of the image; `levers` may have a zoom of its own for it.

    Notes
    -----
    An image that, rescaled, is smaller than the crop lies in the crop's middle. Turned corners of
    the crop may lie outside the image; there everything is 0.
    """
    mirror_x, turn, zoom, shift_y, shift_x = rng.random(5)
    mirror_y, quarters = rng.random(2)
    reach = np.radians(levers.rotation)
    # Half of the draws turn to the other side; at 180 degrees that is the same circle, as drawn.
    turn -= turn >= 0.5 and levers.rotation < 180
    angle = 2 * reach * turn + (np.pi / 2 * int(4 * quarters) if levers.quarter_turns else 0.0)
    width_of_zoom = levers.scale_range_by_type.get(str(cell_type), levers.scale_range)
    scale = rescale * (1 - width_of_zoom / 2 + width_of_zoom * zoom)
    return Warp(
        horizontal_flip=bool(mirror_x > 1 - levers.horizontal_flip),
        vertical_flip=bool(mirror_y > 1 - levers.vertical_flip),
        angle=float(angle),
        scale=float(scale),
        shift=(
            float((shift_y - 0.5) * max(0.0, shape[0] * scale - size[0])),
            float((shift_x - 0.5) * max(0.0, shape[1] * scale - size[1])),
        ),
        shape=size,
    )


def crop_image(prepared: PreparedImage, warp: Warp) -> Crop:
    """Cut the piece that `warp` describes out of an image and its target.

    Returns
    -------
    Crop
        The image and the flows are sampled bilinearly, the cells by nearest pixel; outside the
        image all are 0. Flows are mirrored and turned as vectors.

    Notes
    -----
    Between two touching cells the bilinear flows shrink or cancel, as in Cellpose; their length is
    deliberately not restored, since the direction there is not known.
    """
    crop = crop_picture(prepared.image, warp, prepared.n_channels)
    matrix = crop_to_image(warp, prepared.shape)
    _warp_channels(prepared.flows, matrix, crop.flows)
    _warp_nearest(prepared.cells, matrix, crop.cells)
    if prepared.uncertain is not None:
        hidden = np.zeros(warp.shape, np.float32)
        _warp_nearest(prepared.uncertain, matrix, hidden)
        crop.weights[hidden > 0] = 0
    _turn_vectors(
        crop.flows,
        np.cos(warp.angle) / FLOW_UNITS,
        np.sin(warp.angle) / FLOW_UNITS,
        -1.0 if warp.vertical_flip else 1.0,
        -1.0 if warp.horizontal_flip else 1.0,
    )
    return crop


def crop_picture(image: NDArray[np.float32], warp: Warp, n_channels: int) -> Crop:
    """Cut the same piece as `crop_image` out of a picture (C, H, W) alone; its target is empty."""
    crop = Crop.empty(n_channels, warp.shape)
    height, width = image.shape[-2:]
    matrix = crop_to_image(warp, (height, width))
    _warp_channels(image, matrix, crop.image)
    _mark_inside(height, width, matrix, crop.inside)
    return crop


def crop_labels(prepared: PreparedImage, warp: Warp) -> NDArray[np.int32]:
    """Cut the same piece as `crop_image` out of the labels, by nearest pixel; 0 outside."""
    labels = np.zeros(warp.shape, np.int32)
    _warp_nearest(prepared.labels, crop_to_image(warp, prepared.shape), labels)
    return labels


def crop_to_image(warp: Warp, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Give the 2x3 matrix from crop (y, x, 1) to image (y, x), the flips included."""
    height, width = shape
    cos, sin = np.cos(warp.angle) / warp.scale, np.sin(warp.angle) / warp.scale
    # The middle is H / 2, as in Cellpose, not (H - 1) / 2: half a pixel that the shift blurs.
    middle_y, middle_x = warp.shape[0] / 2 + warp.shift[0], warp.shape[1] / 2 + warp.shift[1]
    row_y = np.array([cos, -sin, height / 2 - cos * middle_y + sin * middle_x])
    row_x = np.array([sin, cos, width / 2 - sin * middle_y - cos * middle_x])
    if warp.vertical_flip:
        row_y = np.array([0.0, 0.0, height - 1.0]) - row_y
    if warp.horizontal_flip:
        row_x = np.array([0.0, 0.0, width - 1.0]) - row_x
    return np.stack([row_y, row_x])


@njit(cache=True, nogil=True)
def _warp_channels(source: Any, matrix: Any, out: Any) -> None:
    """Sample `source` (C, H, W) bilinearly into `out` (C, h, w), 0 outside; `out` starts as 0."""
    n_channels, height, width = source.shape
    for row in range(out.shape[1]):
        for column in range(out.shape[2]):
            y = matrix[0, 0] * row + matrix[0, 1] * column + matrix[0, 2]
            x = matrix[1, 0] * row + matrix[1, 1] * column + matrix[1, 2]
            if y <= -1 or x <= -1 or y >= height or x >= width:
                continue
            top, left = int(np.floor(y)), int(np.floor(x))
            down, right = y - top, x - left
            if 0 <= top < height - 1 and 0 <= left < width - 1:
                # Unsigned, which spares the check for negative indices.
                north, south = np.uint64(top), np.uint64(top + 1)
                west, east = np.uint64(left), np.uint64(left + 1)
                for channel in range(n_channels):
                    value = np.float32((1 - down) * (1 - right) * source[channel, north, west])
                    value += np.float32((1 - down) * right * source[channel, north, east])
                    value += np.float32(down * (1 - right) * source[channel, south, west])
                    value += np.float32(down * right * source[channel, south, east])
                    out[channel, row, column] = value
                continue
            for k in range(4):
                i, j = top + k // 2, left + k % 2
                if 0 <= i < height and 0 <= j < width:
                    weight = (down if k // 2 else 1 - down) * (right if k % 2 else 1 - right)
                    for channel in range(n_channels):
                        out[channel, row, column] += np.float32(weight * source[channel, i, j])


@njit(cache=True, nogil=True)
def _warp_nearest(source: Any, matrix: Any, out: Any) -> None:
    """Sample `source` (H, W) by nearest pixel into `out` (h, w); `out` starts as 0."""
    height, width = source.shape
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            y = matrix[0, 0] * row + matrix[0, 1] * column + matrix[0, 2] + 0.5
            x = matrix[1, 0] * row + matrix[1, 1] * column + matrix[1, 2] + 0.5
            if 0 <= y < height and 0 <= x < width:
                out[row, column] = source[np.uint64(y), np.uint64(x)]


@njit(cache=True, nogil=True)
def _mark_inside(height: int, width: int, matrix: Any, out: Any) -> None:
    """Say in `out` (h, w) whether the nearest pixel lies in an image of that size."""
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            y = matrix[0, 0] * row + matrix[0, 1] * column + matrix[0, 2]
            x = matrix[1, 0] * row + matrix[1, 1] * column + matrix[1, 2]
            out[row, column] = -0.5 <= y < height - 0.5 and -0.5 <= x < width - 0.5


@njit(cache=True, nogil=True)
def _turn_vectors(flows: Any, cos: float, sin: float, mirror_y: float, mirror_x: float) -> None:
    """Mirror dy and dx (1 or -1), then turn and scale `flows` (2, h, w), in place."""
    for row in range(flows.shape[1]):
        for column in range(flows.shape[2]):
            dy, dx = flows[0, row, column] * mirror_y, flows[1, row, column] * mirror_x
            flows[0, row, column] = cos * dy + sin * dx
            flows[1, row, column] = cos * dx - sin * dy
