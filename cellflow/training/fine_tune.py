"""From a folder of annotated images to a model folder: the whole of ``cellflow train``."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from cellflow.config import Config
from cellflow.configfile import normal
from cellflow.errors import ConfigError, DataError
from cellflow.inference.model import Model
from cellflow.network.precision import choose_precision, dtype_name
from cellflow.telling import Report, Say, ignore
from cellflow.training.continuation import Asked, Start, reopen, settled
from cellflow.training.initial import DEFAULT_INIT, initial_weights, starting_config
from cellflow.training.interruption import InterruptFlag, telling_how_to_go_on
from cellflow.training.materials import gather_materials
from cellflow.training.ranks import Ranks, joined_ranks
from cellflow.training.run_folder import (
    STAGES,
    RunFolder,
    existing_run_folder,
    new_run_folder,
)
from cellflow.training.session import Session
from cellflow.training.split import Split
from cellflow.wording import counted


def fine_tune(
    train_dir: Path | str,
    out: Path | str | None = None,
    config: Config | None = None,
    *,
    init: str | Path | None = None,
    device: str = "auto",
    layout: str | None = None,
    folds_file: Path | str | None = None,
    fold: int | None = None,
    split: Split | None = None,
    extra_dirs: Sequence[Path | str] = (),
    resume: bool = False,
    overwrite: bool = False,
    stop_after: float | None = None,
    go_on: str | None = None,
    report: Report = ignore,
    say: Say = ignore,
) -> Path:
    """Train a network on a folder of annotated images.

    Parameters
    ----------
    train_dir : path
        Any layout that `open_dataset` recognises. Nothing is written there.
    out : path, optional
        The run's folder; by default the next free ``runs/train-NNN``. When a run of the same data
        and settings is there, it is continued. With `resume` by default the newest run.
    config : Config, optional
        By default `starting_config` of `init`. With `resume` None, or the same again; only what
        does not change the result (`MAY_DIFFER`) may differ from `recorded_config`.
    init : str or path, optional
        ``scratch``, a pretrained name (default ``cyto3``), a Cellpose 3 file or a model folder.
    device : str
        ``auto``, ``cpu``, ``cuda[:N]`` or ``mps``.
    layout : str, optional
        Forces a layout, as for `open_dataset`.
    folds_file : path, optional
        Folds to share between models; without one, ``training.validation_share`` is held out.
    fold : int, optional
        Which fold of the file is held out, by default the first, 0.
    split : Split, optional
        Which images are trained on and held out, instead of all that.
    extra_dirs : sequence of path
        More annotated folders to train on, such as `pseudo_labels` writes; never held out, and
        without what shows held-out images.
    resume, overwrite : bool
        Continue the run in `out`, or replace it. With `resume` the run's own initial weights,
        layout and folds stand; asking for others is refused.
    stop_after : float, optional
        Seconds after which the run is saved and left, to be continued later; unlike
        ``training.max_minutes`` it does not change what the run does in the end.
    go_on : str, optional
        The command that is told to continue with, by default that of this run alone.
    report : callable
        ``report(step, numbers)`` after every step; numbers hold ``total``.
    say : callable
        ``say(text)`` with what was found, and why each value was chosen.

    Returns
    -------
    Path
        The run's folder, now a model folder.

    Raises
    ------
    DataError
        The data cannot be used, the folder not be written, or another process trains there.
    ConfigError
        A setting does not fit, or `out` is taken, or a continued run is asked for other settings.
    ModelError
        The initial weights are missing, the run cannot be continued, or training diverged.
    StepFinished
        Ctrl-C, SIGTERM, SIGUSR1 or `stop_after`; the step was finished and saved, the same call
        continues. It is a KeyboardInterrupt; `Preempted` for all but Ctrl-C.

    Notes
    -----
    On the CPU equal data, settings, seed, thread count and versions give equal weights, however
    often the run was interrupted or killed, unless ``training.max_minutes`` makes time decide.
    """
    started = time.monotonic()
    if resume and overwrite:
        raise ConfigError("--resume continues a run and --overwrite replaces it; give one of them")
    train_dir, out = Path(train_dir), None if out is None else Path(out)
    if overwrite and out is not None and init is not None and Path(init).exists():
        RunFolder(path=out).require_other_weights(init, but_stages=True)
    if not resume:
        config, init = config or starting_config(init), init or DEFAULT_INIT
    config = None if config is None else normal(config)
    asked = Asked(
        config=config,
        init=None if init is None else str(init),
        layout=layout,
        folds_file=folds_file,
        fold=fold,
        split=split,
        extra_dirs=tuple(str(Path(one).resolve()) for one in extra_dirs),
        same_split=not resume,
    )
    with joined_ranks(device) as (ranks, chosen), InterruptFlag(stop_after) as interrupt:
        interrupt.agree = ranks.any
        if not ranks.is_first:
            report, say = ignore, ignore
        is_there = ranks.in_first(lambda: out is not None and RunFolder(path=out).is_begun)
        goes_on = resume or (is_there and not overwrite)
        start = None if goes_on else _begin(train_dir, asked, ranks, chosen.device, say)
        with _occupied_folder(out, train_dir, start, ranks, say, overwrite) as folder:
            go_on = go_on or f"cellflow train --train-dir {train_dir} --out {folder.path} --resume"
            with telling_how_to_go_on(go_on, say):
                start = start or reopen(folder, train_dir, asked)
                _require_equal_parts(start.config, ranks, chosen.device)
                materials = start.materials
                for line in [*materials.dataset.remarks, *materials.describe(start.config)]:
                    say(line)
                Session(
                    folder=folder,
                    start=start,
                    device=chosen,
                    interrupt=interrupt,
                    ranks=ranks,
                    report=report,
                    say=say,
                    started=started,
                    go_on=go_on,
                ).run()
    return folder.path


def _begin(train_dir: Path, asked: Asked, ranks: Ranks, device: torch.device, say: Say) -> Start:
    """Prepare a new run; nothing is written yet."""
    as_asked = asked.config or Config()
    _require_equal_parts(as_asked, ranks, device)
    # Before the weights, which may have to be fetched: what is wrong with the data is told first.
    materials = gather_materials(
        train_dir,
        as_asked,
        asked.split,
        layout=asked.layout,
        folds_file=asked.folds_file,
        fold=asked.fold,
        extra_dirs=asked.extra_dirs,
    )
    seed = as_asked.training.seed
    weights = initial_weights(asked.init or DEFAULT_INIT, as_asked.network, seed)
    config = settled(as_asked, weights)
    materials = materials.sized(config)
    for line in weights.describe_pictures(config.data):
        say(line)
    if learnt := weights.learnt.intersection(materials.split.validation):
        split = materials.split
        reason = (
            f"{split.reason}; the initial weights were trained on "
            f"{counted(len(learnt), 'image')} with these names ({min(learnt)}); if they are the "
            "same, the score is too high"
        )
        materials = replace(materials, split=replace(split, reason=reason))
    # Refuses what the first validation would refuse, epochs later.
    Model.from_network(weights.network, config, diameter=materials.diameter, device=device)
    return Start(
        weights=weights,
        materials=materials,
        config=config,
        asked=as_asked,
        run_key=materials.run_key(config),
        extra_dirs=asked.extra_dirs,
    )


def _require_equal_parts(config: Config, ranks: Ranks, device: torch.device) -> None:
    """Refuse processes that would have unlike shares of a batch, or compute in unlike types.

    Notes
    -----
    In float16 gradients are scaled; averaged with others they would be wrong without a word.
    """
    training = config.training
    if training.batch_size % ranks.size:
        raise ConfigError(
            f"training.batch_size: {counted(training.batch_size, 'crop')} cannot be shared "
            f"evenly by {ranks.size} processes; choose a multiple"
        )
    dtype = choose_precision(training.precision, device).dtype
    found = sorted({dtype_name(one) for one in ranks.gather(dtype)})
    if len(found) > 1:
        raise ConfigError(
            f"training.precision: auto is {' and '.join(found)} on the unlike devices of these "
            "processes; name one for all"
        )


@contextmanager
def _occupied_folder(
    out: Path | None,
    train_dir: Path,
    start: Start | None,
    ranks: Ranks,
    say: Say,
    overwrite: bool,
) -> Iterator[RunFolder]:
    """Hold the folder of a new run, its record written, or without `start` that of an old one."""
    with ExitStack() as stack:

        def occupy() -> RunFolder:
            found = existing_run_folder(out) if start is None else new_run_folder(out, train_dir)
            stack.enter_context(found.occupied(say))
            if start is not None:
                if found.is_begun and not overwrite:
                    raise DataError(
                        f"{found.path}: another process has started a run there; the same "
                        "command continues it"
                    )
                record = start.record()
                found.clear()
                stages = (found.path / STAGES).resolve()
                if overwrite and not Path(start.weights.name).resolve().is_relative_to(stages):
                    found.remove_stages()  # they led to the run that is replaced
                found.write_record(record)
            return found

        yield ranks.in_first(occupy)
