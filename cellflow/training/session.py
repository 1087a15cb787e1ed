"""One sitting of a run, from its start or its checkpoint to the model folder."""

import time
from dataclasses import asdict
from typing import Any, cast

from cellflow.metrics.score import Score
from cellflow.network.cell_type_head import write_cell_type_head
from cellflow.network.cpnet import CPnet, load_weights, save_cellpose_file, silence_style
from cellflow.network.devices import DeviceChoice, image_layout
from cellflow.network.model_folder import versions, write_model_folder
from cellflow.network.precision import PrecisionChoice, choose_precision
from cellflow.network.quick_training import quicken_training
from cellflow.telling import Report, Say
from cellflow.training.batches import CropSource
from cellflow.training.budget import Pace, Plan
from cellflow.training.cell_types import choose_images, estimate_seconds, learn_cell_types
from cellflow.training.checkpoint import Position
from cellflow.training.checkpointing import Checkpointing
from cellflow.training.continuation import Start
from cellflow.training.history import EpochRow, History
from cellflow.training.interruption import InterruptFlag, StepFinished
from cellflow.training.loop import Run, train
from cellflow.training.model_card import write_card
from cellflow.training.optimizer import AveragedWeights, make_optimizer
from cellflow.training.planning import Planner
from cellflow.training.ranks import Ranks, synchronize_statistics
from cellflow.training.recipe import (
    describe_plan,
    describe_recipe,
    describe_start,
    doubt_of_length,
)
from cellflow.training.run_folder import RunFolder
from cellflow.training.trained import role_of_held_out
from cellflow.training.validation import Validator


