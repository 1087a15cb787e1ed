"""One stage of a baseline's training: from the start or a checkpoint to the model's folder."""

import time
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cellflow.baselines.baseline_folder import is_baseline_folder, write_baseline_folder
from cellflow.baselines.baseline_model import Baseline
from cellflow.baselines.build import build_learner, start_from
from cellflow.baselines.examples import ExampleSource
from cellflow.baselines.fit import Fit, FitPosition, fit
from cellflow.baselines.fit_data import FitData
from cellflow.baselines.run_record import RUN_KEY, another_run, clear_run, key_of_run
from cellflow.baselines.settings import RANDOM, BaselineConfig
from cellflow.configfile import config_to_dict
from cellflow.data.rle import labels_to_masks
from cellflow.hashing import hash_file
from cellflow.metrics.score import Score
from cellflow.network.devices import choose_device, image_layout
from cellflow.network.model_folder import BASELINE, versions
from cellflow.network.precision import choose_precision
from cellflow.network.weights_file import WEIGHTS, load_weights_file, save_weights_file
from cellflow.telling import Report, Say, ignore
from cellflow.training.budget import Pace, Plan, seconds_of
from cellflow.training.checkpoint import load_checkpoint, save_checkpoint
from cellflow.training.checkpointing import SECONDS_BETWEEN_CHECKPOINTS
from cellflow.training.history import EpochRow, History
from cellflow.training.interruption import InterruptFlag, StepFinished
from cellflow.training.levels import describe_levers
from cellflow.training.optimizer import make_optimizer
from cellflow.training.planning import Planner
from cellflow.training.run_folder import RunFolder
from cellflow.training.validation import score_entries
from cellflow.wording import counted

N_PLANS = 20
"""Under a time budget the length is planned again about this many times."""


