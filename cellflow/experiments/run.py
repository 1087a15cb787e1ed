"""Compute the results that the store does not have yet, one task after the other."""

import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from cellflow.data.dataset import Entry
from cellflow.data.folds import write_folds
from cellflow.data.rle import labels_to_masks
from cellflow.data.submission import write_submission
from cellflow.errors import TrainingDiverged
from cellflow.experiments.bench import Bench
from cellflow.experiments.families import FAMILIES
from cellflow.experiments.family import Job
from cellflow.experiments.memory import peak_megabytes, reset_peak
from cellflow.experiments.plan import FOLDER_OPTIONS, Experiment, Variant
from cellflow.experiments.store import Row, Store
from cellflow.experiments.tasks import Task, plan_tasks, settings_of
from cellflow.metrics.score import score_images
from cellflow.records import Prediction
from cellflow.telling import Report, Say, ignore
from cellflow.training.run_lock import InUse, locked
from cellflow.training.trained import Trained
from cellflow.wording import counted

NOTHING = Trained(n_steps=0, n_parameters=0, seconds=0.0, device="none", curve=(), versions={})
"""The result of a training that diverged."""


def run_experiment(
    experiment: Experiment,
    bench: Bench,
    *,
    device: str = "auto",
    report: Report = ignore,
    say: Say = ignore,
) -> list[Row]:
    """Compute the results that the store does not have yet.

    Parameters
    ----------
    experiment : Experiment
    bench : Bench
    device : str
    report : callable
        ``report(step, numbers)`` with the steps of the current training.
    say : callable
        Called with what begins, and with its result.

    Returns
    -------
    list of Row
        All results of the experiment in the order of `plan_tasks`, without those that other
        processes are still computing.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C; finished results are kept, and the interrupted training can be continued from its
        checkpoint.
    CellflowError
        A training or prediction failed; finished results are kept.

    Notes
    -----
    Several processes may share the work, on one machine or on several with a shared folder: each
    skips what another one has begun.
    """
    elsewhere = []
    tasks = plan_tasks(experiment, bench)
    missing = {task.key: task.model_key for task in tasks if not bench.store.has(task.key)}
    left = Counter(missing.values())
    for number, task in enumerate(tasks, 1):
        row = find_row(bench.store, task)
        if row is None:
            say(f"{number}/{len(tasks)}: {task.variant.name}, fold {task.fold}, seed {task.seed}")
            try:
                with locked(bench.store.lock(task.model_key), say):
                    row = find_row(bench.store, task)
                    if row is None:
                        job = _job(task, bench, device, shares=left[task.model_key] > 1)
                        row = _compute(task, job, bench, report, say)
                        bench.store.add(row)
            except InUse:
                say("  another process is at it")
                elsewhere.append(task)
                continue
        if missing.pop(task.key, None):  # here or, meanwhile, by another process
            left[task.model_key] -= 1
            if not left[task.model_key]:
                shutil.rmtree(bench.store.flows(task.model_key), ignore_errors=True)
    n_left = sum(find_row(bench.store, task) is None for task in elsewhere)
    if n_left:
        say(
            f"{counted(n_left, 'result')} left to other processes; when they are done, "
            "`cellflow experiment table` shows them"
        )
    return finished_rows(experiment, bench)


def finished_rows(experiment: Experiment, bench: Bench) -> list[Row]:
    """Give the stored results of an experiment, under its own names of the variants."""
    found = [(task, find_row(bench.store, task)) for task in plan_tasks(experiment, bench)]
    return [_named(row, task) for task, row in found if row is not None]


def find_row(store: Store, task: Task) -> Row | None:
    """Give the result of a task, or None if there is none yet.

    Raises
    ------
    DataError
        As `Store.read`.
    """
    if not store.has(task.key):
        return None
    return store.read(task.key, settings_of(task.variant, task.variant.predict))


def _named(row: Row, task: Task) -> Row:
    """Give a row with this experiment's names and fold; another may have computed it."""
    facts = {**row.facts, "n_train": len(task.sides.train)}
    return replace(row, variant=task.variant.name, fold=task.fold, facts=facts)


