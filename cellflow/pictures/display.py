"""Conversion of images of any dtype to 8-bit RGB, with contrast stretched to show faint cells."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.errors import ImageError

DARKEST, BRIGHTEST = 0.5, 99.5
"""Percentiles of the grey levels that become black and white; debris beyond them is clipped."""


def stretch_contrast(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert an image for display.

    Parameters
    ----------
    image : (H, W) or (C, H, W), any real dtype
        One channel is grey, two are red and green, three are red, green and blue; any further ones
        are ignored.

    Returns
    -------
    (H, W, 3) uint8

    Raises
    ------
    ImageError
        The image has another number of dimensions, or no channel.

    Notes
    -----
    Each channel is stretched separately. A constant channel becomes black, like the missing ones of
    two-channel images. Pixels of NaN or infinity are black and do not affect the others.

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
    is_known = np.isfinite(levels)
    known = levels[is_known]
    if known.size == 0 or known.min() == known.max():
        return np.zeros(channel.shape, np.uint8)
    low, high = np.percentile(known, (DARKEST, BRIGHTEST))
    if low == high:
        low, high = known.min(), known.max()
    scaled = np.clip((levels - low) / (high - low), 0, 1)
    grey: NDArray[np.uint8] = (255 * np.where(is_known, scaled, 0)).astype(np.uint8)
    return grey