@dataclass(kw_only=True, eq=False)
class FitSession:
    """Trains, validates, saves, and finally writes the folder.

    Parameters
    ----------
    model : str
    data : FitData
    config : BaselineConfig
        Settled.
    folder : RunFolder
    init : str
        ``random`` or the path of weights.
    device : str
    overwrite : bool
        Whether to replace an existing run.
    interrupt : InterruptFlag
        Already entered as a context manager.
    started : float
        When the sitting began, by `time.monotonic`: preparation counts as time of the run.
    report, say : callable
        As for `train_baseline`.
    """

    model: str
    data: FitData
    config: BaselineConfig
    folder: RunFolder
    init: str
    device: str
    overwrite: bool
    interrupt: InterruptFlag
    started: float
    report: Report
    say: Say
    _run: Fit = field(init=False)
    _history: History = field(init=False)
    _planner: Planner = field(init=False)
    _key: str = field(init=False)
    _zero: float = field(init=False)
    _saved_at: float = field(init=False)
    _last_score: dict[int, Score] = field(default_factory=dict, init=False)  # by iteration

    def run(self) -> None:
        """Train until the end or an interruption; a finished run is left as it is.

        Raises
        ------
        StepFinished
            A signal came; the iteration was finished and saved.
        """
        self._zero, self._saved_at = self.started, time.monotonic()
        self._key = self.data.run_key(self.model, self.config, self._hash_of_start())
        with self.folder.occupied(self.say):
            self._occupy()
            if is_baseline_folder(self.folder.path):
                self.say(f"{self.folder.path}: already trained")
                return
            try:
                with self.interrupt.finishing_steps():
                    self._take_up()
                    fit(self._run, after_iteration=self._after, end_interval=self._end_interval)
                    self._finish()
            except StepFinished as stop:
                self._save()
                done = self._run.position.iteration
                again = ", without --overwrite," if self.overwrite else ""
                self.say(
                    f"stopped by {stop} after iteration {done}, saved; "
                    f"the same command{again} continues"
                )
                raise

    def _hash_of_start(self) -> str:
        path = Path(self.init)
        if self.init == RANDOM:
            return RANDOM
        return hash_file(path / WEIGHTS if path.is_dir() else path)

    def _occupy(self) -> None:
        """Record which run this is, or check that the existing run is the same."""
        if self.overwrite:
            clear_run(self.folder)
        key = key_of_run(self.folder)
        if key is not None:
            if key != self._key:
                raise another_run(self.folder)
            return
        self.folder.write_record(
            {
                RUN_KEY: self._key,
                "model": self.model,
                "initial_weights": self.init,
                "classes": list(self.data.classes),
                "data": self.data.record(),
                "config": config_to_dict(self.config),
            }
        )

    def _take_up(self) -> None:
        """Build everything that the run works on, and start or continue from the checkpoint."""
        device = self._chosen = choose_device(self.device)
        wanted_precision = self.config.training.precision
        precision = choose_precision(wanted_precision, device.device, may_be_float16=False)
        learner = build_learner(self.model, self.config, len(self.data.classes))
        self.say(start_from(learner, self.init, self.config))
        learner.network.to(device.device)
        if device.device.type == "mps":  # Detectors keep PyTorch's own layout everywhere.
            learner.network.to(memory_format=image_layout(device.device))
        training = self.config.training
        minutes = training.max_minutes
        # To `Pace` an iteration is an epoch of one step.
        wanted = Plan(n_epochs=training.iterations, validate_every=training.validate_every)
        self._run = Fit(
            learner=learner,
            optimizer=make_optimizer(learner.network, self.config.training.as_training_config()),
            source=ExampleSource(
                entries=self.data.train,
                kinds=self.data.kinds,
                config=self.config,
                is_flat=learner.is_flat,
            ),
            config=self.config,
            device=device.device,
            dtype=precision.dtype,
            report=self.report,
            interrupt=self.interrupt,
            say=self.say,
            pace=Pace(wanted, 1, None if minutes is None else 60 * minutes),
            position=FitPosition(
                n_iterations=wanted.n_epochs, validate_every=wanted.validate_every
            ),
            clock=lambda: time.monotonic() - self._zero,
        )
        self._announce(str(device), str(precision))
        if self.folder.last.is_file():
            network, optimizer = learner.network, self._run.optimizer
            found = load_checkpoint(
                self.folder.last, network, optimizer, self._key, kind=FitPosition
            )
            self._zero -= found.seconds
            if not self._run.pace.is_limited:
                # Without a budget the length is that of the settings.
                found.plan = wanted
            self._run.continue_from(found)
            self.say(f"continuing after iteration {found.iteration}")
        self._history = History(self.folder.metrics, self._intervals(self._run.position.closed))
        self._planner = Planner(
            self._run, time_validation=self._time_validation, tell=self._tell_plan
        )

    def _intervals(self, iterations: int) -> int:
        """Give the number of lines in metrics.csv for a number of iterations, rounded up."""
        return -(-iterations // self.config.training.validate_every)

    def _announce(self, device: str, precision: str) -> None:
        training, data = self.config.training, self.data
        self.say(
            f"{self.model}: {counted(len(data.train), 'image')} with "
            f"{counted(data.n_cells, 'cell')} "
            f"({', '.join(data.classes)}), {len(data.held_out)} held out; device {device}, "
            f"precision {precision}; operators: {self._run.learner.operators}"
        )
        length = counted(training.iterations, "iteration")
        if training.max_minutes is not None:
            length = f"at most {training.max_minutes:g} min, planned after the first iterations"
        self.say(
            f"{length}, {counted(training.batch_size, 'crop')} of "
            f"{training.crop_height}x{training.crop_width} px, {training.optimizer} "
            f"{training.learning_rate:g}, schedule {training.schedule}, "
            f"{describe_levers(self.config.augment)}"
        )
        limit = self.config.detector.detections
        if not self._run.learner.is_flat and limit is not None and limit <= data.densest:
            self.say(
                f"warning: at most {counted(limit, 'detection')} per image, but the densest "
                f"training image has {counted(data.densest, 'cell')}; raise detector.detections"
            )

    def _time_validation(self) -> float:
        """Time the prediction of one held-out image, and scale it up to all of them."""
        held_out = self.data.held_out
        if not held_out:
            return 0.0
        return len(held_out) * seconds_of(
            lambda: self._baseline().predict(held_out[0].load().image)
        )

    def _tell_plan(self, plan: Plan, is_first: bool) -> None:
        pace = self._run.pace
        self.say(
            f"plan: {counted(plan.n_epochs, 'iteration')} in {pace.max_seconds / 60:g} min "
            f"({pace.step_seconds:.2g} s an iteration)"
        )

    def _plan(self, *, is_time: bool) -> None:
        """Plan the length: once the first iterations were timed, and later when it is time."""
        pace = self._run.pace
        if pace.is_time_to_plan or (pace.is_limited and pace.is_planned and is_time):
            self._planner.plan(self._run.position.iteration)

    def _after(self) -> None:
        position = self._run.position
        every = max(1, position.n_iterations // N_PLANS)
        self._plan(is_time=position.iteration % every == 0)
        if time.monotonic() - self._saved_at >= SECONDS_BETWEEN_CHECKPOINTS:
            self._save()

    def _end_interval(self) -> None:
        """Validate, write a line of metrics.csv, keep the best weights, save."""
        position, rows, score = self._run.position, self._history.rows, None
        last = max((row.step for row in rows if row.validation is not None), default=0)
        if self.data.held_out and self._planner.is_validation_due(position.iteration, last):
            score = self._validate()
        self._history.add(
            EpochRow(
                epoch=self._intervals(position.iteration),
                step=position.iteration,
                seconds=round(self._run.clock(), 2),
                learning_rate=self._run.optimizer.param_groups[0]["lr"],
                loss=position.loss_sum / (position.iteration - position.closed),
                validation_map=None if score is None else score.mean.estimate,
                validation_low=None if score is None else score.mean.low,
                validation_high=None if score is None else score.mean.high,
            )
        )
        self._history.draw(self.folder.path)
        position.closed = position.iteration
        self._run.losses.zero_()
        self._save()
        self.folder.keep_best(position.best_iteration)
        if position.iteration < position.n_iterations:
            self._plan(is_time=True)

    def _validate(self) -> Score:
        position, before = self._run.position, time.monotonic()
        score = self._score()
        self._run.pace.note_validation(time.monotonic() - before)
        self._last_score = {position.iteration: score}
        if score.mean.estimate > position.best_score:
            position.best_score, position.best_iteration = score.mean.estimate, position.iteration
            save_weights_file(self.folder.best(position.iteration), self._run.learner.network)
        self.say(f"iteration {position.iteration}: held-out mAP {score.mean}")
        return score

    def _score(self) -> Score:
        """Score the current network against overlapping truth."""
        baseline = self._baseline(self.say)
        pairs = {}
        for entry in self.data.held_out:
            self.interrupt.check()
            image, truth = entry.load_annotated()
            found = baseline.predict(image, entry.name).labels
            pairs[entry.name] = truth, labels_to_masks(found)
        return score_entries(self.data.held_out, pairs)

    def _baseline(self, say: Say = ignore) -> Baseline:
        """Give the current network, ready to predict."""
        return Baseline(
            name=self.folder.path.name,
            learner=self._run.learner,
            classes=self.data.classes,
            config=self.config,
            device=self._run.device,
            dtype=self._run.dtype,
            say=say,
        )

    def _save(self) -> None:
        run = self._run
        run.position.seconds = run.clock()  # a validation since the last iteration counts too
        save_checkpoint(
            self.folder.last, run.learner.network, run.optimizer, run.settle(), self._key
        )
        self._saved_at = time.monotonic()

    def _finish(self) -> None:
        position, learner = self._run.position, self._run.learner
        step, keep = position.iteration, self.config.training.keep
        if keep == "best" and position.best_iteration:
            step = position.best_iteration
            load_weights_file(self.folder.best(step), learner.network, BASELINE)
        score = None
        if self.data.held_out:
            score = self._last_score.get(step) or self._score()
        record = {
            "operators": learner.operators,
            "versions": all_versions(),
            "data": self.data.record(),
            "initial_weights": self.init,
            "run": self._facts(step),
            "score": None if score is None else score.to_dict(),
        }
        write_baseline_folder(
            self.folder.path,
            learner.network,
            model=self.model,
            classes=self.data.classes,
            config=self.config,
            record=record,
        )
        shown = "no held-out images" if score is None else f"held-out mAP {score.mean}"
        self.say(f"done in {self._run.clock() / 60:.1f} min: weights of iteration {step}, {shown}")

    def _facts(self, kept_step: int) -> dict[str, Any]:
        position, parameters = self._run.position, list(self._run.learner.network.parameters())
        return {
            "n_steps": position.iteration,
            "n_parameters": sum(each.numel() for each in parameters),
            "n_trained": sum(each.numel() for each in parameters if each.requires_grad),
            "seconds": self._run.clock(),
            "device": str(self._chosen),
            "precision": str(self._run.dtype).removeprefix("torch."),
            "seed": self.config.training.seed,
            "kept": self.config.training.keep if position.best_iteration else "last",
            "kept_step": kept_step,
            "best_step": position.best_iteration,
            "best_score": position.best_score if position.best_iteration else None,
        }


def all_versions() -> dict[str, str]:
    """Give the versions that a result depends on, including torchvision's if it is installed."""
    try:
        return {**versions(), "torchvision": version("torchvision")}
    except PackageNotFoundError:
        return versions()