class Session:
    """Trains, validates and saves, and writes the model folder in the end.

    Parameters
    ----------
    folder : RunFolder
        Held by this process.
    start : Start
        If there is a checkpoint, only the sizes of its network matter.
    device : DeviceChoice
    interrupt : InterruptFlag
        Entered.
    ranks : Ranks
        This process among those that train together.
    report, say : callable
        As for `fine_tune`.
    go_on : str
        The command that continues the run; said when it is stopped.
    started : float
        When the sitting began, by `time.monotonic`; preparation counts as part of the run.
    """

    def __init__(
        self,
        *,
        folder: RunFolder,
        start: Start,
        device: DeviceChoice,
        interrupt: InterruptFlag,
        ranks: Ranks,
        report: Report,
        say: Say,
        started: float,
        go_on: str,
    ) -> None:
        self.folder, self.device, self.ranks, self.say = folder, device, ranks, say
        self.weights, self.materials, self.config = start.weights, start.materials, start.config
        training = self.config.training
        self.precision: PrecisionChoice = choose_precision(training.precision, device.device)
        network: CPnet = self.weights.network.to(
            device.device, memory_format=image_layout(device.device)
        )
        if not training.style:
            silence_style(network)
        dtype = self.precision.dtype
        quicken_training(network, device.device, dtype, is_compiled=training.compile)
        self.network = synchronize_statistics(network, ranks, device.device)
        self.network.diam_labels.data.fill_(self.materials.diameter)
        self._zero, self._go_on = started, go_on
        self._last_score: dict[int, Score] = {}  # by the epochs that were done
        self._run = self._make_run(report, interrupt)
        self._checkpoints = Checkpointing(folder, self._run, start.run_key)
        self._validator = Validator(
            [fact.entry for fact in self.materials.validation],
            self.config,
            self.materials.diameter,
            device.device,
            between_images=interrupt.check,
            ranks=ranks,
        )
        self._typed = choose_images([fact.entry for fact in self.materials.learnt])
        self._planner = Planner(
            self._run,
            time_validation=lambda: self._validator.estimate_seconds(self._scored),
            time_closing=self._time_closing,
            tell=self._tell_plan,
            ranks=ranks,
        )

    def run(self) -> None:
        """Do the sitting: from the checkpoint that is there, or from the start.

        Raises
        ------
        StepFinished
            A signal came; the step was finished and saved.
        """
        if self.folder.is_finished:
            self.say(f"{self.folder.path}: the run is already finished")
            return
        try:
            self._sit()
        except StepFinished:
            raise
        except KeyboardInterrupt:
            self.say(f"stopped at once; continue from the last checkpoint with:\n  {self._go_on}")
            raise

    def _sit(self) -> None:
        is_trained = False
        try:
            with self._run.interrupt.finishing_steps():
                self._take_up()
                self._announce()
                train(self._run, after_step=self._after_step, end_epoch=self._end_epoch)
                self._checkpoints.save()
                is_trained = True
                self._finish()
        except StepFinished as stop:
            # After training the network may hold the best weights, from which not to continue.
            if not is_trained:
                self._checkpoints.save()
            epoch = self._run.position.epoch + 1
            self.say(f"stopped by {stop} in epoch {epoch}, saved; continue with:\n  {self._go_on}")
            stop.is_told = True
            raise

    def _take_up(self) -> None:
        """Start anew, or from the checkpoint."""
        if self.ranks.in_first(self.folder.last.is_file):
            self._restore()
        else:
            self._checkpoints.save()
        epochs_done, is_first = self._run.position.epoch, self.ranks.is_first
        self._history = History(self.folder.metrics, epochs_done, writes=is_first)
        if self._is_stale:
            self._run.position.n_epochs = self._run.position.epoch

    @property
    def _scored(self) -> CPnet:
        """The network that is validated and kept: the average of the weights, where there is one.

        Notes
        -----
        `AveragedWeights` holds a copy of a `CPnet`, which it types as any module.
        """
        average = self._run.average
        return self.network if average is None else cast(CPnet, average.module)

    @property
    def _is_stale(self) -> bool:
        """Whether training stops early: too many validations without a better score."""
        patience, best = self.config.training.patience, self._run.position.best_epoch
        later = (row for row in self._history.rows if row.epoch > best)
        n_worse = sum(row.validation is not None for row in later)
        return patience is not None and n_worse >= patience

    def _make_run(self, report: Report, interrupt: InterruptFlag) -> Run:
        training = self.config.training
        source = CropSource(
            entries=[fact.entry for fact in self.materials.learnt],
            rescales=self.materials.rescales,
            data=self.config.data,
            training=training,
            augment=self.config.augment,
            rank=self.ranks.rank,
            n_ranks=self.ranks.size,
            contents=[fact.content for fact in self.materials.learnt],
        )
        wanted = Plan(n_epochs=training.n_epochs, validate_every=training.validate_every)
        minutes, decay = training.max_minutes, training.ema_decay
        return Run(
            network=self.network,
            optimizer=make_optimizer(self.network, training),
            source=source,
            config=training,
            position=Position(**asdict(wanted)),
            pace=Pace(wanted, source.steps_per_epoch, minutes and 60 * minutes),
            device=self.device.device,
            dtype=self.precision.dtype,
            average=None if decay is None else AveragedWeights(self.network, decay),
            report=report,
            say=self.say,
            interrupt=interrupt,
            clock=lambda: time.monotonic() - self._zero,
            ranks=self.ranks,
        )

    def _announce(self) -> None:
        lines = describe_start(
            self.weights,
            self.config,
            n_steps=self._run.source.steps_per_epoch,
            device=self.device,
            precision=self.precision,
            n_processes=self.ranks.size,
        )
        for line in (*lines, f"writing to {self.folder.path}"):
            self.say(line)

    def _time_closing(self) -> float:
        """Measure the seconds of what follows the last validation: the styles of `_typed`."""
        seconds = estimate_seconds(self._validator.model(self.network), self._typed)
        self.network.train()
        return seconds

    def _tell_plan(self, plan: Plan, is_first: bool) -> None:
        run, n_steps = self._run, plan.n_epochs * self._run.source.steps_per_epoch
        self.say(describe_plan(plan, run.pace.max_seconds / 60, run.pace.step_seconds))
        for line in (
            doubt_of_length(n_steps, is_trained=self.weights.is_trained) if is_first else ()
        ):
            self.say(line)

    def _after_step(self) -> None:
        run, position = self._run, self._run.position
        if run.pace.is_time_to_plan:
            self._planner.plan(position.epoch + position.step / run.source.steps_per_epoch)
        if position.step == 1:  # the epoch before is closed, with its validation
            self._checkpoints.save_where_cheap()
        else:
            self._checkpoints.save_when_due()

    def _end_epoch(self, rate: float) -> None:
        """Validate when it is due, write the epoch's line, plan anew."""
        run, position = self._run, self._run.position
        n_done = position.epoch + 1
        is_last = n_done == position.n_epochs
        score = None
        last = self._history.last_validated
        if self._validator.entries and self._planner.is_validation_due(n_done, last):
            self._checkpoints.save_where_cheap()
            score = self._validate(n_done)
        self._history.add(
            EpochRow(
                epoch=n_done,
                step=position.epoch * run.source.steps_per_epoch + position.step,
                seconds=round(run.clock(), 2),
                learning_rate=rate,
                loss=(position.flow_loss + position.cell_loss) / position.step,
                flow_loss=position.flow_loss / position.step,
                cellprob_loss=position.cell_loss / position.step,
                validation_map=None if score is None else score.mean.estimate,
                validation_low=None if score is None else score.mean.low,
                validation_high=None if score is None else score.mean.high,
                images_per_second=round(run.throughput.images_per_second, 2),
                waiting_share=round(run.throughput.waiting_share, 4),
            )
        )
        if score is not None and self._is_stale and not is_last:
            is_last, position.n_epochs = True, n_done
            self.say(f"stopping early: no better score since epoch {position.best_epoch}")
        if score is not None or is_last:
            self._history.draw(self.folder.path)
        if run.pace.is_limited and run.pace.is_planned and not is_last:
            self._planner.plan(n_done)

    def _validate(self, n_done: int) -> Score:
        """Score the held-out images; keep the weights when they are the best so far."""
        position, before = self._run.position, time.monotonic()
        score = self._validator.score(self._scored)
        self._run.pace.note_validation(time.monotonic() - before)
        self._last_score = {n_done: score}
        if score.mean.estimate > position.best_score:
            position.best_score, position.best_epoch = score.mean.estimate, n_done
            if self.ranks.is_first:
                save_cellpose_file(self._scored, self.folder.best(n_done))
        self.say(f"epoch {n_done}: held-out mAP {score.mean}")
        return score

    def _restore(self) -> None:
        run = self._run
        found = self._checkpoints.load()
        self._zero -= found.seconds
        if not run.pace.is_limited:
            # Without a budget, perhaps lifted since, the run has the length that was asked for.
            found.plan = run.pace.wanted
        run.continue_from(found)
        self.say(f"continuing in epoch {found.epoch + 1}, after {found.seconds / 60:.1f} min")

    def _finish(self) -> None:
        """Score and draw what is kept, and write the model folder."""
        position, kept = self._run.position, self.config.training.keep
        is_best = kept == "best" and position.best_epoch > 0
        epoch = position.best_epoch if is_best else position.epoch
        pictures = ["pictures of held-out images"] if self._validator.entries else []
        is_unknown = bool(pictures) and epoch not in self._last_score
        again = [f"validation of epoch {epoch}"] if is_unknown else []
        types = ["the classifier of cell types"] if self._typed else []
        follows = ", ".join([*again, *pictures, *types, "the model card"])
        self.say(f"the last step is done; still to do: {follows}")
        if is_best:
            best = load_weights(self.folder.best(epoch)).state_dict()
            self._scored.load_state_dict(best)
        score = self._score_of(epoch)
        self._run.interrupt.agree = bool
        if not self.ranks.is_first:
            return  # the first process does the rest
        if score is not None:
            self._validator.draw(self._scored, score, self.folder.overlays)
        head = learn_cell_types(
            self._validator.model(self._scored), self._typed, self._run.interrupt.check
        )
        if head is not None:
            write_cell_type_head(self.folder.path, head)
        record = {
            **self._record(epoch, score),
            "cell_type_head": None if head is None else {**head.record},
        }
        write_model_folder(
            self.folder.path,
            self._scored.eval(),
            self.config,
            diameter=self.materials.diameter,
            record=record,
            card=write_card(record, self.config, self.materials.diameter, score),
        )
        role = role_of_held_out(record)
        shown = "no held-out images" if score is None else f"held-out mAP {score.mean}, {role}"
        if score is not None and not score.overall.n_predicted:
            shown += "; the model finds no cell in them, perhaps the training was too short"
        self.say(f"done in {self._run.clock() / 60:.1f} min: weights of epoch {epoch}, {shown}")

    def _score_of(self, epoch: int) -> Score | None:
        if not self._validator.entries:
            return None
        return self._last_score.get(epoch) or self._validator.score(self._scored)

    def _record(self, epoch: int, score: Score | None) -> dict[str, Any]:
        """Give what ``config.json`` holds beside the settings."""
        position = self._run.position
        return {
            "versions": versions(),
            "data": self.materials.record(),
            "initial_weights": self.weights.record(),
            "run": {
                "n_epochs": position.n_epochs,
                "n_steps": self._history.rows[-1].step if self._history.rows else 0,
                "batch_size": self.config.training.batch_size,
                "parts_per_batch": position.n_parts,
                "seconds": self._run.clock(),
                "device": str(self.device),
                "n_processes": self.ranks.size,
                "precision": str(self.precision),
                "recipe": describe_recipe(self.config),
                "seed": self.config.training.seed,
                "kept": self.config.training.keep if position.best_epoch else "last",
                "patience": self.config.training.patience,
                "kept_epoch": epoch,
                "best_epoch": position.best_epoch,
                "best_score": position.best_score if position.best_epoch else None,
            },
            "score": None if score is None else score.to_dict(),
        }
