"""Every variant on every fold with every seed, and the keys of their trainings and results.

A key is a hash of the images of both sides, the seed, the settings that differ from the defaults,
and the content of files that options name. Any change to how keys are made invalidates all existing
stores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cellflow.configfile import changes_from_default, config_to_dict
from cellflow.data.folds import Fold
from cellflow.errors import ConfigError
from cellflow.experiments.bench import Bench
from cellflow.experiments.families import FAMILIES, find_family
from cellflow.experiments.family import changed
from cellflow.experiments.plan import PREDICT_SECTIONS, Experiment, Variant
from cellflow.experiments.store import make_key
from cellflow.experiments.subset import SUBSET_OPTIONS, check_subset, chosen_images
from cellflow.training.materials import HARMLESS


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One variant on one fold with one seed.

    Parameters
    ----------
    variant : Variant
        With the seed in its settings.
    fold, seed : int
    sides : Fold
        Training and held-out images; the training images may be a subset of the fold's.
    model_key : str
        Key of the training, shared by variants that differ only in prediction.
    key : str
        Key of the result.
    pretraining_key : str or None
        Key of the pretraining on other folders, shared by all folds.
    """

    variant: Variant
    fold: int
    seed: int
    sides: Fold
    model_key: str
    key: str
    pretraining_key: str | None


def plan_tasks(experiment: Experiment, bench: Bench) -> list[Task]:
    """Give all tasks, one complete seed after another, so that variants can be compared early.

    Raises
    ------
    ConfigError
        The family of a variant is unknown or not installed, or does not have one of its options or
        settings; or two variants differ only in their time budget.
    DataError
        A folder to pretrain on is missing, broken, or contains images of the experiment or of the
        same wells; or initial weights were trained on them.
    """
    for variant in experiment.variants:
        try:
            check_subset(variant.options)
            family = find_family(variant.family, variant.options)
            family.check(variant.options, variant.config, variant.predict)
        except ConfigError as error:
            raise ConfigError(f"variant {variant.name!r}: {error}") from error
        for folder in variant.options.get("pretrain_dir", ()):
            bench.sources.require_foreign(folder)
        bench.sources.require_unseen(variant.options.get("init"))
    tasks: list[Task] = []
    for seed in experiment.seeds:
        of_variants = [_tasks_of(variant, seed, bench) for variant in experiment.variants]
        for of_fold in zip(*of_variants, strict=True):
            tasks += of_fold
    _require_one_budget(tasks)
    return tasks


def _require_one_budget(tasks: Sequence[Task]) -> None:
    """Refuse two time budgets for one training: keys do not distinguish them."""
    first: dict[str, Variant] = {}
    for task in tasks:
        one, other = first.setdefault(task.model_key, task.variant), task.variant
        if one.config.training.max_minutes != other.config.training.max_minutes:
            raise ConfigError(
                f"variants {one.name!r} and {other.name!r} differ in training.max_minutes alone, "
                "which is no other training for a store; vary training.n_epochs"
            )


def settings_of(variant: Variant, predict: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Give all settings of a variant, to be compared with those in a store.

    Parameters
    ----------
    variant : Variant
    predict : mapping of section to (mapping of key to any)
        `Variant.predict`, or empty for the settings of its training.
    """
    own = FAMILIES[variant.family].own_settings(variant.options, variant.config)
    return {**config_to_dict(changed(variant.config, predict)), **own}


def _tasks_of(variant: Variant, seed: int, bench: Bench) -> list[Task]:
    """Give the tasks of a variant with one seed, one for each fold."""
    config = replace(variant.config, training=replace(variant.config.training, seed=seed))
    settings = changes_from_default(config)
    for name in HARMLESS:
        settings.get("training", {}).pop(name, None)
    named = bench.sources.named_by_content(variant.options)
    options = {name: value for name, value in named.items() if name not in SUBSET_OPTIONS}
    asked: Mapping[str, Mapping[str, Any]] = variant.predict
    if FAMILIES[variant.family].DEFAULTS_OF_CONFIG:
        asked = changes_from_default(changed(config, variant.predict))
    before = [variant.family, options.get("init"), options.get("pretrain_dir"), settings]
    tasks = []
    for fold in range(len(bench.folds.folds)):
        sides = _sides(variant, fold, seed, bench)
        both = {"train": list(sides.train), "validation": list(sides.validation)}
        model_key = make_key([variant.family, options, settings, both])
        tasks.append(
            Task(
                variant=replace(variant, config=config),
                fold=fold,
                seed=seed,
                sides=sides,
                model_key=model_key,
                key=make_key([model_key, [asked.get(name, {}) for name in PREDICT_SECTIONS]]),
                pretraining_key=make_key(before) if "pretrain_dir" in options else None,
            )
        )
    return tasks


def _sides(variant: Variant, fold: int, seed: int, bench: Bench) -> Fold:
    whole = bench.folds.folds[fold]
    if not set(SUBSET_OPTIONS) & set(variant.options):
        return whole
    try:
        entries = [bench.entries[name] for name in whole.train]
        chosen = chosen_images(entries, variant.options, seed)
    except ConfigError as error:
        raise ConfigError(f"variant {variant.name!r}, fold {fold}: {error}") from error
    return Fold(train=tuple(chosen), validation=whole.validation)
