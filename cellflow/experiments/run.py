"""Every variant on every fold with every seed, what is done already left out."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cellflow.config import Config
from cellflow.configfile import changes_from_default, config_to_dict
from cellflow.data.dataset import Dataset, Entry
from cellflow.data.entrance import open_dataset
from cellflow.data.folds import Folds, make_folds, read_folds, write_folds
from cellflow.data.rle import labels_to_masks
from cellflow.data.submission import write_submission
from cellflow.errors import ConfigError, DataError
from cellflow.experiments.families import Family, Job, Report, Say, changed, find_family
from cellflow.experiments.memory import peak_megabytes, reset_peak
from cellflow.experiments.plan import PREDICT_SECTIONS, Experiment, Variant
from cellflow.experiments.store import Row, Store, make_key
from cellflow.metrics.score import score_images
from cellflow.records import CellMasks
from cellflow.training.materials import HARMLESS
from cellflow.training.survey import fingerprint, survey_images


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One variant on one fold with one seed.

    Parameters
    ----------
    variant : Variant
    fold, seed : int
    model_key : str
        Of the training: variants that differ only in prediction share it.
    key : str
        Of the result.
    """

    variant: Variant
    fold: int
    seed: int
    model_key: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bench:
    """The data, folds and store that an experiment works on.

    Parameters
    ----------
    dataset : Dataset
    folds : Folds
    folds_file : Path
    store : Store
    """

    dataset: Dataset
    folds: Folds
    folds_file: Path
    store: Store


def open_bench(
    experiment: Experiment, train_dir: Path | str, store: Path | str, layout: str | None = None
) -> Bench:
    """Open data and store, and make or read the folds.

    Raises
    ------
    DataError
        The data is missing or differs from that of the store; the folds are for other images.
    """
    dataset = open_dataset(train_dir, layout)
    if not dataset.annotated:
        raise DataError(f"{train_dir}: no annotated image ({dataset.layout} layout)")
    opened = Store.open(store, fingerprint(survey_images(dataset.annotated)))
    if experiment.folds_file is not None:
        path = experiment.folds_file
    else:
        path = opened.folder / f"folds-{experiment.n_folds}-{experiment.folds_seed}.json"
        if not path.exists():
            write_folds(path, make_folds(dataset, experiment.n_folds, experiment.folds_seed))
    return Bench(dataset=dataset, folds=read_folds(path, dataset), folds_file=path, store=opened)


def plan_tasks(experiment: Experiment, bench: Bench) -> list[Task]:
    """Give all tasks: whole seeds one after another, so that what is there can be compared early.

    Raises
    ------
    ConfigError
        A variant is of an unknown family, or has an option that its family does not know.
    """
    for variant in experiment.variants:
        try:
            find_family(variant.family, variant.options)
        except ConfigError as error:
            raise ConfigError(f"variant {variant.name!r}: {error}") from error
    return [
        _task(variant, fold, seed, bench.folds)
        for seed in experiment.seeds
        for fold in range(len(bench.folds.folds))
        for variant in experiment.variants
    ]


def run_experiment(
    experiment: Experiment,
    bench: Bench,
    *,
    device: str = "auto",
    report: Report = lambda step, numbers: None,
    say: Say = lambda text: None,
) -> list[Row]:
    """Compute what the store does not have yet.

    Parameters
    ----------
    experiment : Experiment
    bench : Bench
    device : str
    report : callable
        ``report(step, numbers)`` with the steps of the training that runs.
    say : callable
        Told what begins and what came out.

    Returns
    -------
    list of Row
        All of the experiment, in the order of `plan_tasks`.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C; what is done is kept, and the training that ran continues from its checkpoint.
    CellflowError
        A training or prediction failed; what is done is kept.
    """
    rows = []
    tasks = plan_tasks(experiment, bench)
    for number, task in enumerate(tasks, 1):
        row = _find(bench.store, task)
        if row is None:
            say(f"{number}/{len(tasks)}: {task.variant.name}, fold {task.fold}, seed {task.seed}")
            row = _compute(task, bench, device, report, say)
            bench.store.add(row)
        rows.append(replace(row, variant=task.variant.name))
    return rows


