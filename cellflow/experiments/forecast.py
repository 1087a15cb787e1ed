"""Forecast of what a run of an experiment would do: trainings, steps, time."""

from collections.abc import Mapping, Sequence
from typing import Any

from cellflow.experiments.bench import Bench
from cellflow.experiments.families import FAMILIES
from cellflow.experiments.plan import Experiment
from cellflow.experiments.run import find_row
from cellflow.experiments.store import Row
from cellflow.experiments.tasks import Task, plan_tasks, settings_of
from cellflow.wording import counted, duration_text


def forecast(experiment: Experiment, bench: Bench, device: str = "auto") -> list[str]:
    """Say how many trainings, steps and predictions are missing, and how long they would take.

    Parameters
    ----------
    experiment : Experiment
    bench : Bench
    device : str
        On which it would run.

    Returns
    -------
    list of str
        One sentence each.

    Raises
    ------
    ConfigError, DataError
        As `plan_tasks`.

    Notes
    -----
    The time is extrapolated from stored trainings of the same family, per step and per pixel of a
    crop. Without any, a step of the first variant is measured, if the family can do so. Trainings
    in progress count in full.
    """
    tasks = plan_tasks(experiment, bench)
    found = [(task, find_row(bench.store, task) is not None) for task in tasks]
    missing = [task for task, is_done in found if not is_done]
    # Variants that differ only in prediction share one training, as long as its model exists.
    trained = {task.model_key for task, is_done in found if is_done}
    trained = {key for key in trained if bench.store.model(key).exists()}
    left = list({t.model_key: t for t in missing if t.model_key not in trained}.values())
    n_variants, n_seeds = len(experiment.variants), len(experiment.seeds)
    n_folds, n_done = len(bench.folds.folds), len(tasks) - len(missing)
    lines = [
        f"{experiment.name}: {counted(n_variants, 'variant')} × {counted(n_folds, 'fold')} × "
        f"{counted(n_seeds, 'seed')} = {counted(len(tasks), 'result')}, {n_done} in the store",
        f"to do: {counted(len(left), 'training')} and the prediction of "
        f"{counted(sum(len(task.sides.validation) for task in missing), 'image')}",
    ]
    lines += [_of_family(name, left, bench, device) for name in FAMILIES]
    return [line for line in [*lines, _pretraining(left, bench)] if line]


def _of_family(name: str, left: Sequence[Task], bench: Bench, device: str) -> str:
    tasks = [task for task in left if task.variant.family == name]
    if not tasks:
        return ""
    steps = [_n_steps(task) for task in tasks]
    text = f"{name}: {counted(len(tasks), 'training')}, {sum(steps)} steps"
    budgets = [task.variant.config.training.max_minutes for task in tasks]
    if all(budget is not None for budget in budgets):
        return f"{text}, at most {duration_text(60 * sum(b or 0 for b in budgets))}"
    shown = [_pixels(settings_of(task.variant, {})) for task in tasks]
    pixels = sum(n * each for n, each in zip(steps, shown, strict=True))
    rows = [row for row in bench.store.rows() if row.settings["family"] == name]
    pace = _seconds_a_pixel(rows)
    if pace is not None:
        return f"{text}, about {duration_text(pace * pixels)} as earlier ones in the store took"
    measured = FAMILIES[name].step_seconds(tasks[0].variant.config, device)
    if measured is None:
        return f"{text}; how long is not known, the store has no training of this family yet"
    seconds = measured / shown[0] * pixels
    return f"{text} of {measured:.2g} s here: {duration_text(seconds)} and the validations"


def _n_steps(task: Task) -> int:
    variant = task.variant
    n_images = len(task.sides.train)
    return FAMILIES[variant.family].n_steps(variant.options, variant.config, n_images)


def _pixels(settings: Mapping[str, Mapping[str, Any]]) -> float:
    """Give the pixels seen in one step, from settings in the form of `settings_of` and of rows."""
    own = settings.get("settings.training")  # of a baseline
    if own is not None:
        return float(own["batch_size"] * own["crop_height"] * own["crop_width"])
    training = settings["training"]
    return float(training["batch_size"] * training["crop_size"] ** 2)


def _seconds_a_pixel(rows: Sequence[Row]) -> float | None:
    """Give the training time per step and pixel of its crops."""
    seconds = sum(row.facts["seconds"] for row in rows)
    pixels = sum(row.facts["n_steps"] * _pixels(row.settings["config"]) for row in rows)
    return seconds / pixels if pixels else None


def _pretraining(left: Sequence[Task], bench: Bench) -> str:
    """Say which pretraining on other folders is needed, if folds share it."""
    ours = [task for task in left if task.variant.family == "cellflow"]
    shared = {task.pretraining_key: task for task in ours if task.pretraining_key}
    if not shared:
        return ""
    folders = {f for task in shared.values() for f in task.variant.options["pretrain_dir"]}
    told = ", ".join(f"{folder} ({bench.sources.n_images(folder)} images)" for folder in folders)
    n_each = counted(len(shared), "training")
    return f"before them {n_each} on {told}, not counted above, each for all folds of a seed"
