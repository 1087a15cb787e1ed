"""What a kind of model must do to be part of an experiment: check, train, predict."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cellflow.config import Config
from cellflow.configfile import config_from_dict, config_to_dict
from cellflow.data.dataset import Entry
from cellflow.records import Prediction
from cellflow.telling import Report, Say
from cellflow.training.trained import Trained


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
    pretraining : Path or None
        Where trainings on other folders that come before go, which other jobs share.
    flows : Path or None
        Where the networks' output on the held-out images may be kept, when other predictions with
        the same model are to come.
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
    pretraining: Path | None = None
    flows: Path | None = None


class Family(Protocol):
    """A kind of model."""

    OPTIONS: tuple[str, ...]
    """What `Variant.options` may hold, besides `subset.SUBSET_OPTIONS`."""

    DEFAULTS_OF_CONFIG: bool
    """Whether its prediction goes by the sections of `Config`, so that a value equal to their
    default is no change; else whatever `Variant.predict` names is one."""

    def check(
        self, options: Mapping[str, Any], config: Config, predict: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """See, before anything trains, that the family is installed and can do what is asked.

        Parameters
        ----------
        options, config, predict
            Of a `Variant`.

        Raises
        ------
        ConfigError
            It is not, or cannot: one line.
        """

    def own_settings(
        self, options: Mapping[str, Any], config: Config
    ) -> Mapping[str, Mapping[str, Any]]:
        """Give the settings that `Config` does not have, each with what it is in the end.

        Returns
        -------
        mapping of section to (mapping of key to any)
            Sections as a file would name them; none is one of `Config`. They are kept beside
            results, so that a default that a later version changes is found out.
        """

    def n_steps(self, options: Mapping[str, Any], config: Config, n_images: int) -> int:
        """Give the optimiser steps of a training on so many images, without what comes before."""

    def step_seconds(self, config: Config, device: str) -> float | None:
        """Measure a step of training on noise; None = only a real training can tell."""

    def train(self, job: Job, report: Report, say: Say) -> Trained:
        """Train, or continue what was interrupted, or read what is done already."""

    def predict(
        self, job: Job, changes: Mapping[str, Mapping[str, Any]], entries: Sequence[Entry]
    ) -> Iterator[Prediction]:
        """Find the cells of images with the trained model and other settings of prediction."""


def changed(config: Config, changes: Mapping[str, Mapping[str, Any]]) -> Config:
    """Give `config` with some settings replaced."""
    tree = config_to_dict(config)
    return config_from_dict(tree | {name: tree[name] | dict(changes[name]) for name in changes})
