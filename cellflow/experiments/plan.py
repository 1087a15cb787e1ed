"""An experiment file: which variants are trained, on which folds, with which seeds.

::

    name = "optimizer"
    question = "Which optimiser reaches the best score in 480 steps?"
    section = "5.4"                 # of the seed report that asks the same; for information only
    folds = 5                       # or folds_file = "folds.json"
    seeds = [0, 1]
    rank_by = "last"

    [folders]                       # to be given by `--folder livecell=PATH`
    livecell = "annotated images of LIVECell"

    [[reported]]                    # results of others, printed below the table
    name = "SGD"
    score = 0.2725

    [base]                          # shared by all variants
    init = "scratch"
    [base.training]                 # any section of Config
    n_epochs = 120

    [family.unet.settings.training] # shared by the variants of one family; overrides [base]
    iterations = 960

    [[variant]]                     # the first one is the reference for the others
    name = "adamw"

    [[variant]]
    name = "semantic U-Net"
    family = "unet"                 # default: "cellflow"

    [[variant]]
    name = "sgd"
    [variant.training]
    optimizer = "sgd"
    [variant.grid]                  # one variant for every combination
    "training.learning_rate" = [0.02, 0.1]

    [[variant]]
    name = "LIVECell first"
    pretrain_dir = "{livecell}"     # or a path, absolute or relative to this file

    [[variant]]
    name = "no flow check"
    [variant.predict.dynamics]      # the same weights, other settings of prediction
    flow_threshold = 0.0
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from cellflow.config import Config
from cellflow.configfile import config_from_dict, read_toml
from cellflow.errors import ConfigError
from cellflow.experiments.layers import assigned, check_families, check_kinds, shared
from cellflow.experiments.settings_tree import combinations, merged

RankBy = Literal["last", "best", "last10", "stability"]
"""How the variants are ordered; explained in `ranking`."""

SECTIONS = tuple(field.name for field in fields(Config))
PREDICT_SECTIONS = ("inference", "dynamics")
"""Sections that may change without training again."""

FOLDER_OPTIONS = ("pretrain_dir", "extra_dir")
"""Options that name folders of annotated images: one path, or a list of them."""

_TOP = (
    *("name", "question", "section", "folds", "folds_file", "folds_seed", "seeds", "rank_by"),
    *("folders", "reported", "base", "family"),
)
_REPORTED = ("name", "score", "minutes", "note")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way of training and predicting.

    Parameters
    ----------
    name : str
    family : str
        The kind of model, see `cellflow.experiments.families`.
    options : mapping of str to any
        Options of the family's training besides settings, for instance ``init``. Folders are
        lists of absolute paths.
    config : Config
        Settings of the training.
    predict : mapping of section to (mapping of key to any)
        Settings that replace those of the training when the held-out images are predicted.
    group : str
        Name of the ``[[variant]]`` whose grid it belongs to; empty = its own name.
    """

    name: str
    family: str
    options: Mapping[str, Any]
    config: Config
    predict: Mapping[str, Mapping[str, Any]]
    group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """A number that others published.

    Parameters
    ----------
    name, note : str
    score : float
    minutes : float or None
    """

    name: str
    score: float
    minutes: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """The content of an experiment file.

    Parameters
    ----------
    name, question : str
    n_folds : int
        Number of folds to make if there is no `folds_file`.
    folds_file : Path or None
    folds_seed : int
    seeds : tuple of int
    rank_by : {"last", "best", "last10", "stability"}
    variants : tuple of Variant
        With unique names; the first is the reference for the others.
    reported : tuple of Reported
    """

    name: str
    question: str
    n_folds: int
    folds_file: Path | None
    folds_seed: int
    seeds: tuple[int, ...]
    rank_by: RankBy
    variants: tuple[Variant, ...]
    reported: tuple[Reported, ...] = ()


