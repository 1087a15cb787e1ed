"""A picture to grey levels in the networks' units, and back to those of the file.

Augmentation works on units in which 0 and 1 are the image's 1st and 99th percentile, as for
cellflow's own models, whichever units the network is given in the end.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.baselines.settings import ImageSettings
from cellflow.config import DataConfig
from cellflow.network.preprocess import FLAT, prepare_image

MIDDLE, SPREAD = 0.5, 0.25
"""Of percentile units: about the mean and spread of a picture, which become 0 and 1."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GreyImage:
    """One picture in percentile units.

    Parameters
    ----------
    units : (1, H, W) float32
    low, gain : float
        Grey level, on 0 to 255, of unit 0; and of one unit more.
    """

    units: NDArray[np.float32]
    low: float
    gain: float

    @property
    def shape(self) -> tuple[int, int]:
        """Its size (H, W), pixels."""
        return self.units.shape[1], self.units.shape[2]


def grey_image(image: NDArray[Any]) -> GreyImage:
    """Take the grey of a picture.

    Parameters
    ----------
    image : (H, W) or (C, H, W), any real dtype
        Colour becomes the mean of its channels. The range of other whole numbers than uint8 is
        brought to 0 to 255; so is that of the picture itself, when they are no whole numbers.

    Raises
    ------
    ImageError
        It holds NaN or infinity.
    """
    units = prepare_image(image, DataConfig())[:1]
    plane = (image if image.ndim == 2 else image.mean(axis=0)).astype(np.float64)
    low, high = np.percentile(plane, [DataConfig().low_percentile, DataConfig().high_percentile])
    darkest, brightest = _range(image)
    factor = 255 / max(FLAT, brightest - darkest)
    # A flat picture is 0 everywhere in units.
    gain = (high - low) * factor if high - low > FLAT else 0.0
    return GreyImage(units=units, low=float((low - darkest) * factor), gain=float(gain))


def standardize(
    units: NDArray[np.float32],
    inside: NDArray[np.bool_] | None,
    grey: GreyImage,
    settings: ImageSettings,
) -> NDArray[np.float32]:
    """Give what the network sees.

    Parameters
    ----------
    units : (1, h, w) float32
        A piece of the picture, in percentile units.
    inside : (h, w) bool, or None
        Where it shows the picture; elsewhere the result is 0. None = everywhere.
    grey : GreyImage
    settings : ImageSettings
    """
    if settings.grey == "percentile":
        seen = (units - np.float32(MIDDLE)) / np.float32(SPREAD)
    else:
        level = np.float32(grey.low) + np.float32(grey.gain) * units
        seen = (level - np.float32(settings.mean)) / np.float32(settings.std)
    if inside is not None:
        seen *= inside
    standardized: NDArray[np.float32] = seen
    return standardized


def _range(image: NDArray[Any]) -> tuple[float, float]:
    if image.dtype == np.bool_:
        return 0.0, 1.0
    if np.issubdtype(image.dtype, np.integer):
        info = np.iinfo(image.dtype)
        return float(info.min), float(info.max)
    return float(image.min()), float(image.max())
