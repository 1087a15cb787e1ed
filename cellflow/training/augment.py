"""A random square of an image and of its target: flip, turn, zoom, shift, in one resampling.

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
    """

    image: NDArray[np.float32]
    flows: NDArray[np.int16]
    cells: NDArray[np.bool_]
    n_channels: int

    @classmethod
    def pack(cls, image: NDArray[np.float32], target: FlowTarget) -> Self:
        """Pack the network's input (C, H, W) and its target."""
        n_used = max((k + 1 for k in range(len(image)) if image[k].any()), default=1)
        return cls(
            image=np.ascontiguousarray(image[:n_used], np.float32),
            flows=np.rint(target.flows * FLOW_UNITS).astype(np.int16),
            cells=target.cells,
            n_channels=len(image),
        )

    @property
    def n_bytes(self) -> int:
        """Memory that the arrays take, bytes."""
        return self.image.nbytes + self.flows.nbytes + self.cells.nbytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Warp:
    """Where each pixel of a crop comes from.

    Parameters
    ----------
    flip : bool
        Mirror left and right first.
    angle : float
        Turn about the image's middle, radians, from the x axis towards the y axis.
    scale : float
        Crop pixels per image pixel.
    shift : (float, float)
        Offset (y, x) of the image's middle from the crop's middle, crop pixels.
    size : int
        Side of the crop, pixels.
    """

    flip: bool
    angle: float
    scale: float
    shift: tuple[float, float]
    size: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crop:
    """One training example.

    Parameters
    ----------
    image : (C, size, size) float32
    flows : (2, size, size) float32
        Target vectors (dy, dx), length at most 1.
    cells : (size, size) float32
        1 in cells, else 0.
    """

    image: NDArray[np.float32]
    flows: NDArray[np.float32]
    cells: NDArray[np.float32]


def draw_warp(
    rng: np.random.Generator,
    shape: tuple[int, int],
    size: int,
    *,
    rescale: float = 1.0,
    scale_range: float = 0.5,
) -> Warp:
    """Draw flip (one half), angle (0 to 2π), zoom and position as Cellpose 3.1 does.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : (H, W)
        Of the image, pixels.
    size : int
        Side of the crop, pixels.
    rescale : float
        Crop pixels per image pixel before the random zoom: diam_mean / diameter.
    scale_range : float
        Width of the uniform zoom around 1.

    Notes
    -----
    An image that, rescaled, is smaller than the crop lies in the crop's middle. Turned corners of
    the crop may lie outside the image; there everything is 0.
    """
    flip, turn, zoom, shift_y, shift_x = rng.random(5)
    scale = rescale * (1 - scale_range / 2 + scale_range * zoom)
    height, width = shape
    return Warp(
        flip=bool(flip > 0.5),
        angle=float(turn * 2 * np.pi),
        scale=float(scale),
        shift=(
            float((shift_y - 0.5) * max(0.0, height * scale - size)),
            float((shift_x - 0.5) * max(0.0, width * scale - size)),
        ),
        size=size,
    )


def crop_image(prepared: PreparedImage, warp: Warp) -> Crop:
    """Cut the square that `warp` describes out of an image and its target.

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
    size = warp.size
    image = np.zeros((prepared.n_channels, size, size), np.float32)
    flows = np.zeros((2, size, size), np.float32)
    cells = np.zeros((size, size), np.float32)
    matrix = _crop_to_image(warp, prepared.cells.shape)
    _warp_channels(prepared.image, matrix, image)
    _warp_channels(prepared.flows, matrix, flows)
    _warp_nearest(prepared.cells, matrix, cells)
    cos, sin = np.cos(warp.angle) / FLOW_UNITS, np.sin(warp.angle) / FLOW_UNITS
    _turn_vectors(flows, cos, sin, -1.0 if warp.flip else 1.0)
    return Crop(image=image, flows=flows, cells=cells)


def _crop_to_image(warp: Warp, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Give the 2x3 matrix from crop (y, x, 1) to image (y, x), the flip included."""
    height, width = shape
    cos, sin = np.cos(warp.angle) / warp.scale, np.sin(warp.angle) / warp.scale
    # The middle is H / 2, as in Cellpose, not (H - 1) / 2: half a pixel that the shift blurs.
    middle_y, middle_x = warp.size / 2 + warp.shift[0], warp.size / 2 + warp.shift[1]
    row_y = np.array([cos, -sin, height / 2 - cos * middle_y + sin * middle_x])
    row_x = np.array([sin, cos, width / 2 - sin * middle_y - cos * middle_x])
    if warp.flip:
        row_x = np.array([0.0, 0.0, width - 1.0]) - row_x
    return np.stack([row_y, row_x])


@njit(cache=True, nogil=True)
def _warp_channels(source: Any, matrix: Any, out: Any) -> None:
    """Sample `source` (C, H, W) bilinearly into `out` (C, S, S), 0 outside; `out` starts as 0."""
    n_channels, height, width = source.shape
    for row in range(out.shape[1]):
        for column in range(out.shape[2]):
            y = matrix[0, 0] * row + matrix[0, 1] * column + matrix[0, 2]
            x = matrix[1, 0] * row + matrix[1, 1] * column + matrix[1, 2]
            if y <= -1 or x <= -1 or y >= height or x >= width:
                continue
            top, left = int(np.floor(y)), int(np.floor(x))
            down, right = y - top, x - left
            for k in range(4):
                i, j = top + k // 2, left + k % 2
                if i < 0 or j < 0 or i >= height or j >= width:
                    continue
                weight = (down if k // 2 else 1 - down) * (right if k % 2 else 1 - right)
                for channel in range(n_channels):
                    out[channel, row, column] += np.float32(weight * source[channel, i, j])


@njit(cache=True, nogil=True)
def _warp_nearest(source: Any, matrix: Any, out: Any) -> None:
    """Sample `source` (H, W) by nearest pixel into `out` (S, S); `out` starts as 0."""
    height, width = source.shape
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            i = int(np.floor(matrix[0, 0] * row + matrix[0, 1] * column + matrix[0, 2] + 0.5))
            j = int(np.floor(matrix[1, 0] * row + matrix[1, 1] * column + matrix[1, 2] + 0.5))
            if 0 <= i < height and 0 <= j < width:
                out[row, column] = source[i, j]


@njit(cache=True, nogil=True)
def _turn_vectors(flows: Any, cos: float, sin: float, mirror: float) -> None:
    """Mirror dx by `mirror` (1 or -1), then turn and scale `flows` (2, S, S), in place."""
    for row in range(flows.shape[1]):
        for column in range(flows.shape[2]):
            dy, dx = flows[0, row, column], flows[1, row, column] * mirror
            flows[0, row, column] = cos * dy + sin * dx
            flows[1, row, column] = cos * dx - sin * dy
