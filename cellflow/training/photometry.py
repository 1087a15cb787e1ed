"""Random changes of grey levels: gamma, contrast, brightness, illumination, blur, noise.

Changes a `Crop`'s image, (C, h, w) float32, scaled so that 0 and 1 are the 1st and 99th percentile
of the whole image; the target stays. Pixels outside the image stay 0, as in prediction.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cellflow.training.augment import Crop
from cellflow.training.levels import Levers

LEAST_BLUR = 0.1
"""Standard deviation in pixels below which a Gaussian blur changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Photometry:
    """How the grey levels of one crop are changed, in this order.

    Parameters
    ----------
    gamma : float
        Exponent, on the range of the crop.
    contrast : float
        Factor about the crop's mean.
    brightness : float
        Added.
    slope : (float, float)
        Added along y and x from the crop's middle, grey levels per half a side.
    blur : float
        Standard deviation, pixels.
    noise : float
        Standard deviation, grey levels.
    """

    gamma: float = 1.0
    contrast: float = 1.0
    brightness: float = 0.0
    slope: tuple[float, float] = (0.0, 0.0)
    blur: float = 0.0
    noise: float = 0.0


def draw_photometry(rng: np.random.Generator, levers: Levers) -> Photometry:
    """Draw for every lever whether it acts on the crop, and how strongly.

    Notes
    -----
    The same number of draws, 13, is made whatever the levers.
    """
    touched = rng.random(6) < levers.probability
    contrast, brightness, gamma = touched[:3] * rng.uniform(-1, 1, 3)
    illumination, blur, noise = touched[3:] * rng.random(3)
    direction = rng.uniform(0, 2 * np.pi)
    ramp = illumination * levers.illumination
    return Photometry(
        gamma=float((1 + levers.gamma) ** gamma),
        contrast=float(1 + levers.contrast * contrast),
        brightness=float(levers.brightness * brightness),
        slope=(float(ramp * np.sin(direction)), float(ramp * np.cos(direction))),
        blur=float(levers.blur * blur),
        noise=float(levers.noise * noise),
    )


def apply_photometry(crop: Crop, drawn: Photometry, rng: np.random.Generator) -> None:
    """Change the crop's image in place; empty channels stay empty.

    Parameters
    ----------
    crop : Crop
    drawn : Photometry
        The same for all channels.
    rng : numpy.random.Generator
        For the noise, which differs between channels.
    """
    for plane in crop.image:
        if not plane.any():
            continue
        if drawn.gamma != 1:
            _bend(plane, crop.inside, drawn.gamma)
        if (drawn.contrast, drawn.brightness, drawn.slope) != (1, 0, (0, 0)):
            _shade(plane, crop.inside, drawn.contrast, drawn.brightness, *drawn.slope)
        if drawn.blur > LEAST_BLUR:
            plane[:] = _blurred(plane, crop.inside, drawn.blur)
        if drawn.noise > 0:
            noise = rng.standard_normal(plane.shape, np.float32)
            plane += np.float32(drawn.noise) * noise * crop.inside


def _blurred(
    plane: NDArray[np.float32], inside: NDArray[np.bool_], sigma: float
) -> NDArray[np.float32]:
    """Blur, taking only pixels inside the image; outside stays 0."""
    weight = gaussian_filter(inside.astype(np.float32), sigma, mode="constant", truncate=3)
    summed = gaussian_filter(plane * inside, sigma, mode="constant", truncate=3)
    blurred: NDArray[np.float32] = np.divide(
        summed, weight, out=np.zeros_like(plane), where=inside & (weight > 0)
    )
    return blurred


@njit(cache=True, nogil=True)
def _bend(plane: Any, inside: Any, exponent: float) -> None:
    """Raise `plane` (h, w), taken as 0 to 1 over its range inside, to a power, in place."""
    low, high = np.inf, -np.inf
    for row in range(plane.shape[0]):
        for column in range(plane.shape[1]):
            if inside[row, column]:
                low = min(low, plane[row, column])
                high = max(high, plane[row, column])
    if not high > low:
        return
    for row in range(plane.shape[0]):
        for column in range(plane.shape[1]):
            if inside[row, column]:
                share = (plane[row, column] - low) / (high - low)
                plane[row, column] = low + (high - low) * share**exponent


@njit(cache=True, nogil=True)
def _shade(
    plane: Any, inside: Any, contrast: float, brightness: float, slope_y: float, slope_x: float
) -> None:
    """Stretch `plane` (h, w) about its mean inside, lift and tilt it, in place."""
    total, n_inside = 0.0, 0
    for row in range(plane.shape[0]):
        for column in range(plane.shape[1]):
            if inside[row, column]:
                total += plane[row, column]
                n_inside += 1
    mean = total / max(1, n_inside)
    half_y, half_x = max(0.5, (plane.shape[0] - 1) / 2), max(0.5, (plane.shape[1] - 1) / 2)
    for row in range(plane.shape[0]):
        for column in range(plane.shape[1]):
            if inside[row, column]:
                tilt = slope_y * (row / half_y - 1) + slope_x * (column / half_x - 1)
                stretched = mean + contrast * (plane[row, column] - mean)
                plane[row, column] = stretched + brightness + tilt
