"""The predictions so far, one file per image, in a folder from which a run can be continued."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cellflow._version import __version__
from cellflow.atomic import atomic_path, write_json
from cellflow.data.exports import Found
from cellflow.data.rle import labels_to_masks
from cellflow.errors import DataError, ModelError
from cellflow.inference.model import Model
from cellflow.jsontext import read_object
from cellflow.records import Prediction

STATE = "state.json"

ROUNDING_ONLY = ("batch_size", "compilation", "images_in_flight")
"""Inference settings that affect the speed, and the cells by no more than rounding."""


@dataclass(frozen=True, slots=True)
class Store:
    """A folder with the predictions of one run.

    Parameters
    ----------
    folder : Path

    Notes
    -----
    An image is identified by its file's state when it is first asked for. If the file changes
    during a run, its cells stay valid for this run, and the next run predicts it again.
    """

    folder: Path
    _names: dict[Path, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def place(self, path: Path) -> Path:
        """Give the path of the file with the cells of an image."""
        if path not in self._names:
            self._names[path] = file_name(path)
        return self.folder / self._names[path]

    def open(self, state: Mapping[str, Any]) -> None:
        """Create the folder, or continue with that of an interrupted run.

        Parameters
        ----------
        state : mapping
            What the predictions depend on, in plain JSON values; see `state_of`.

        Raises
        ------
        ModelError
            The earlier run had another model or other settings, or its state is broken.
        """
        kept = self.state()
        if kept is None:
            write_json(self.folder / STATE, state)
        elif (difference := first_difference(kept, state)) is not None:
            raise ModelError(
                f"{self.folder} holds an interrupted run with another model or other settings "
                f"({difference}); --restart discards it"
            )

    def state(self) -> dict[str, Any] | None:
        """Give the state that the folder was opened with; None if there is no folder yet.

        Raises
        ------
        ModelError
            The file is broken.
        """
        path = self.folder / STATE
        if not path.exists():
            return None
        return read_object(path, ModelError, "--restart discards what was found")

    def has(self, path: Path) -> bool:
        """Tell whether the cells of an image are stored."""
        return self.place(path).exists()

    def keep(self, path: Path, prediction: Prediction) -> None:
        """Store the cells of an image as runs, which take a hundredth of the space of labels."""
        masks = labels_to_masks(prediction.labels)
        target = self.place(path)
        with atomic_path(target) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                starts=masks.starts,
                lengths=masks.lengths,
                offsets=masks.offsets,
                shape=np.array(masks.shape),
                scores=prediction.scores,
                cell_type=np.array(prediction.cell_type or ""),
                cell_type_probability=np.array(prediction.cell_type_probability or np.nan),
            )

    def load(self, paths: Sequence[Path]) -> Iterator[Found]:
        """Read the predictions of some images, one at a time."""
        for path in paths:
            yield load_prediction(self.place(path), path)

    def remove_if_empty(self) -> None:
        """Delete the folder if it holds no predictions, not even those of an earlier run."""
        if not any(self.folder.glob("*.npz")):
            self.remove()

    def remove(self) -> None:
        """Delete the folder, if there is one.

        Raises
        ------
        DataError
            It cannot be deleted.
        """
        if not self.folder.exists():
            return
        try:
            shutil.rmtree(self.folder)
        except OSError as error:
            raise DataError(f"cannot remove {self.folder}: {error.strerror or error}") from error


def file_name(path: Path) -> str:
    """Give the name of the file with the cells of an image.

    Notes
    -----
    A hash of the full path, size and modification time: two folders may hold images of the same
    name, and an image may change between two runs.
    """
    described = str(path.resolve())
    if path.exists():
        described += f" {path.stat().st_size} {path.stat().st_mtime_ns}"
    return f"{hashlib.sha256(described.encode()).hexdigest()[:16]}.npz"


def load_prediction(file: Path, image_path: Path) -> Found:
    """Read a file that `Store.keep` has written."""
    with np.load(file) as kept:
        labels = np.zeros(int(np.prod(kept["shape"])), np.int32)
        cells = np.repeat(np.arange(len(kept["scores"])), np.diff(kept["offsets"]))
        for start, length, cell in zip(kept["starts"], kept["lengths"], cells, strict=True):
            labels[start : start + length] = cell + 1
        probability = float(kept["cell_type_probability"])
        prediction = Prediction(
            name=image_path.stem,
            labels=labels.reshape(kept["shape"]),
            scores=kept["scores"],
            cell_type=str(kept["cell_type"]) or None,
            cell_type_probability=None if np.isnan(probability) else probability,
        )
    return Found(prediction=prediction, image_path=image_path)


def state_of(model: Model) -> dict[str, Any]:
    """Give everything that the predictions of a model depend on, in plain JSON values."""
    config = model.config
    inference = {
        key: value for key, value in asdict(config.inference).items() if key not in ROUNDING_ONLY
    }
    state = {
        "cellflow": __version__,
        "model": model.fingerprint or model.name,
        "n_models": len(model.members),
        "diameters": [member.diameter for member in model.members],
        "data": [asdict(member.data) for member in model.members],
        "inference": inference,
        "cells": model.finder.to_dict(),
        "dtypes": list(model.dtypes),
    }
    plain: dict[str, Any] = json.loads(json.dumps(state))
    return plain


def first_difference(one: Any, other: Any, key: str = "") -> str | None:
    """Describe the first difference of two plain values, e.g. ``inference.views: 4, not 8``."""
    if one == other:
        return None
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in [*one, *(name for name in other if name not in one)]:
            within = f"{key}.{name}" if key else name
            found = first_difference(one.get(name), other.get(name), within)
            if found is not None:
                return found
    return f"{key}: {one}, not {other}"
