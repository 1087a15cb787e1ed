"""A picture to the network's input, as Cellpose prepares it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cellflow.config import DataConfig
from cellflow.data.tiff import MOST_CHANNELS
from cellflow.errors import ImageError

FLAT = 1e-3
"""A channel whose two percentiles differ by less becomes 0 (Cellpose, normalize99)."""

COLOURS = ("red", "green", "blue")
"""Of the channels 1 to 3, as Cellpose names them."""
COUNTED = (np.dtype(np.uint8), np.dtype(np.uint16))
"""Types with so few grey levels that counting them is faster than sorting the pixels."""


def prepare_image(image: NDArray[Any], config: DataConfig) -> NDArray[np.float32]:
    """Choose the channels of a picture and normalise each.

    Parameters
    ----------
    image : (H, W) or (C, H, W), any real dtype
        Grey levels as in the file.
    config : DataConfig
        Channels as in Cellpose, and the percentiles that become 0 and 1.

    Returns
    -------
    (2, H, W) float32
        The channel to segment and the nuclear one; zeros if there is none, or no contrast.

    Raises
    ------
    ImageError
        The picture has another shape (channels last, or a stack), no pixel, NaN or infinity, or
        lacks a channel that is asked for.

    Notes
    -----
    Grey of a coloured picture is the mean of its channels. Percentiles are of the whole picture,
    interpolated as by `numpy.percentile`.
    """
    if isinstance(image, list | tuple) and any(np.ndim(part) > 1 for part in image):
        raise ImageError(
            f"expected one image, found a {type(image).__name__} of {len(image)}; give one after "
            "the other, or stack channels to one array"
        )
    image = np.asarray(image)
    check_image(image, config)
    planes = image[None] if image.ndim == 2 else image
    first, second = config.channels
    prepared = np.zeros((2, *planes.shape[1:]), np.float32)
    for plane, number in zip(prepared, (first, second) if second else (first,), strict=False):
        _normalize(_channel(planes, number), config, plane)
    return prepared


def check_image(image: NDArray[Any], config: DataConfig) -> None:
    """Refuse a picture that `prepare_image` cannot prepare; parameters and errors are the same."""
    planes = image[None] if image.ndim == 2 else image
    if planes.ndim != 3 or not 0 < len(planes) <= MOST_CHANNELS or not planes.size:
        is_last = image.ndim == 3 and 0 < image.shape[-1] <= MOST_CHANNELS
        hint = "; numpy.moveaxis(image, -1, 0) puts channels first" if is_last else ""
        raise ImageError(
            f"expected (H, W) or (C, H, W) of at most {MOST_CHANNELS} channels, found shape "
            f"{image.shape}{hint}"
        )
    if planes.dtype.kind not in "buif":
        raise ImageError(f"expected grey levels as real numbers, found {image.dtype}")
    first, second = config.channels
    for number in (first, second) if second else (first,):
        if number > len(planes):
            raise ImageError(f"channel {number} is asked for, but the image has only {len(planes)}")
        plane = planes if number == 0 else planes[number - 1]
        # What is too large for float32 would be infinite there; no comparison holds of NaN.
        if plane.dtype.kind == "f" and not np.abs(plane).max() <= np.finfo(np.float32).max:
            raise ImageError("the image holds NaN or infinity; expected finite grey levels")


def describe_channels(config: DataConfig) -> str:
    """Say which channels of a picture the network sees.

    Examples
    --------
    >>> describe_channels(DataConfig()), describe_channels(DataConfig(channels=(2, 3)))
    ('the mean of all channels', 'channel 2 (green) for cells, 3 (blue) for nuclei')
    """
    first, second = config.channels
    if first == 0:
        return "the mean of all channels"
    cells = f"channel {first} ({COLOURS[first - 1]}) for cells"
    return f"{cells}, {second} ({COLOURS[second - 1]}) for nuclei" if second else cells


def resize_image(image: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Resize (N, C, H, W) bilinearly to `shape`, as OpenCV does: no smoothing when shrinking."""
    if tuple(image.shape[-2:]) == shape:
        return image
    return torch.nn.functional.interpolate(image, shape, mode="bilinear", align_corners=False)


def percentiles(plane: NDArray[Any], shares: Sequence[float]) -> list[float]:
    """Give percentiles of grey levels, interpolated linearly between their neighbours.

    Parameters
    ----------
    plane : (H, W), any real dtype
        Not empty.
    shares : sequence of float
        From 0 to 100.

    Notes
    -----
    As `numpy.percentile`. Unsigned integers of 8 and 16 bits are counted instead of sorted, which
    takes a twentieth of the time for a picture of 520x704 in 8 bits.
    """
    if plane.dtype not in COUNTED:
        return [float(found) for found in np.percentile(plane.astype(np.float32), shares)]
    up_to = np.cumsum(np.bincount(plane.ravel()))
    found = []
    for share in shares:
        rank = share / 100 * (plane.size - 1)
        below = int(rank)
        lower, upper = np.searchsorted(up_to, [below, min(below + 1, plane.size - 1)], side="right")
        found.append(float(lower + (rank - below) * (upper - lower)))
    return found


def _channel(planes: NDArray[Any], number: int) -> NDArray[Any]:
    if number == 0 and len(planes) > 1:
        grey: NDArray[Any] = planes.mean(axis=0)
        return grey
    plane: NDArray[Any] = planes[max(0, number - 1)]
    return plane


def _normalize(plane: NDArray[Any], config: DataConfig, out: NDArray[np.float32]) -> None:
    """Write `plane` to `out`, which is 0, with its two percentiles as 0 and 1."""
    bottom, top = percentiles(plane, (config.low_percentile, config.high_percentile))
    if top - bottom > FLAT:
        out[:] = plane
        out -= np.float32(bottom)
        out /= np.float32(top - bottom)
