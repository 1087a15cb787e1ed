"""Convert a picture to grey levels in percentile units, and these to the network's input.

Augmentation works in units in which 0 and 1 are the image's 1st and 99th percentile, as for
cellflow's own models, whatever units the network finally gets.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.baselines.settings import ImageSettings
from cellflow.config import DataConfig
from cellflow.network.preprocess import FLAT, prepare_image

MIDDLE, SPREAD = 0.5, 0.25
"""About the mean and standard deviation of a picture in percentile units; the network's input is
shifted and scaled by them to about 0 and 1."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GreyImage:
    """One picture in percentile units.

    Parameters
    ----------
    units : (1, H, W) float32
    low, gain : float
        Grey level (0 to 255) at unit 0, and grey levels per unit.
    """

    units: NDArray[np.float32]
    low: float
    gain: float

    @property
    def shape(self) -> tuple[int, int]:
        """Size (H, W), pixels."""
        return self.units.shape[1], self.units.shape[2]


def grey_image(image: NDArray[Any]) -> GreyImage:
    """Convert a picture to grey levels in percentile units.

    Parameters
    ----------
    image : (H, W) or (C, H, W), any real dtype
        Colour channels are averaged. Integers other than uint8 are scaled from the range of their
        dtype to 0 to 255, floating-point pictures from their own range.

    Raises
    ------
    ImageError
        The image contains NaN or infinity.
    """
    units = prepare_image(image, DataConfig())[:1]
    plane = (image if image.ndim == 2 else image.mean(axis=0)).astype(np.float64)
    low, high = np.percentile(plane, [DataConfig().low_percentile, DataConfig().high_percentile])
    darkest, brightest = _range(image)
    factor = 255 / max(FLAT, brightest - darkest)
    # A flat picture is 0 everywhere in percentile units.
    gain = (high - low) * factor if high - low > FLAT else 0.0
    return GreyImage(units=units, low=float((low - darkest) * factor), gain=float(gain))


def standardize(
    units: NDArray[np.float32],
    inside: NDArray[np.bool_],
    grey: GreyImage,
    settings: ImageSettings,
) -> NDArray[np.float32]:
    """Give the network's input.

    Parameters
    ----------
    units : (1, h, w) float32
        A piece of the picture, in percentile units.
    inside : (h, w) bool
        Whether each pixel lies in the picture; elsewhere the result is 0.
    grey : GreyImage
    settings : ImageSettings
    """
    if settings.grey == "percentile":
        seen = (units - np.float32(MIDDLE)) / np.float32(SPREAD)
    else:
        level = np.float32(grey.low) + np.float32(grey.gain) * units
        seen = (level - np.float32(settings.mean)) / np.float32(settings.std)
    standardized: NDArray[np.float32] = seen * inside
    return standardized


def _range(image: NDArray[Any]) -> tuple[float, float]:
    if image.dtype == np.bool_:
        return 0.0, 1.0
    if np.issubdtype(image.dtype, np.integer):
        info = np.iinfo(image.dtype)
        return float(info.min), float(info.max)
    return float(image.min()), float(image.max())
