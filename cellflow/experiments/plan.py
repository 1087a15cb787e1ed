"""An experiment file: which variants are trained, on which folds, with which seeds.

::

    name = "optimizer"
    question = "Which optimiser reaches the best score in 480 steps?"
    folds = 5                       # or folds_file = "folds.json"
    seeds = [0, 1]
    rank_by = "last"

    [base]                          # what all variants share
    family = "cellflow"
    init = "scratch"
    [base.training]                 # any section of Config
    n_epochs = 120

    [[variant]]                     # the first one is what the others are compared with
    name = "adamw"

    [[variant]]
    name = "sgd"
    [variant.training]
    optimizer = "sgd"
    [variant.grid]                  # one variant for every combination
    "training.learning_rate" = [0.02, 0.1]

    [[variant]]
    name = "no flow check"
    [variant.predict.dynamics]      # the same weights, predicted otherwise
    flow_threshold = 0.0
"""

import copy
import itertools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from cellflow.config import Config
from cellflow.configfile import config_from_dict
from cellflow.errors import ConfigError

RankBy = Literal["last", "best", "last10"]
"""How the variants are ordered: by the out-of-fold score of the final weights, by the best
validation of each run, or by the mean of its last ten validations (as the seed report did).
Only the first is honest: the others look at the held-out images to choose an epoch."""

SECTIONS = tuple(field.name for field in fields(Config))
PREDICT_SECTIONS = ("inference", "dynamics")
"""Sections that a trained network can be asked again with."""

_TOP = ("name", "question", "folds", "folds_file", "folds_seed", "seeds", "rank_by", "base")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way of training and predicting.

    Parameters
    ----------
    name : str
    family : str
        Which kind of model; `cellflow.experiments.families` has them.
    options : mapping of str to any
        What the family's training takes besides settings, for instance ``init``.
    config : Config
        Settings of the training.
    predict : mapping of section to (mapping of key to any)
        Settings that replace those of the training when the held-out images are predicted.
    """

    name: str
    family: str
    options: Mapping[str, Any]
    config: Config
    predict: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """What an experiment file says.

    Parameters
    ----------
    name, question : str
    n_folds : int
        Folds that are made when there is no file.
    folds_file : Path or None
    folds_seed : int
    seeds : tuple of int
    rank_by : {"last", "best", "last10"}
    variants : tuple of Variant
        Of different names; the others are compared with the first.
    """

    name: str
    question: str
    n_folds: int
    folds_file: Path | None
    folds_seed: int
    seeds: tuple[int, ...]
    rank_by: RankBy
    variants: tuple[Variant, ...]


def read_experiment(path: Path | str) -> Experiment:
    """Read an experiment file.

    Raises
    ------
    ConfigError
        The file cannot be read, is not TOML, has an unknown key (the known ones are listed), or
        two variants of the same name.
    """
    path = Path(path)
    tree = _read_toml(path)
    try:
        return _experiment(tree, path)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def _experiment(tree: dict[str, Any], path: Path) -> Experiment:
    _refuse_unknown(tree, (*_TOP, "variant"), "the file")
    seeds, rank_by = tree.get("seeds", [0]), tree.get("rank_by", "last")
    if not (isinstance(seeds, list) and seeds and all(type(seed) is int for seed in seeds)):
        raise ConfigError(f"seeds: expected a list of whole numbers, found {seeds!r}")
    if rank_by not in get_args(RankBy):
        raise ConfigError(f"rank_by: expected one of {', '.join(get_args(RankBy))}")
    variants = tuple(
        _variant(each)
        for entry in tree.get("variant", [])
        for each in _combinations(_merged(tree.get("base", {}), entry))
    )
    names = [variant.name for variant in variants]
    if not variants:
        raise ConfigError("no [[variant]]")
    if twice := {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"two variants of the name {min(twice)!r}")
    file = tree.get("folds_file")
    return Experiment(
        name=tree.get("name", path.stem),
        question=tree.get("question", ""),
        n_folds=tree.get("folds", 5),
        folds_file=None if file is None else path.parent / file,
        folds_seed=tree.get("folds_seed", 0),
        seeds=tuple(seeds),
        rank_by=rank_by,
        variants=variants,
    )


def _variant(tree: dict[str, Any]) -> Variant:
    name = tree.pop("name", None)
    if not isinstance(name, str) or not name:
        raise ConfigError("a [[variant]] has no name")
    family, predict = tree.pop("family", "cellflow"), tree.pop("predict", {})
    _refuse_unknown(predict, PREDICT_SECTIONS, f"variant {name!r}, predict")
    sections = {key: tree.pop(key) for key in SECTIONS if key in tree}
    try:
        config = config_from_dict(sections)
        config_from_dict(_merged(sections, predict))
    except ConfigError as error:
        raise ConfigError(f"variant {name!r}: {error}") from error
    return Variant(name=name, family=family, options=tree, config=config, predict=predict)


def _combinations(tree: dict[str, Any]) -> list[dict[str, Any]]:
    """Give one tree for each combination of the values in its ``grid``."""
    grid = tree.pop("grid", {})
    trees = []
    for values in itertools.product(*grid.values()):
        one = copy.deepcopy(tree)
        for key, value in zip(grid, values, strict=True):
            _put(one, key, value)
            one["name"] = f"{one.get('name')} {key.rpartition('.')[2]}={value}"
        trees.append(one)
    return trees


def _put(tree: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
    tree[last] = value


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Lay the second tree over the first; neither is changed."""
    merged = copy.deepcopy(dict(first))
    for key, value in second.items():
        is_table = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if is_table else copy.deepcopy(value)
    return merged


def _refuse_unknown(tree: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in tree:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}; known: {', '.join(known)}")
