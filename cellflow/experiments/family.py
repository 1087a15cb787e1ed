"""The interface of a kind of model in experiments: check, train, predict."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    train_entries, held_out : tuple of Entry
        The images of the fold to train on, and those to predict.
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
        Where pretraining on other folders is stored; other jobs share it.
    flows : Path or None
        Where the network's output on the held-out images may be kept, if more predictions with the
        same model will follow.
    """

    train_dir: Path
    train_entries: tuple[Entry, ...]
    held_out: tuple[Entry, ...]
    layout: str
    folds_file: Path
    fold: int
    options: Mapping[str, Any]
    config: Config
    folder: Path
    device: str
    pretraining: Path | None
    flows: Path | None


class Family(ABC):
    """A kind of model."""

    OPTIONS: tuple[str, ...] = ()
    """Keys that `Variant.options` may have, besides `subset.SUBSET_OPTIONS`."""

    DEFAULTS_OF_CONFIG = True
    """Whether prediction uses the sections of `Config`, so that a value equal to their default is
    no change. If not, everything in `Variant.predict` counts as a change."""

    @abstractmethod
    def check(
        self, options: Mapping[str, Any], config: Config, predict: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Check, before anything is trained, that the family is installed and has these settings.

        Parameters
        ----------
        options, config, predict
            Of a `Variant`.

        Raises
        ------
        ConfigError
            It is not installed, or a setting is not possible; the message is one line.
        """

    def own_settings(
        self, options: Mapping[str, Any], config: Config
    ) -> Mapping[str, Mapping[str, Any]]:
        """Give the settings that `Config` does not have, each with its final value.

        Returns
        -------
        mapping of section to (mapping of key to any)
            Sections named as in a file; none has the name of a section of `Config`. They are stored
            with the results, so that a default changed by a later version is detected. By default
            there are none.
        """
        return {}

    @abstractmethod
    def n_steps(self, options: Mapping[str, Any], config: Config, n_images: int) -> int:
        """Give the optimiser steps of a training on a number of images."""

    def step_seconds(self, config: Config, device: str) -> float | None:
        """Measure the time of a training step on noise; None = it takes a real training to tell."""
        return None

    @abstractmethod
    def train(self, job: Job, report: Report, say: Say) -> Trained:
        """Train, or continue an interrupted training, or read a finished one."""

    @abstractmethod
    def predict(self, job: Job, changes: Mapping[str, Mapping[str, Any]]) -> Iterator[Prediction]:
        """Predict the held-out images with the trained model and the given prediction settings."""


def changed(config: Config, changes: Mapping[str, Mapping[str, Any]]) -> Config:
    """Give a copy of `config` with some settings replaced."""
    tree = config_to_dict(config)
    return config_from_dict(tree | {name: tree[name] | dict(changes[name]) for name in changes})
