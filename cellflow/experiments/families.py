"""The kinds of models that an experiment can train, by their names in experiment files."""

from collections.abc import Mapping
from typing import Any

from cellflow.errors import ConfigError
from cellflow.experiments.baseline_families import BaselineFamily
from cellflow.experiments.family import Family
from cellflow.experiments.flow_families import CellflowFamily, CellposeFamily
from cellflow.experiments.subset import SUBSET_OPTIONS

FAMILIES: dict[str, Family] = {
    "cellflow": CellflowFamily(),
    "cellpose": CellposeFamily(),
    "mask-rcnn": BaselineFamily("mask-rcnn"),
    "cascade-mask-rcnn": BaselineFamily("cascade-mask-rcnn"),
    "unet": BaselineFamily("unet"),
}


def find_family(name: str, options: Mapping[str, Any]) -> Family:
    """Give a family by name, after checking that it has the options.

    Raises
    ------
    ConfigError
        An unknown family or option; the known ones are listed.
    """
    if name not in FAMILIES:
        raise ConfigError(f"unknown family {name!r}; known: {', '.join(FAMILIES)}")
    family = FAMILIES[name]
    allowed = (*family.OPTIONS, *SUBSET_OPTIONS)
    for option in options:
        if option not in allowed:
            known = ", ".join(allowed)
            raise ConfigError(f"unknown option {option!r} of the family {name}; known: {known}")
    return family
