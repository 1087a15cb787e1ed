"""The settings that tuning tries: a grid, every combination of the values on six axes."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np

from cellflow.config import TuningConfig
from cellflow.network.thresholds import CellSettings

Index = tuple[int, ...]
"""Place of a combination on the grid: one index per axis, in the order of the fields of `Grid`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The values on each axis, ascending; but a flow threshold of 0 (no check) comes last.

    Parameters
    ----------
    diameter_factor : tuple of float
        Multiplies the model's diameter.
    cellprob_threshold, boundary_shift, flow_threshold, min_size, score_threshold : tuple
        As in `CellSettings`.
    """

    diameter_factor: tuple[float, ...]
    cellprob_threshold: tuple[float, ...]
    boundary_shift: tuple[float, ...]
    flow_threshold: tuple[float, ...]
    min_size: tuple[int, ...]
    score_threshold: tuple[float, ...]

    @classmethod
    def of(cls, config: TuningConfig, also: Iterable[CellSettings]) -> "Grid":
        """Make the grid of `config`, extended by the values of the settings in `also`."""
        also = tuple(also)

        def axis(values: Iterable[float], name: str) -> tuple[float, ...]:
            return tuple(sorted({*values, *(getattr(one, name) for one in also)}))

        checks = axis(config.flow_thresholds, "flow_threshold")
        return cls(
            diameter_factor=tuple(sorted({1.0, *config.diameter_factors})),
            cellprob_threshold=axis(config.cellprob_thresholds, "cellprob_threshold"),
            boundary_shift=axis(config.boundary_shifts, "boundary_shift"),
            flow_threshold=tuple(f for f in checks if f > 0) + tuple(f for f in checks if f == 0),
            min_size=tuple(int(size) for size in axis(config.min_sizes, "min_size")),
            score_threshold=axis(config.score_thresholds, "score_threshold"),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the axes, in order."""
        return tuple(each.name for each in fields(self))

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values on each axis."""
        return tuple(len(getattr(self, name)) for name in self.names)

    @property
    def size(self) -> int:
        """Number of combinations."""
        return int(np.prod(self.shape))

    def index_of(self, settings: CellSettings) -> Index:
        """Give the place of settings on the grid, at the model's own diameter.

        Raises
        ------
        ValueError
            The settings are not on the grid.
        """
        values = {name: getattr(settings, name) for name in self.names[1:]}
        own = self.diameter_factor.index(1.0)
        return (own, *(getattr(self, name).index(value) for name, value in values.items()))

    def settings_at(self, index: Index, diameter: float | None) -> CellSettings:
        """Give the settings at a place.

        Parameters
        ----------
        index : tuple of 6 int
        diameter : float or None
            The model's, pixels. None = it has none; then the settings have no diameter either,
            whatever the factor.
        """
        values = {n: getattr(self, n)[i] for n, i in zip(self.names, index, strict=True)}
        factor = values.pop("diameter_factor")
        chosen = None if factor == 1 or diameter is None else factor * diameter
        return CellSettings(**values, diameter=chosen)