def _compute(task: Task, job: Job, bench: Bench, report: Report, say: Say) -> Row:
    family = FAMILIES[task.variant.family]
    bench.store.claim_model(task.model_key, settings_of(task.variant, {}))
    reset_peak()
    try:
        trained, diverged = family.train(job, report, say), ""
        found = family.predict(job, task.variant.predict)
    except TrainingDiverged as error:
        say(f"  {error}; it counts as a model that finds no cell")
        trained, diverged, found = NOTHING, str(error), _no_cells(job.held_out)
    started = time.monotonic()
    images = _score(found, job.held_out, bench.store.predictions(task.key))
    facts = {
        **asdict(trained),
        "diverged": diverged,
        "predict_seconds": time.monotonic() - started,
        "flows_kept": job.flows is not None and job.flows.exists(),
        "peak_megabytes": peak_megabytes(trained.device),
    }
    facts.pop("curve")
    mean = np.mean([image["score"] for image in images.values()])
    found_any = any(image["n_predicted"] for image in images.values())
    say(
        f"  mAP {mean:.3f} on {counted(len(images), 'held-out image')}, "
        f"{trained.seconds / 60:.1f} min{'' if found_any else '; no cell was found'}"
    )
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


def _job(task: Task, bench: Bench, device: str, *, shares: bool) -> Job:
    """Give the job of a family for a task.

    Parameters
    ----------
    task : Task
    bench : Bench
    device : str
    shares : bool
        Whether more predictions with the same model will follow.
    """
    store, before = bench.store, task.pretraining_key
    flows = store.flows(task.model_key)
    return Job(
        train_dir=bench.dataset.root,
        train_entries=tuple(bench.entries[name] for name in task.sides.train),
        held_out=tuple(bench.entries[name] for name in task.sides.validation),
        layout=bench.dataset.layout,
        folds_file=_folds_file(task, bench),
        fold=task.fold,
        options=task.variant.options,
        config=task.variant.config,
        folder=store.model(task.model_key),
        device=device,
        pretraining=None if before is None else store.pretraining(before),
        flows=flows if shares or flows.exists() else None,
    )


def _folds_file(task: Task, bench: Bench) -> Path:
    """Give the file of the folds; for a subset of the training images, write one of its own."""
    folds, number = bench.folds, task.fold
    if task.sides == folds.folds[number]:
        return bench.folds_file
    path = bench.store.folder / "folds" / f"{task.model_key}.json"
    sides = (*folds.folds[:number], task.sides, *folds.folds[number + 1 :])
    some = f"{len(task.sides.train)} of {len(folds.folds[number].train)} training images"
    write_folds(path, replace(folds, folds=sides, how=f"{folds.how}; in fold {number} {some}"))
    return path


def _no_cells(entries: Sequence[Entry]) -> Iterator[Prediction]:
    for entry in entries:
        labels = np.zeros(entry.truth().shape, np.int32)
        yield Prediction(name=entry.name, labels=labels, scores=np.empty(0, np.float32))


def _score(
    predictions: Iterable[Prediction], entries: Sequence[Entry], submission: Path
) -> dict[str, dict[str, Any]]:
    truths = {entry.name: entry.truth() for entry in entries}
    found = {each.name: labels_to_masks(each.labels) for each in predictions}
    write_submission(submission, found.items())
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


def _without_places(key: str, value: Any) -> Any:
    """Reduce folders in an option to their names: results are shared, keys identify the content."""
    if key in FOLDER_OPTIONS:
        return [Path(folder).name for folder in value]
    is_path = key == "init" and isinstance(value, str) and Path(value).is_absolute()
    return Path(value).name if is_path else value


def _settings(variant: Variant) -> Mapping[str, Any]:
    return {
        "family": variant.family,
        "options": {key: _without_places(key, value) for key, value in variant.options.items()},
        "config": settings_of(variant, variant.predict),
        "predict": {name: dict(values) for name, values in variant.predict.items()},
    }
