"""Checks of the values in a section; each raises `ConfigError`."""

import math
from dataclasses import fields
from typing import TYPE_CHECKING, get_args

from cellflow.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def require(condition: bool, message: str) -> None:
    """Raise with a message unless a condition holds."""
    if not condition:
        raise ConfigError(message)


def require_finite(section: str, settings: "DataclassInstance") -> None:
    """Raise if a number of a section is infinite or NaN."""
    for each in fields(settings):
        value = getattr(settings, each.name)
        finite = not isinstance(value, float) or math.isfinite(value)
        require(finite, f"{section}.{each.name}: expected a finite number, found {value}")


def require_choice(name: str, value: str, choices: object) -> None:
    """Raise if a value is not one of a `Literal` type."""
    allowed = get_args(choices)
    require(value in allowed, f"{name}: expected one of {', '.join(allowed)}, found {value!r}")
