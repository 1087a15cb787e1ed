"""A trained model as a folder that holds all that prediction needs.

::

    config.json            settings, versions, commit, seed, data hash, initial weights
    thresholds.json        of the dynamics, by cell type, and how they were tuned
    cell_types.json        predicts the cell type of an image (with two types or more)
    confidence.json        calibrates the score of a cell (if `cellflow tune` found it better)
    weights.safetensors    the network
    cellpose_model         the same as the plain file that Cellpose and its GUI load
    README.md              the model card
"""

import hashlib
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from cellflow._version import __version__
from cellflow.atomic import write_json, write_text
from cellflow.config import Config
from cellflow.config.inference import MOST_DIAMETER
from cellflow.configfile import config_from_dict, config_to_dict
from cellflow.errors import ConfigError, ModelError
from cellflow.hashing import hash_file
from cellflow.jsontext import read_object
from cellflow.network.cell_type_head import CELL_TYPES, CellTypeHead, read_cell_type_head
from cellflow.network.cpnet import CPnet, build_network, save_cellpose_file
from cellflow.network.thresholds import (
    THRESHOLDS,
    Thresholds,
    read_thresholds,
    write_thresholds,
)
from cellflow.network.weights_file import WEIGHTS, load_weights_file, save_weights_file

FORMAT = 1
"""Of `config.json`; newer ones are refused."""

CONFIG = "config.json"
RECORD, BASELINE = "run.json", "baseline.json"
"""Files that mark a run, finished or not, and a baseline instead of a model."""
CELLPOSE_FILE, CARD = "cellpose_model", "README.md"
CONFIDENCE = "confidence.json"
"""Read and written by `inference.confidence`."""
TUNING, FLOW_CACHE = "tuning", "flow-cache"
"""Folders that `tuning.tune` writes: curves and numbers, and the network's output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """What a model folder says.

    Parameters
    ----------
    path : Path
    config : Config
        The settings of the training run, with the default ones of ``thresholds.json``.
    diameter : float
        Median cell diameter of the training images, pixels.
    thresholds : Thresholds
    cell_type_head : CellTypeHead or None
    record : mapping
        The whole of ``config.json``.
    """

    path: Path
    config: Config
    diameter: float
    thresholds: Thresholds
    cell_type_head: CellTypeHead | None
    record: Mapping[str, Any]

    def load_network(self) -> CPnet:
        """Give the network with its weights.

        Raises
        ------
        ModelError
            The weights are missing, truncated or of another network.
        """
        network = build_network(self.config.network, torch.Generator())
        load_weights_file(self.path / WEIGHTS, network, CONFIG)
        return network

    def fingerprint(self) -> str:
        """Give a hash of everything that predictions depend on: weights and thresholds."""
        paths = [self.path / name for name in (WEIGHTS, THRESHOLDS, CELL_TYPES, CONFIDENCE)]
        parts = (hash_file(path) for path in paths if path.exists())
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def write_model_folder(
    folder: Path | str,
    network: CPnet,
    config: Config,
    *,
    diameter: float,
    record: Mapping[str, Any],
    card: str,
) -> None:
    """Write a model folder; existing files are replaced one by one.

    Parameters
    ----------
    folder : path
    network : CPnet
    config : Config
        Its dynamics become ``thresholds.json``, untuned.
    diameter : float
        Median cell diameter of the training images, pixels.
    record : mapping
        What else ``config.json`` holds: seed, data hash, folds, initial weights, scores.
    card : str
        Markdown of the model card.
    """
    folder = Path(folder)
    network.diam_labels.data.fill_(diameter)
    save_weights_file(folder / WEIGHTS, network)
    save_cellpose_file(network, folder / CELLPOSE_FILE)
    write_thresholds(folder, Thresholds.untuned(config))
    write_text(folder / CARD, card)
    # Written last, since a folder without it is no model.
    write_json(
        folder / CONFIG,
        {
            "format": FORMAT,
            "versions": versions(),
            "diameter": diameter,
            **record,
            "config": config_to_dict(config),
        },
    )


def read_model_folder(folder: Path | str) -> ModelFolder:
    """Read what a model folder says; the weights are loaded by `ModelFolder.load_network`.

    Raises
    ------
    ModelError
        It is no model folder, a file is missing or broken, or a newer cellflow wrote it.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file():
        raise ModelError(f"{folder}: not a model folder: {_lacks(folder)}")
    record = read_object(folder / CONFIG, ModelError, newest=FORMAT)
    thresholds = read_thresholds(folder)
    try:
        _check_record(record)
        config = thresholds.default.applied_to(config_from_dict(record["config"]))
        return ModelFolder(
            path=folder,
            config=config,
            diameter=_diameter(record),
            thresholds=thresholds,
            cell_type_head=read_cell_type_head(folder, config.network.channels_per_level[-1]),
            record=record,
        )
    except (KeyError, TypeError, ConfigError) as error:
        raise ModelError(f"{folder}: {CONFIG} is broken: {error}") from error


