"""Flow-field networks in experiments: ours, and Cellpose's own trainer and ``eval``."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from cellflow.config import Config, Refit
from cellflow.errors import ConfigError
from cellflow.experiments.family import Family, Job, changed
from cellflow.records import Prediction
from cellflow.telling import Report, Say
from cellflow.training.trained import Trained

GO_ON = "the same `cellflow experiment run`; finished work is not repeated"
"""Printed when a training is stopped: how to continue. Continuing the training alone would not give
a result of the experiment."""


class CellflowFamily(Family):
    """Networks that `train_in_stages` trains."""

    OPTIONS = ("init", "pretrain_dir", "extra_dir", "final")

    def check(
        self, options: Mapping[str, Any], config: Config, predict: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Check the values of the options."""
        from cellflow.network.cpnet import PRETRAINED

        init, final = options.get("init", "scratch"), options.get("final")
        if not isinstance(init, str) or not init:
            raise ConfigError(f"init: expected a name or a path, found {init!r}")
        if init not in ("scratch", *PRETRAINED) and not Path(init).exists():
            known = ", ".join(("scratch", *PRETRAINED))
            raise ConfigError(f"init: no such file or folder, {init!r}, nor one of {known}")
        if final is not None and final not in get_args(Refit):
            raise ConfigError(f"final: expected {' or '.join(get_args(Refit))}, found {final!r}")

    def n_steps(self, options: Mapping[str, Any], config: Config, n_images: int) -> int:
        """Give epochs times batches, plus the share of a refit for each of its passes."""
        steps = _n_steps(config, n_images)
        passes = {None: 0, "all": 1, "validation_then_train": 2}[options.get("final")]
        return round(steps * (1 + passes * config.stages.refit_share))

    def step_seconds(self, config: Config, device: str) -> float | None:
        """Measure two steps of the network."""
        from cellflow.training.rehearsal import measure_step

        return measure_step(config, device)

    def train(self, job: Job, report: Report, say: Say) -> Trained:
        """Train; an interrupted training is continued from its checkpoint."""
        from cellflow.network.model_folder import read_model_folder
        from cellflow.training.history import read_validations
        from cellflow.training.run_folder import RunFolder
        from cellflow.training.stages import earlier_stages, train_in_stages

        if not RunFolder(path=job.folder).is_finished:
            train_in_stages(
                job.train_dir,
                job.folder,
                job.config,
                pretrain_dirs=[Path(each) for each in job.options.get("pretrain_dir", ())],
                pretrained_in=job.pretraining,
                refit=job.options.get("final"),
                extra_dirs=job.options.get("extra_dir", ()),
                init=job.options.get("init"),
                layout=job.layout,
                folds_file=job.folds_file,
                fold=job.fold,
                device=job.device,
                go_on=GO_ON,
                report=report,
                say=say,
            )
        folder = read_model_folder(job.folder)
        earlier = earlier_stages(job.folder, job.pretraining)
        before = [read_model_folder(path).record["run"] for path in earlier]
        steps, seconds = (sum(run[key] for run in before) for key in ("n_steps", "seconds"))
        facts, network = folder.record["run"], folder.load_network()
        return Trained(
            n_steps=steps + facts["n_steps"],
            n_parameters=sum(tensor.numel() for tensor in network.parameters()),
            seconds=seconds + facts["seconds"],
            device=facts["device"],
            curve=read_validations(RunFolder(path=job.folder).metrics, steps, seconds),
            versions=folder.record["versions"],
            conditions=flow_conditions(
                job.config, is_trained=begins_trained("cellflow", job.options)
            ),
        )

    def predict(self, job: Job, changes: Mapping[str, Mapping[str, Any]]) -> Iterator[Prediction]:
        """Predict with the model folder, or from its stored output.

        Notes
        -----
        A folder that was tuned later has thresholds chosen on the held-out images; the job's own
        thresholds replace them.
        """
        from cellflow.hashing import hash_file
        from cellflow.inference.predict import load_model
        from cellflow.network.weights_file import WEIGHTS
        from cellflow.tuning.flow_cache import FlowCache

        def untuned(config: Config) -> Config:
            own = job.config
            return changed(replace(config, dynamics=own.dynamics, inference=own.inference), changes)

        model = load_model(job.folder, device=job.device, change=untuned)
        finder = replace(model.finder, per_cell_type={}, confidence=None)
        model = replace(model, finder=finder)
        if job.flows is None:
            for entry in job.held_out:
                yield model.predict(entry.load().image, entry.name)
            return
        kept, weights = FlowCache(folder=job.flows), hash_file(job.folder / WEIGHTS)
        for entry in job.held_out:
            seen = kept.look(model, weights, entry)
            yield model.finder.find(
                seen.field, entry.name, diameter=seen.diameter, diam_mean=seen.diam_mean
            )


class CellposeFamily(Family):
    """Cellpose 3.1's own trainer and ``eval``, the reference.

    Notes
    -----
    Its trainer prepares crops within the step, so there is no `step_seconds`.
    """

    def check(
        self, options: Mapping[str, Any], config: Config, predict: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Check that Cellpose has the requested settings."""
        from cellflow.comparison.reference import require_possible

        require_possible(changed(config, predict))

    def n_steps(self, options: Mapping[str, Any], config: Config, n_images: int) -> int:
        """Give epochs times batches."""
        return _n_steps(config, n_images)

    def train(self, job: Job, report: Report, say: Say) -> Trained:
        """Train by ``cellpose.train.train_seg``, which starts over after an interruption."""
        from cellflow.comparison.reference import read_reference, train_reference
        from cellflow.network.model_folder import versions

        facts = read_reference(job.folder) or train_reference(
            job.train_entries, job.config, job.folder, job.device
        )
        return Trained(
            **facts, curve=(), versions=versions(), conditions=flow_conditions(job.config)
        )

    def predict(self, job: Job, changes: Mapping[str, Mapping[str, Any]]) -> Iterator[Prediction]:
        """Predict by ``CellposeModel.eval`` at the diameter that the model was trained at."""
        from cellflow.comparison.reference import predict_reference

        return predict_reference(job.folder, job.held_out, changed(job.config, changes), job.device)


def flow_conditions(config: Config, *, is_trained: bool = False) -> dict[str, str]:
    """Give the `Trained.conditions` of a flow-field network, from random or trained weights."""
    from cellflow.training.levels import describe_levers
    from cellflow.training.schedule import choose_rate

    training = config.training
    return {
        "batch": f"{training.batch_size} crops of {training.crop_size} px",
        "augmentation": describe_levers(config.augment),
        "overlaps": "none arise: a pixel follows its flow to one cell",
        "operators": "PyTorch's own",
        "learning rate": f"{choose_rate(training, is_trained=is_trained):g}",
    }


def begins_trained(family: str, options: Mapping[str, Any]) -> bool:
    """Tell whether training on the experiment's own data starts from trained weights."""
    return family == "cellflow" and (options.get("init") != "scratch" or "pretrain_dir" in options)


def _n_steps(config: Config, n_images: int) -> int:
    training = config.training
    return training.n_epochs * -(-(training.images_per_epoch or n_images) // training.batch_size)
