"""Curves of the score against each threshold, for each cell type, as PNG."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.metrics.bootstrap import mean_interval
from cellflow.metrics.by_type import indices_by_type
from cellflow.pictures.curves import draw_curves
from cellflow.tuning.choice import ALL_TYPES
from cellflow.tuning.grid import Grid, Index
from cellflow.tuning.nested import NestedResult, TunedImage

LABELS = {
    "diameter_factor": "diameter, times the model's",
    "cellprob_threshold": "cellprob threshold, logit",
    "boundary_shift": "shift of the boundary, px",
    "flow_threshold": "flow threshold (at the right end: no check)",
    "min_size": "minimum area, px",
    "score_threshold": "score threshold, calibrated confidence",
}
N_DRAWS = 2000
"""Bootstrap resamples for each point."""


def draw_thresholds(
    folder: Path, found: NestedResult, images: Sequence[TunedImage], grid: Grid
) -> list[Path]:
    """Write one picture for every axis of the grid that has more than one value.

    Parameters
    ----------
    folder : Path
    found : NestedResult
    images : sequence of TunedImage
    grid : Grid

    Returns
    -------
    list of Path

    Notes
    -----
    The other settings are those chosen for the type; a ring marks the chosen value. The curves are
    from the images that the settings were chosen on, so they are too high; only their shape counts.
    """
    written = []
    for axis, name in enumerate(grid.names):
        values = getattr(grid, name)
        if len(values) < 2:
            continue
        path = folder / f"{name}.png"
        _draw_axis(path, axis, _places(name, values), found, images)
        written.append(path)
    return written


def _draw_axis(
    path: Path,
    axis: int,
    places: list[float],
    found: NestedResult,
    images: Sequence[TunedImage],
) -> None:
    series, bands, marks = {}, {}, {}
    for name, own, chosen in _rows(found, images):
        along: list[Any] = list(chosen)
        along[axis] = slice(None)
        scores = found.table[own][(slice(None), *along)]
        how: dict[str, Any] = {
            "strata": [images[i].cell_type for i in own],
            "clusters": [images[i].group for i in own],
            "n_draws": N_DRAWS,
            "within": (0, 1),
        }
        intervals = [
            mean_interval(column, rng=np.random.default_rng(0), **how) for column in scores.T
        ]
        series[name] = places, [one.estimate for one in intervals]
        bands[name] = [one.low for one in intervals], [one.high for one in intervals]
        marks[name] = places[chosen[axis]], intervals[chosen[axis]].estimate
    label = LABELS[path.stem]
    title = f"Score against {label.split(',')[0].split(' (')[0]}, all else as chosen"
    draw_curves(path, title, series, label, "mAP, 95 % interval", bands=bands, marks=marks)


def _rows(
    found: NestedResult, images: Sequence[TunedImage]
) -> list[tuple[str, NDArray[np.int64], Index]]:
    """Give name, images and chosen place of each cell type; without types, of all images."""
    of_type = indices_by_type(image.cell_type for image in images)
    if not of_type:
        return [("all", np.arange(len(images)), found.choice.of_type(ALL_TYPES))]
    return [(kind, np.array(own), found.choice.of_type(kind)) for kind, own in of_type.items()]


def _places(name: str, values: Sequence[float]) -> list[float]:
    """Give the x coordinate of each value; "no flow check" lies right of the largest threshold."""
    if name != "flow_threshold" or values[-1] != 0:
        return [float(value) for value in values]
    checks = [float(value) for value in values[:-1]]
    return [*checks, (checks[-1] if checks else 0.0) + 0.2]
