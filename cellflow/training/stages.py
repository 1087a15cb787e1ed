"""Several trainings in a row that make one model: other data first, the held-out images last.

Each stage is a run of its own (`fine_tune`) that starts from the weights of the one before. All but
the last lie in ``OUT/stages``. Finished stages are not repeated, so after a kill at any time the
same call continues in the stage that was interrupted.
"""

import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cellflow.config import Config, Refit
from cellflow.data.entrance import open_annotated
from cellflow.errors import ConfigError
from cellflow.processors import is_first_process, n_processes
from cellflow.telling import Say, ignore
from cellflow.training.fine_tune import fine_tune
from cellflow.training.initial import DEFAULT_INIT, SCRATCH, initial_weights, starting_config
from cellflow.training.interruption import InterruptFlag, telling_how_to_go_on
from cellflow.training.materials import gather_materials
from cellflow.training.refit import carried_estimate, measured_effect, note_refit
from cellflow.training.run_folder import STAGES, RunFolder, new_run_folder
from cellflow.training.split import split_dataset
from cellflow.training.stage_plan import MAIN, PRETRAIN, REFIT, Stage, plan_stages

NO_ESTIMATE = (
    "every image was trained on, so there is no score; to estimate it, run the same command with "
    "--folds FILE --fold K, then give those runs to --estimate"
)


def train_in_stages(
    train_dir: Path | str,
    out: Path | str | None = None,
    config: Config | None = None,
    *,
    pretrain_dirs: Sequence[Path] = (),
    pretrained_in: Path | None = None,
    refit: Refit | None = None,
    extra_dirs: Sequence[Path | str] = (),
    estimates: Sequence[Path] = (),
    init: str | Path | None = None,
    layout: str | None = None,
    folds_file: Path | str | None = None,
    fold: int | None = None,
    resume: bool = False,
    stop_after: float | None = None,
    command: str | None = None,
    go_on: str | None = None,
    say: Say = ignore,
    **options: Any,
) -> Path:
    """Train on other folders, then on `train_dir`, then on the images that were held out.

    Parameters
    ----------
    train_dir, out, config, init, layout, folds_file, fold, stop_after, say, options
        As for `fine_tune`. The config section ``stages`` says how the other stages differ from the
        one on `train_dir`.
    pretrain_dirs : sequence of path
        Folders of annotated images, trained on in this order before `train_dir`, without what
        shows the images that are held out of that.
    pretrained_in : path, optional
        Where those trainings lie, by default ``OUT/stages``. Runs that differ only in what comes
        after share them.
    refit : {"validation_then_train", "all"}, optional
        How to learn the held-out images in the end. With `folds_file` the fold stays out of all
        stages, the rest is split again, and the effect of the refit is measured on the fold;
        without it no image is left for a score.
    extra_dirs : sequence of path
        As for `fine_tune`; trained on together with `train_dir`, not before it nor in a refit.
    estimates : sequence of path
        Runs with the same `refit`, each on another fold, whose measured scores the model quotes.
    resume : bool
        Refused if there are several stages: the same call continues.
    command : str, optional
        This call on the command line; when a stage is stopped, the user is told to repeat it.
    go_on : str, optional
        Told instead of `command`, also for a single training; for a caller that trains many.

    Returns
    -------
    Path
        The run's folder, now a model folder.

    Raises
    ------
    ConfigError
        The choices do not fit each other.
    CellflowError, StepFinished
        As for `fine_tune`.
    """
    if estimates and (refit is None or folds_file is not None):
        raise ConfigError("--estimate: needs --final on all images, without --folds")
    if not pretrain_dirs and refit is None:
        return fine_tune(
            train_dir,
            out,
            config,
            init=init,
            layout=layout,
            folds_file=folds_file,
            fold=fold,
            extra_dirs=extra_dirs,
            resume=resume,
            stop_after=stop_after,
            go_on=go_on,
            say=say,
            **options,
        )
    if resume:
        raise ConfigError(
            "--resume continues a training with a single stage; to continue one with several, give "
            "the same command again without --resume"
        )
    if out is None and n_processes() > 1:
        raise ConfigError("--out: required here, so that all processes use the same folder")
    say = say if is_first_process() else ignore
    started, train_dir = time.monotonic(), Path(train_dir)
    config = config or starting_config(init)
    with InterruptFlag():
        carried = carried_estimate(estimates, refit)
        dataset = open_annotated(train_dir, layout)
        outer = split_dataset(dataset, 0, folds_file, fold)
        stages = plan_stages(
            train_dir,
            dataset,
            outer,
            config,
            pretrain_dirs=pretrain_dirs,
            refit=refit,
            is_trained=bool(pretrain_dirs) or str(init or DEFAULT_INIT) != SCRATCH,
            say=say,
        )
        folder = new_run_folder(None if out is None else Path(out), train_dir).path
        go_on = go_on or _same_again(command, folder, is_named=out is not None)
        places = [_place(stage, folder, pretrained_in) for stage in stages]
        if options.get("overwrite"):
            for stage in stages:  # before anything is removed
                known = None if stage.is_pretraining else layout
                gather_materials(stage.train_dir, stage.config, stage.split, layout=known)
            _make_way(RunFolder(path=folder), str(init or DEFAULT_INIT), config, say)
        else:
            _refuse_other_run(folder, places[-2])
        with telling_how_to_go_on(go_on, say):
            for number, (stage, place) in enumerate(zip(stages, places, strict=True), 1):
                say(f"stage {number} of {len(stages)}: {stage.name or 'the last'}")
                left = None if stop_after is None else stop_after - (time.monotonic() - started)
                init = fine_tune(
                    stage.train_dir,
                    place,
                    stage.config,
                    init=init,
                    layout=None if stage.is_pretraining else layout,
                    split=stage.split,
                    extra_dirs=extra_dirs if stage.name == (MAIN if refit else "") else (),
                    stop_after=left,
                    go_on=go_on,
                    say=say,
                    **options,
                )
            if refit is not None and is_first_process():
                device = str(options.get("device", "auto"))
                effect = measured_effect(folder / STAGES / MAIN, folder, dataset, outer, device)
                note_refit(folder, refit, outer.train, effect, carried)
                shown = effect or carried
                for text in (shown.sentence, *shown.remarks) if shown else (NO_ESTIMATE,):
                    say(text)
    return folder


