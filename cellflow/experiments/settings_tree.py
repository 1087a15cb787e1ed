"""Nested settings: merge them, set values by dotted keys, expand the combinations of a grid."""

import copy
import itertools
from collections.abc import Mapping
from typing import Any

from cellflow.configfile import toml_value
from cellflow.errors import ConfigError


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two trees; values of the second take precedence, and neither is changed.

    Examples
    --------
    >>> merged({"training": {"seed": 1}}, {"training": {"n_epochs": 2}})
    {'training': {'seed': 1, 'n_epochs': 2}}
    """
    result = copy.deepcopy(dict(first))
    for key, value in second.items():
        is_table = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if is_table else copy.deepcopy(value)
    return result


def put(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set the value at a dotted key in place; missing tables are created.

    Raises
    ------
    ConfigError
        A part of the key is a value and not a table.
    """
    *sections, last = key.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{key}: {section} is a value, not a table")
    tree[last] = value


def with_assignment(tree: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Apply ``KEY=VALUE`` to a copy of a tree; the value is TOML, or else a string.

    Raises
    ------
    ConfigError
        The text has no ``=``.

    Examples
    --------
    >>> with_assignment({"init": "cyto3"}, "training.n_epochs=2")
    {'init': 'cyto3', 'training': {'n_epochs': 2}}
    """
    result = copy.deepcopy(dict(tree))
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text}: expected KEY=VALUE")
    put(result, key.strip(), toml_value(value))
    return result


def combinations(tree: dict[str, Any]) -> list[dict[str, Any]]:
    """Give one tree for each combination of the values in its ``grid``, which its name states.

    Raises
    ------
    ConfigError
        The grid is not a table of lists, or a list is empty.
    """
    grid = tree.pop("grid", {})
    if not isinstance(grid, dict) or not all(isinstance(v, list) and v for v in grid.values()):
        raise ConfigError('grid: expected lines such as "training.learning_rate" = [0.02, 0.1]')
    trees = []
    for values in itertools.product(*grid.values()):
        one = copy.deepcopy(tree)
        for key, value in zip(grid, values, strict=True):
            put(one, key, value)
            one["name"] = f"{one.get('name')} {key.rpartition('.')[2]}={value}"
        trees.append(one)
    return trees
