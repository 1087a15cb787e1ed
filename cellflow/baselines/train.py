"""Train a baseline, from annotated images to its folder; used by ``cellflow baseline train``."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cellflow.baselines.baseline_folder import (
    BaselineFolder,
    is_baseline_folder,
    read_baseline_folder,
)
from cellflow.baselines.build import build_learner, settle
from cellflow.baselines.choose_cells import require_known_classes
from cellflow.baselines.fit_data import FitData
from cellflow.baselines.fit_session import FitSession
from cellflow.baselines.run_record import another_run, clear_run, key_of_run
from cellflow.baselines.settings import MODELS, RANDOM, BaselineConfig
from cellflow.config import TrainingConfig
from cellflow.data.dataset import Entry
from cellflow.data.entrance import open_annotated
from cellflow.errors import ConfigError, DataError
from cellflow.network.devices import choose_device
from cellflow.telling import Report, Say, ignore
from cellflow.training.history import read_validations
from cellflow.training.interruption import InterruptFlag
from cellflow.training.levels import describe_levers
from cellflow.training.run_folder import STAGES, RunFolder, new_run_folder
from cellflow.training.split import overlapping_text, split_dataset, without_held_out
from cellflow.training.trained import Trained
from cellflow.wording import counted

PRETRAIN = "pretrain"
"""Folder of the pretraining stage on other data."""


def train_baseline(
    model: str,
    train: Sequence[Entry],
    held_out: Sequence[Entry],
    config: BaselineConfig,
    folder: Path | str,
    *,
    train_dir: Path,
    init: str = RANDOM,
    pretrain: Sequence[Entry] = (),
    device: str = "auto",
    overwrite: bool = False,
    stop_after: float | None = None,
    report: Report = ignore,
    say: Say = ignore,
) -> Path:
    """Train a baseline; continue an interrupted training, and leave a finished one as it is.

    Parameters
    ----------
    model : {"mask-rcnn", "cascade-mask-rcnn", "unet"}
    train : sequence of Entry
        With truth.
    held_out : sequence of Entry
        Scored at intervals; may be empty.
    config : BaselineConfig
    folder : path
        Of the run and, at the end, of the model.
    train_dir : Path
        The data; `folder` must not lie in it.
    init : str
        ``random``, or the path of weights; see `initial_weights`.
    pretrain : sequence of Entry
        Other images to pretrain on, for ``training.pretrain_iterations``; images that are held out,
        or come from the same wells, are left out.
    device : str
        ``auto``, ``cpu``, ``cuda[:N]`` or ``mps``.
    overwrite : bool
        Replace the existing run in the folder.
    stop_after : float, optional
        Seconds after which the run is saved and stopped, to be continued later.
    report : callable
        ``report(step, numbers)`` after every iteration; numbers hold ``total``.
    say : callable
        Told what was found and chosen.

    Returns
    -------
    Path
        The run's folder, which now holds the model.

    Raises
    ------
    ConfigError
        An unknown model, a setting that does not fit, or a folder that holds something else.
    DataError
        An image cannot be used, or another process is training in the folder.
    ModelError
        torchvision or weights are missing, the folder holds another run, the loss became infinite,
        or there is not enough memory.
    StepFinished
        Ctrl-C, SIGTERM, SIGUSR1 or `stop_after`; the run is saved, and the same call continues it.

    Notes
    -----
    ``training.max_minutes`` limits the run as in `fine_tune`: as many iterations are planned as fit
    into it over all sittings, and the learning rate schedule ends with them.
    """
    if model not in MODELS:
        raise ConfigError(f"unknown model {model!r}; known: {', '.join(MODELS)}")
    choose_device(device)
    if overwrite and init != RANDOM:
        RunFolder(path=Path(folder)).require_other_weights(init)
    started = time.monotonic()
    with InterruptFlag(stop_after) as interrupt:
        run = new_run_folder(Path(folder), train_dir)
        own = FitData.survey(train, held_out)
        others = [_survey_others(pretrain, held_out, say)] if pretrain else []
        require_known_classes(config.cells, model, own.classes)
        _tell_of_doubts((*train, *pretrain), say)
        config = settle(config, init, max(each.densest for each in (own, *others)))
        build_learner(model, config, len(own.classes))  # reports what is missing before any work
        if others:
            _make_way(run, overwrite, say)
        n_before = config.training.pretrain_iterations if others else 0
        n_all = n_before + config.training.iterations
        stages = [(data, n_before, RunFolder(path=run.path / STAGES / PRETRAIN)) for data in others]
        for data, iterations, stage_folder in [*stages, (own, n_all - n_before, run)]:
            FitSession(
                model=model,
                data=data,
                config=_lasting(config, iterations, n_all),
                folder=stage_folder,
                init=init,
                device=device,
                overwrite=overwrite,
                interrupt=interrupt,
                started=started,
                report=report,
                say=say,
            ).run()
            init, started = str(stage_folder.path), time.monotonic()
    return run.path


def _lasting(config: BaselineConfig, iterations: int, n_all: int) -> BaselineConfig:
    """Give the settings of a stage: its iterations, and its share of the time budget."""
    minutes = config.training.max_minutes
    share = None if minutes is None else minutes * iterations / n_all
    fitted = replace(config.training, iterations=iterations, max_minutes=share)
    return replace(config, training=fitted)


def _make_way(run: RunFolder, overwrite: bool, say: Say) -> None:
    """Check, before pretraining takes its time, that the folder is free for the run itself."""
    with run.occupied(say):
        if overwrite:
            clear_run(run)
        # A run here can be ours only if its pretraining is finished.
        is_ours = is_baseline_folder(run.path / STAGES / PRETRAIN)
        if key_of_run(run) is not None and not is_ours:
            raise another_run(run)


def _tell_of_doubts(entries: Sequence[Entry], say: Say) -> None:
    """Warn that the baselines ignore the weights and the doubtful cells of pseudo-labels."""
    doubtful = [e.name for e in entries if e.uncertain is not None or e.weight != 1]
    if doubtful:
        say(
            f"warning: the weights and doubtful cells of {counted(len(doubtful), 'image')}, such "
            f"as {doubtful[0]}, are only used by cellflow's own models: here such images have full "
            "weight, and doubtful cells are background"
        )


def _survey_others(others: Sequence[Entry], held_out: Sequence[Entry], say: Say) -> FitData:
    """Survey the images of other folders, without held-out images or others of their wells."""
    kept, overlapping = without_held_out(others, held_out)
    if overlapping:
        say(overlapping_text(overlapping))
    if not kept:
        raise DataError("--pretrain-dir: every image matches a held-out image, so none is left")
    return FitData.survey(kept, ())


def train_on_folder(
    model: str,
    train_dir: Path | str,
    out: Path | str,
    config: BaselineConfig,
    *,
    layout: str | None = None,
    folds_file: Path | str | None = None,
    fold: int | None = None,
    validation_share: float = TrainingConfig().validation_share,
    pretrain_dirs: Sequence[Path] = (),
    say: Say = ignore,
    **options: Any,
) -> Path:
    """Train a baseline on a folder of annotated images.

    Parameters
    ----------
    model, config, options
        As for `train_baseline`.
    train_dir, out, layout, folds_file, fold
        As for `cellflow.training.fine_tune.fine_tune`: the same split of the same images.
    validation_share : float
        Share of the images to hold out if there is no folds file; 0 = none.
    pretrain_dirs : sequence of path
        Folders of annotated images to pretrain on together, without held-out images or others of
        their wells.
    say : callable
        Called with sentences on what was found and chosen.

    Returns
    -------
    Path
        As for `train_baseline`.

    Raises
    ------
    ConfigError, DataError, ModelError, StepFinished
        As for `train_baseline`.
    """
    if not 0 <= validation_share < 1:
        raise ConfigError(f"--validation-share: expected 0 to 1, found {validation_share}")
    dataset = open_annotated(train_dir, layout)
    split = split_dataset(dataset, validation_share, folds_file, fold)
    known = dataset.by_name
    say(f"{train_dir}: {dataset.layout} layout; held out: {split.reason}")
    for remark in dataset.remarks:
        say(remark)
    return train_baseline(
        model,
        [known[name] for name in split.train],
        [known[name] for name in split.validation],
        config,
        out,
        train_dir=Path(train_dir),
        pretrain=[entry for path in pretrain_dirs for entry in _annotated(path, say)],
        say=say,
        **options,
    )


def _annotated(path: Path, say: Say) -> tuple[Entry, ...]:
    dataset = open_annotated(path)
    for remark in dataset.remarks:
        say(f"{path}: {remark}")
    return dataset.annotated


def read_trained(folder: Path) -> Trained:
    """Read the results of a finished training.

    Raises
    ------
    ModelError
        The folder holds no trained baseline.
    """
    found = read_baseline_folder(folder)
    facts, n_before, seconds_before = found.record["run"], 0, 0.0
    # A stage in the folder may belong to a run that was replaced.
    if Path(found.record["initial_weights"]).parts[-2:] == (STAGES, PRETRAIN):
        before = read_baseline_folder(folder / STAGES / PRETRAIN).record["run"]
        n_before, seconds_before = before["n_steps"], before["seconds"]
    return Trained(
        n_steps=n_before + facts["n_steps"],
        n_parameters=facts["n_parameters"],
        seconds=seconds_before + facts["seconds"],
        device=facts["device"],
        curve=read_validations(RunFolder(path=folder).metrics, n_before, seconds_before),
        versions=found.record["versions"],
        conditions=_conditions(found),
    )


def _conditions(found: BaselineFolder) -> dict[str, str]:
    training, limit = found.config.training, found.config.detector.detections
    told = {
        "batch": f"{counted(training.batch_size, 'crop')} of "
        f"{training.crop_height}x{training.crop_width} px",
        "augmentation": describe_levers(found.config.augment),
        "overlaps": found.config.cells.overlap_rule,
        "operators": found.record["operators"],
        "learning rate": f"{training.learning_rate:g}",
    }
    return told if found.model == "unet" else {**told, "most detections": str(limit)}