def _make_way(run: RunFolder, init: str, config: Config, say: Say) -> None:
    """Remove the run that is replaced and all its stages, so that none of them can be continued.

    Checks first that the weights that the first stage starts from are there.
    """
    if Path(init).exists():
        run.require_other_weights(init)
    if is_first_process():
        initial_weights(init, config.network, config.training.seed)
        run.empty(say)


def _same_again(command: str | None, folder: Path, *, is_named: bool) -> str:
    """Give the command that continues: the same one, into the same folder."""
    if command is None:
        return f"the same call, into {folder}"
    # With it the stages would begin anew.
    words = [word for word in shlex.split(command) if word != "--overwrite"]
    return shlex.join(words if is_named else [*words, "--out", str(folder)])


def earlier_stages(folder: Path, pretrained_in: Path | None = None) -> list[Path]:
    """Give the finished trainings that led to the last one of a run, in their order.

    Parameters
    ----------
    folder, pretrained_in
        ``out`` and `pretrained_in` of `train_in_stages`.
    """
    before = list((pretrained_in or folder / STAGES).glob(f"{PRETRAIN}-*"))
    before.sort(key=lambda path: int(path.name.rpartition("-")[2]))
    before += [folder / STAGES / name for name in (MAIN, REFIT)]
    return [path for path in before if RunFolder(path=path).is_finished]


def _place(stage: Stage, folder: Path, pretrained_in: Path | None) -> Path:
    """Give the folder of a stage."""
    if not stage.name:
        return folder
    if pretrained_in is not None and stage.is_pretraining:
        return pretrained_in / stage.name
    return folder / STAGES / stage.name


def _refuse_other_run(folder: Path, before: Path) -> None:
    """Check, before the earlier stages take their time, that the last one may be run there.

    Raises
    ------
    ConfigError
        A run has begun there though the stage before it is not finished.
    """
    if RunFolder(path=folder).is_begun and not RunFolder(path=before).is_finished:
        raise ConfigError(
            f"--out {folder}: holds a run that did not begin with these stages; choose another "
            "--out, or replace the run with --overwrite"
        )