def read_experiment(
    path: Path | str,
    *,
    assignments: Sequence[str] = (),
    folders: Mapping[str, Path] | None = None,
    seeds: Sequence[int] = (),
    variants: Sequence[str] = (),
    rank_by: RankBy | None = None,
) -> Experiment:
    """Read an experiment file.

    Parameters
    ----------
    path : path
    assignments : sequence of str
        ``KEY=VALUE`` overrides the file's ``[base]``, ``FAMILY.KEY=VALUE`` its table of that
        family. A variant's own settings take precedence.
    folders : mapping of name to path, optional
        The folders that the file's ``[folders]`` asks for.
    seeds, rank_by
        Replace those of the file.
    variants : sequence of str
        Names of the variants to use, in the order of the file; a variant with a grid stands for all
        of its combinations. All by default.

    Raises
    ------
    ConfigError
        The file cannot be read, is not TOML, has an unknown key (the known ones are listed) or two
        variants of the same name, or needs a folder that is not given.
    """
    path = Path(path)
    tree = read_toml(path)
    try:
        check_kinds(tree)
        check_families(tree)
        tree = assigned(tree, assignments)
        check_families(tree)
        tree |= {"seeds": list(seeds)} if seeds else {}
        tree |= {"rank_by": rank_by} if rank_by else {}
        tree |= {"variant": _chosen(tree.get("variant", []), variants)} if variants else {}
        return _experiment(tree, path, folders or {})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _chosen(entries: Sequence[dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    known = [str(entry.get("name", "")) for entry in entries]
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"--variant {unknown[0]}: no such variant; there are {', '.join(known)}")
    return [entry for entry, name in zip(entries, known, strict=True) if name in names]


def _experiment(tree: dict[str, Any], path: Path, given: Mapping[str, Path]) -> Experiment:
    _refuse_unknown(tree, (*_TOP, "variant"), "the file")
    seeds, rank_by = tree.get("seeds", [0]), tree.get("rank_by", "last")
    if not (isinstance(seeds, list) and seeds and all(type(seed) is int for seed in seeds)):
        raise ConfigError(f"seeds: expected a list of whole numbers, found {seeds!r}")
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds: each once, found {seeds!r}")
    name, folds_seed = tree.get("name", path.stem), tree.get("folds_seed", 0)
    if name != Path(name).name:
        raise ConfigError(f"name: is that of files too, found {name!r}")
    if folds_seed < 0:
        raise ConfigError(f"folds_seed: expected 0 or more, found {folds_seed}")
    if rank_by not in get_args(RankBy):
        raise ConfigError(f"rank_by: expected one of {', '.join(get_args(RankBy))}")
    folders = _folders(tree.get("folders", {}), given)
    variants = tuple(
        _variant(each, str(entry.get("name", "")), path.parent, folders)
        for entry in tree.get("variant", [])
        for each in combinations(merged(shared(entry, tree), entry))
    )
    names = [variant.name for variant in variants]
    if not variants:
        raise ConfigError("no [[variant]]")
    if twice := {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"two variants of the name {min(twice)!r}")
    file = tree.get("folds_file")
    return Experiment(
        name=name,
        question=tree.get("question", ""),
        n_folds=tree.get("folds", 5),
        folds_file=None if file is None else path.parent / file,
        folds_seed=folds_seed,
        seeds=tuple(seeds),
        rank_by=rank_by,
        variants=variants,
        reported=tuple(_reported(entry) for entry in tree.get("reported", [])),
    )


def _folders(wanted: Mapping[str, str], given: Mapping[str, Path]) -> dict[str, Path | str]:
    """Give the path of each folder that the file asks for, or its description if not given."""
    for name in given:
        if name not in wanted:
            known = ", ".join(wanted) or "none"
            raise ConfigError(f"--folder {name}: not asked for; the file's [folders]: {known}")
    return {name: given[name].absolute() if name in given else wanted[name] for name in wanted}


def _variant(
    tree: dict[str, Any], group: str, beside: Path, folders: Mapping[str, Path | str]
) -> Variant:
    name = tree.pop("name", None)
    if not isinstance(name, str) or not name:
        raise ConfigError("a [[variant]] has no name")
    family, predict = tree.pop("family", "cellflow"), tree.pop("predict", {})
    if not isinstance(predict, dict):
        raise ConfigError(f"variant {name!r}, predict: expected tables, found {predict!r}")
    _refuse_unknown(predict, PREDICT_SECTIONS, f"variant {name!r}, predict")
    sections = {key: tree.pop(key) for key in SECTIONS if key in tree}
    try:
        config = config_from_dict(sections)
        config_from_dict(merged(sections, predict))
        options = _options(tree, beside, folders)
    except ConfigError as error:
        raise ConfigError(f"variant {name!r}: {error}") from error
    return Variant(
        name=name, family=family, options=options, config=config, predict=predict, group=group
    )


def _options(
    tree: Mapping[str, Any], beside: Path, folders: Mapping[str, Path | str]
) -> dict[str, Any]:
    """Give the options with folders as lists of absolute paths."""
    options = dict(tree)
    for key in FOLDER_OPTIONS:
        if key not in options:
            continue
        named = options[key] if isinstance(options[key], list) else [options[key]]
        if not named or not all(isinstance(text, str) and text for text in named):
            raise ConfigError(f"{key}: expected a path or a list of paths, found {options[key]!r}")
        options[key] = [_folder(key, text, beside, folders) for text in named]
    init = options.get("init")
    if isinstance(init, str) and init not in ("", "scratch") and (beside / init).exists():
        options["init"] = str((beside / init).absolute())
    return options


def _folder(key: str, text: str, beside: Path, folders: Mapping[str, Path | str]) -> str:
    if not text.startswith("{"):
        return str((beside / text).absolute())
    name = text.strip("{}")
    if name not in folders:
        raise ConfigError(f"{key} = {text!r}: [folders] has no {name!r}")
    found = folders[name]
    if isinstance(found, str):
        raise ConfigError(f"give --folder {name}=PATH: {found}")
    return str(found)


def _reported(entry: Mapping[str, Any]) -> Reported:
    _refuse_unknown(entry, _REPORTED, "reported")
    if not isinstance(entry.get("name"), str) or not isinstance(entry.get("score"), float):
        raise ConfigError(f"reported: expected name and score, found {dict(entry)!r}")
    if not isinstance(entry.get("minutes", 0), int | float):
        raise ConfigError(f"reported: expected minutes as a number, found {entry['minutes']!r}")
    return Reported(**entry)


def _refuse_unknown(tree: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in tree:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}; known: {', '.join(known)}")