def _check_record(record: Mapping[str, Any]) -> None:
    """See that what is read of a record later, and need not be there, is what it should be."""
    for key in ("data", "initial_weights", "refit"):
        if not isinstance(record.get(key, {}), Mapping | None):
            raise TypeError(f"{key}: expected an object, found {record[key]!r:.60}")
    learnt_images(record)
    held_out_images(record)


def _diameter(record: Mapping[str, Any]) -> float:
    diameter = record["diameter"]
    is_number = isinstance(diameter, int | float) and not isinstance(diameter, bool)
    if not is_number or not 0 < diameter <= MOST_DIAMETER:
        raise TypeError(f"diameter: expected a number of pixels, found {diameter!r}")
    return float(diameter)


def _lacks(folder: Path) -> str:
    """Say what a folder without `CONFIG` seems to be instead."""
    if (folder / BASELINE).is_file():
        return "a baseline; use `cellflow baseline predict`"
    if (folder / RECORD).is_file():
        return f"its training is not finished; `cellflow train --out {folder} …` continues it"
    return f"cannot read {CONFIG} (there is none)"


def learnt_images(record: Mapping[str, Any]) -> set[str]:
    """Give the names of all images that a model was trained on, in any of its stages.

    Parameters
    ----------
    record : mapping
        Of a model folder or a baseline.
    """
    data, refit = record.get("data"), record.get("refit")
    start = record.get("initial_weights")
    lists = [
        of.get(key)
        for of, key in (
            (data, "train"),
            (data, "extra"),
            (start, "learnt"),
            (refit, "trained_on"),
        )
        if isinstance(of, Mapping)
    ]
    return {name for one in lists for name in _names(one)}


def held_out_images(record: Mapping[str, Any]) -> set[str]:
    """Give the names of the images that a model was validated on; `record` as `learnt_images`."""
    data = record.get("data")
    return set(_names(data.get("validation"))) if isinstance(data, Mapping) else set()


def _names(listed: Any) -> list[str]:
    """Give names that a record lists, or does not know of yet.

    Raises
    ------
    TypeError
        It lists something else.
    """
    names = [] if listed is None else listed
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"expected names of images, found {listed!r:.60}")
    return list(names)


def versions() -> dict[str, str]:
    """Give the versions that a result depends on, and the commit if there is one."""
    found = {"cellflow": __version__, "python": platform.python_version()}
    found |= {name: version(name) for name in ("torch", "cellpose", "numpy", "numba")}
    commit = commit_of(Path(__file__))
    return {**found, "commit": commit} if commit else found


def commit_of(source: Path) -> str | None:
    """Give the commit of the repository that tracks the file `source`; None if none does."""
    git = partial(
        subprocess.run, cwd=source.parent, capture_output=True, text=True, check=True, timeout=5
    )
    try:
        # An installed package may lie inside another repository, which does not track it.
        git(["git", "ls-files", "--error-unmatch", source.name])
        return git(["git", "rev-parse", "HEAD"]).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
