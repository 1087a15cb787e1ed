"""The kinds of models that an experiment can train, each as two functions: train and predict."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cellflow.config import Config
from cellflow.configfile import config_from_dict, config_to_dict
from cellflow.data.dataset import Entry
from cellflow.errors import ConfigError
from cellflow.records import Prediction

Report = Callable[[int, Mapping[str, float]], None]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One network to train.

    Parameters
    ----------
    train_dir : Path
    train_entries : tuple of Entry
        The images of the fold to train on.
    layout : str
        Of the data, as `open_dataset` names it.
    folds_file : Path
    fold : int
        The fold that is held out.
    options : mapping
        As in `Variant`.
    config : Config
        With the seed of this run.
    folder : Path
        Where the model goes.
    device : str
    """

    train_dir: Path
    train_entries: tuple[Entry, ...]
    layout: str
    folds_file: Path
    fold: int
    options: Mapping[str, Any]
    config: Config
    folder: Path
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a training gave, besides the model.

    Parameters
    ----------
    n_steps, n_parameters : int
    seconds : float
        Of training, over all sittings.
    device : str
    curve : tuple of (step, seconds, mAP)
        Of the validations on the held-out images.
    versions : mapping of str to str
    """

    n_steps: int
    n_parameters: int
    seconds: float
    device: str
    curve: tuple[tuple[int, float, float], ...]
    versions: Mapping[str, str]


class Family(Protocol):
    """A kind of model."""

    OPTIONS: tuple[str, ...]
    """What `Variant.options` may hold."""

    def train(self, job: Job, report: Report, say: Say) -> Trained:
        """Train, or continue what was interrupted, or read what is done already."""

    def predict(
        self, job: Job, changes: Mapping[str, Mapping[str, Any]], entries: Sequence[Entry]
    ) -> Iterator[Prediction]:
        """Find the cells of images with the trained model and other settings of prediction."""


class CellflowFamily:
    """Networks that `fine_tune` trains."""

    OPTIONS: tuple[str, ...] = ("init",)

    def train(self, job: Job, report: Report, say: Say) -> Trained:
        """Train by `fine_tune`; a run that was interrupted is continued from its checkpoint."""
        from cellflow.network.model_folder import read_model_folder
        from cellflow.training.fine_tune import fine_tune
        from cellflow.training.history import read_rows
        from cellflow.training.run_folder import RunFolder

        run = RunFolder(path=job.folder)
        if not run.is_finished:
            fine_tune(
                job.train_dir,
                job.folder,
                config=job.config,
                layout=job.layout,
                folds_file=job.folds_file,
                fold=job.fold,
                device=job.device,
                report=report,
                say=say,
                **job.options,
            )
        folder = read_model_folder(job.folder)
        facts, rows = folder.record["run"], read_rows(run.metrics)
        network = folder.load_network()
        return Trained(
            n_steps=facts["n_steps"],
            n_parameters=sum(tensor.numel() for tensor in network.parameters()),
            seconds=facts["seconds"],
            device=facts["device"],
            curve=tuple(
                (row.step, row.seconds, row.validation_map)
                for row in rows
                if row.validation_map is not None
            ),
            versions=folder.record["versions"],
        )

    def predict(
        self, job: Job, changes: Mapping[str, Mapping[str, Any]], entries: Sequence[Entry]
    ) -> Iterator[Prediction]:
        """Predict with the model folder."""
        from cellflow.inference.predict import load_model

        model = load_model(
            job.folder, device=job.device, change=lambda config: changed(config, changes)
        )
        for entry in entries:
            yield model.predict(entry.load().image, entry.name)


class CellposeFamily:
    """Cellpose 3.1's own trainer and ``eval``: the anchor."""

    OPTIONS: tuple[str, ...] = ()

    def train(self, job: Job, report: Report, say: Say) -> Trained:
        """Train by ``cellpose.train.train_seg``, which begins anew when it was interrupted."""
        from cellflow.comparison.reference import read_reference, train_reference
        from cellflow.network.model_folder import versions

        facts = read_reference(job.folder) or train_reference(
            job.train_entries, job.config, job.folder, job.device
        )
        return Trained(**facts, curve=(), versions=versions())

    def predict(
        self, job: Job, changes: Mapping[str, Mapping[str, Any]], entries: Sequence[Entry]
    ) -> Iterator[Prediction]:
        """Predict by ``CellposeModel.eval`` at the diameter that the file was trained at."""
        from cellflow.comparison.reference import predict_reference

        return predict_reference(job.folder, entries, changed(job.config, changes), job.device)


FAMILIES: dict[str, Family] = {"cellflow": CellflowFamily(), "cellpose": CellposeFamily()}


def find_family(name: str, options: Mapping[str, Any]) -> Family:
    """Give a family, having checked that it knows the options.

    Raises
    ------
    ConfigError
        An unknown family or option; the known ones are listed.
    """
    if name not in FAMILIES:
        raise ConfigError(f"unknown family {name!r}; known: {', '.join(FAMILIES)}")
    family = FAMILIES[name]
    for option in options:
        if option not in family.OPTIONS:
            known = ", ".join(family.OPTIONS) or "none"
            raise ConfigError(f"unknown option {option!r} of the family {name}; known: {known}")
    return family


def changed(config: Config, changes: Mapping[str, Mapping[str, Any]]) -> Config:
    """Give `config` with some settings replaced."""
    tree = config_to_dict(config)
    return config_from_dict(tree | {name: tree[name] | dict(changes[name]) for name in changes})
