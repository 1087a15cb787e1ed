"""Threshold and watershed from scipy, tuned on the training images: the simplest baseline.

How it works: each pixel's deviation from the background is smoothed; pixels above a threshold are
foreground, and its rim, the halo around cells, is removed; maxima of the smoothed distance to the
edge are markers; a watershed from the markers divides the foreground into cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cellflow.data.label_images import keep_labels
from cellflow.errors import DataError, ImageError
from cellflow.metrics.average_precision import average_precision
from cellflow.records import Sample
from cellflow.telling import Report, ignore

Signal = Literal["texture", "bright", "dark"]

CHOICES: dict[str, tuple[Any, ...]] = {
    "signal": ("texture", "bright", "dark"),
    "smoothing": (0.7, 1.0, 2.0, 3.0, 4.5),
    "threshold": (1.0, 2.0, 3.0, 4.0, 5.0, 8.0, 14.0),
    "halo": (0, 1, 2, 3, 4),
    "marker_smoothing": (0.5, 1.0, 2.0, 3.0),
    "marker_radius": (3, 6, 10, 15),
    "min_size": (20, 40, 80, 150, 300),
}
"""Values that `tune_classical` tries for each setting."""

BACKGROUND_SIDE = 81
"""Side of the square whose mean is taken as the background, pixels: several cells wide."""

N_SWEEPS = 2
"""Number of passes in which every setting is tuned in turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassicalConfig:
    """Settings of `segment_classical`.

    Parameters
    ----------
    signal : {"texture", "bright", "dark"}
        Deviation from the background in either direction, above it, or below it.
    smoothing : float
        Gaussian sigma of the signal, pixels.
    threshold : float
        Multiple of the background's spread.
    halo : int
        Width of the foreground's rim that belongs to no cell, pixels.
    marker_smoothing : float
        Gaussian sigma of the distance map, pixels.
    marker_radius : int
        Half the side of the square in which a marker must be the maximum, pixels.
    min_size : int
        Smallest cell, pixels.
    """

    signal: Signal = "texture"
    smoothing: float = 1.0
    threshold: float = 4.0
    halo: int = 1
    marker_smoothing: float = 2.0
    marker_radius: int = 6
    min_size: int = 40


def segment_classical(image: NDArray[Any], config: ClassicalConfig) -> NDArray[np.int32]:
    """Find cells without a network.

    Parameters
    ----------
    image : (H, W) or (C, H, W), any real dtype
        Colour channels are averaged.
    config : ClassicalConfig

    Returns
    -------
    (H, W) int32
        0 background, cells 1…N without gaps. A flat image has no cells.

    Raises
    ------
    ImageError
        The image contains NaN or infinity.
    """
    foreground = _foreground(image, config)
    distance = ndimage.distance_transform_edt(foreground) - config.halo
    foreground, distance = distance > 0, np.maximum(distance, 0)
    smooth = ndimage.gaussian_filter(distance, config.marker_smoothing)
    highest = ndimage.maximum_filter(smooth, 2 * config.marker_radius + 1)
    markers, n_markers = ndimage.label((smooth == highest) & foreground, np.ones((3, 3)))
    if n_markers == 0:
        return np.zeros(foreground.shape, np.int32)
    # The watershed floods from low to high and treats negative markers as background.
    depth = np.clip(255 - 255 * smooth / smooth.max(), 0, 255).astype(np.uint8)
    markers[~foreground] = -1
    labels = ndimage.watershed_ift(depth, markers.astype(np.int32), np.ones((3, 3)))
    labels[~foreground] = 0
    labels = np.maximum(labels, 0)
    areas = np.bincount(labels.ravel(), minlength=1)[1:]
    return keep_labels(labels, areas >= config.min_size)


def tune_classical(
    samples: Sequence[Sample], *, report: Report = ignore
) -> tuple[ClassicalConfig, float]:
    """Choose the settings with the best mean competition score on annotated images.

    Parameters
    ----------
    samples : sequence of Sample
        Training images with masks; never the images that the result is reported on.
    report : callable
        Called after every tuned setting.

    Returns
    -------
    ClassicalConfig, float
        The settings, and their mean score on `samples`, on which they were chosen.

    Raises
    ------
    DataError
        No image is annotated.
    ImageError
        As for `segment_classical`.

    Notes
    -----
    Coordinate search: every setting in turn over its `CHOICES`, `N_SWEEPS` times. Of equal
    scores the first is kept.
    """
    annotated = [sample for sample in samples if sample.masks is not None]
    if not annotated:
        raise DataError("the classical baseline needs annotated images to be tuned on")
    names = [field.name for field in fields(ClassicalConfig)]
    best = ClassicalConfig()
    best_score = _mean_score(annotated, best)
    for step in range(N_SWEEPS * len(names)):
        name = names[step % len(names)]
        for value in CHOICES[name]:
            candidate = replace(best, **{name: value})
            if candidate == best:
                continue
            score = _mean_score(annotated, candidate)
            if score > best_score:
                best, best_score = candidate, score
        report(step + 1, {"total": N_SWEEPS * len(names), "mAP": best_score})
    return best, best_score


def _foreground(image: NDArray[Any], config: ClassicalConfig) -> NDArray[np.bool_]:
    grey = (image if image.ndim == 2 else image.mean(axis=0)).astype(np.float32)
    if not np.isfinite(grey).all():
        raise ImageError("the image holds NaN or infinity; expected finite grey levels")
    # Shading varies slowly; what remains are cells, halos and noise around 0.
    flat = grey - ndimage.uniform_filter(grey, BACKGROUND_SIDE)
    spread = float(np.median(np.abs(flat - np.median(flat)))) * 1.4826
    if spread == 0:
        return np.zeros(grey.shape, np.bool_)
    signed = {"texture": np.abs(flat), "bright": flat, "dark": -flat}[config.signal]
    signal = ndimage.gaussian_filter(signed, config.smoothing) / spread
    foreground: NDArray[np.bool_] = ndimage.binary_fill_holes(signal > config.threshold)
    return foreground


def _mean_score(samples: Sequence[Sample], config: ClassicalConfig) -> float:
    scores = [
        average_precision(sample.masks, segment_classical(sample.image, config)).mean
        for sample in samples
        if sample.masks is not None
    ]
    return float(np.mean(scores))
