"""An estimate with its confidence interval, as scores and differences are given."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate with its confidence interval.

    Parameters
    ----------
    estimate, low, high : float
    level : float
        Confidence level, for instance 0.95.
    """

    estimate: float
    low: float
    high: float
    level: float = 0.95

    def __str__(self) -> str:
        """Write ``0.331 [0.270, 0.392]``, or say that a single image gives no interval."""
        return self._written(".3f")

    def signed(self, digits: int = 3) -> str:
        """Write a difference, ``+0.056 [+0.032, +0.079]``, as `__str__` writes a score."""
        return self._written(f"+.{digits}f")

    def bounds(self, form: str = ".3f") -> str:
        """Write ``0.270 to 0.392``, or "no interval"; `form` is that of each number."""
        if math.isnan(self.low):
            return "no interval"
        return f"{self.low:{form}} to {self.high:{form}}"

    def turned(self) -> "Interval":
        """Give the interval of the difference with the opposite sign."""
        return replace(self, estimate=-self.estimate, low=-self.high, high=-self.low)

    @classmethod
    def from_dict(cls, values: Mapping[str, float | None]) -> "Interval":
        """Make one from the fields in a JSON file, where null stands for NaN.

        Raises
        ------
        TypeError
            A field is missing or unknown.
        """
        return cls(**{name: math.nan if x is None else x for name, x in values.items()})

    def _written(self, form: str) -> str:
        if math.isnan(self.low):
            return f"{self.estimate:{form}} (no interval)"
        return f"{self.estimate:{form}} [{self.low:{form}}, {self.high:{form}}]"