def finished_rows(experiment: Experiment, bench: Bench) -> list[Row]:
    """Give what the store has of an experiment, named as the experiment names its variants."""
    found = [(task, _find(bench.store, task)) for task in plan_tasks(experiment, bench)]
    return [replace(row, variant=task.variant.name) for task, row in found if row is not None]


def _task(variant: Variant, fold: int, seed: int, folds: Folds) -> Task:
    config = replace(variant.config, training=replace(variant.config.training, seed=seed))
    settings = changes_from_default(config)
    for name in HARMLESS:
        settings.get("training", {}).pop(name, None)
    sides = asdict(folds.folds[fold])
    model_key = make_key([variant.family, dict(variant.options), settings, sides])
    predicted = changes_from_default(changed(config, variant.predict))
    asked = [predicted.get(name, {}) for name in PREDICT_SECTIONS]
    return Task(
        variant=replace(variant, config=config),
        fold=fold,
        seed=seed,
        model_key=model_key,
        key=make_key([model_key, asked]),
    )


def _find(store: Store, task: Task) -> Row | None:
    return store.find(task.key, config_to_dict(changed(task.variant.config, task.variant.predict)))


def _compute(task: Task, bench: Bench, device: str, report: Report, say: Say) -> Row:
    family = find_family(task.variant.family, task.variant.options)
    fold = bench.folds.folds[task.fold]
    job = Job(
        train_dir=bench.dataset.root,
        train_entries=tuple(e for e in bench.dataset.annotated if e.name in set(fold.train)),
        layout=bench.dataset.layout,
        folds_file=bench.folds_file,
        fold=task.fold,
        options=task.variant.options,
        config=task.variant.config,
        folder=bench.store.model(task.model_key),
        device=device,
    )
    bench.store.claim_model(task.model_key, config_to_dict(task.variant.config))
    reset_peak()
    trained = family.train(job, report, say)
    started = time.monotonic()
    entries = [e for e in bench.dataset.annotated if e.name in set(fold.validation)]
    images = _predict_and_score(family, job, task, entries, bench.store)
    facts = {
        **asdict(trained),
        "predict_seconds": time.monotonic() - started,
        "peak_megabytes": peak_megabytes(trained.device),
    }
    facts.pop("curve")
    mean = np.mean([image["score"] for image in images.values()])
    say(f"  mAP {mean:.3f} on {len(images)} held-out images, {trained.seconds / 60:.1f} min")
    return Row(
        variant=task.variant.name,
        key=task.key,
        fold=task.fold,
        seed=task.seed,
        settings=_settings(task.variant),
        images=images,
        curve=trained.curve,
        facts=facts,
    )


def _predict_and_score(
    family: Family, job: Job, task: Task, entries: list[Entry], store: Store
) -> dict[str, dict[str, Any]]:
    truths = {entry.name: _truth(entry) for entry in entries}
    found = {
        prediction.name: labels_to_masks(prediction.labels)
        for prediction in family.predict(job, task.variant.predict, entries)
    }
    write_submission(store.predictions(task.key), found.items())
    score = score_images(truths, found, rng=np.random.default_rng(0), n_draws=1)
    by_name = {entry.name: entry for entry in entries}
    return {
        name: {
            "cell_type": by_name[name].cell_type,
            "group": by_name[name].group,
            "score": image.mean,
            "n_truths": image.n_truths,
            "n_predicted": image.n_predicted,
            "precision": image.precision.tolist(),
        }
        for name, image in zip(score.names, score.images, strict=True)
    }


def _truth(entry: Entry) -> CellMasks:
    if entry.read_masks is None:
        raise DataError(f"image {entry.name}: has no truth, so it cannot be scored")
    return entry.read_masks()


def _settings(variant: Variant) -> Mapping[str, Any]:
    config: Config = changed(variant.config, variant.predict)
    return {
        "family": variant.family,
        "options": dict(variant.options),
        "config": config_to_dict(config),
        "predict": {name: dict(values) for name, values in variant.predict.items()},
    }
