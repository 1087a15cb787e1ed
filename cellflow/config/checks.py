"""What the sections are checked by; each raises `ConfigError`."""

import math
from dataclasses import fields
from typing import TYPE_CHECKING, get_args

from cellflow.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def require(condition: bool, message: str) -> None:
    """Refuse with a message what does not hold."""
    if not condition:
        raise ConfigError(message)


def require_finite(section: str, settings: "DataclassInstance") -> None:
    """Refuse a section in which a number is infinite or none."""
    for each in fields(settings):
        value = getattr(settings, each.name)
        finite = not isinstance(value, float) or math.isfinite(value)
        require(finite, f"{section}.{each.name}: expected a finite number, found {value}")


def require_choice(name: str, value: str, choices: object) -> None:
    """Refuse a value that a `Literal` type does not list."""
    allowed = get_args(choices)
    require(value in allowed, f"{name}: expected one of {', '.join(allowed)}, found {value!r}")
