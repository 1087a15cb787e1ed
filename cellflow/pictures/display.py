"""An image of any depth as 8-bit red, green and blue, stretched so that faint cells show."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.errors import ImageError

DARKEST, BRIGHTEST = 0.5, 99.5
"""Percentiles of the grey levels that become black and white; debris beyond them is clipped."""


def stretch_contrast(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Give an image for the eye.

    Parameters
    ----------
    image : (H, W) or (C, H, W), any real dtype
        One channel is grey, two are red and green, three are red, green and blue; of more the
        first three are shown.

    Returns
    -------
    (H, W, 3) uint8

    Raises
    ------
    ImageError
        Another number of dimensions, or no channel.

    Notes
    -----
    Every channel is stretched by itself. A channel of one grey level becomes black, as the empty
    ones of images of fewer than three colours are. Pixels that are not finite become black and do
    not count.

    Examples
    --------
    >>> stretch_contrast(np.array([[100, 101], [102, 104]]))[..., 0]
    array([[  0,  63],
           [127, 255]], dtype=uint8)
    """
    channels = image[None] if image.ndim == 2 else image
    if channels.ndim != 3 or len(channels) == 0:
        raise ImageError(f"expected an image with channels first, found shape {image.shape}")
    stretched = [_stretch(channel) for channel in channels[:3]]
    if len(stretched) == 1:
        stretched *= 3
    stretched += [np.zeros_like(stretched[0])] * (3 - len(stretched))
    return np.stack(stretched, axis=-1)


def _stretch(channel: NDArray[Any]) -> NDArray[np.uint8]:
    levels = channel.astype(np.float64)
    known = levels[np.isfinite(levels)]
    if known.size == 0 or known.min() == known.max():
        return np.zeros(channel.shape, np.uint8)
    low, high = np.percentile(known, (DARKEST, BRIGHTEST))
    if low == high:
        low, high = known.min(), known.max()
    scaled = np.clip((levels - low) / (high - low), 0, 1)
    grey: NDArray[np.uint8] = (255 * np.nan_to_num(scaled, nan=0.0)).astype(np.uint8)
    return grey
