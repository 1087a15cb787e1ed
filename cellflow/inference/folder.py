"""Many images through one model: resumable, and one broken image does not stop the rest.

What is found in each image is kept in a folder ``OUT.partial`` until all outputs are written, so
that an interrupted run goes on where it stopped.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow._version import __version__
from cellflow.atomic import atomic_path, write_json
from cellflow.data.exports import FolderFormat, Found, check_target, export, write_cells
from cellflow.data.images import read_image
from cellflow.data.rle import labels_to_masks
from cellflow.errors import DataError, ImageError, ModelError
from cellflow.inference.predict import Model
from cellflow.network.devices import is_out_of_memory
from cellflow.pictures.overlay import save_overlay
from cellflow.records import Prediction
from cellflow.wording import counted

Report = Callable[[int, Mapping[str, float]], None]
Say = Callable[[str], None]

STATE = "state.json"
LONG = 10.0
"""Seconds of work from which its length is told beforehand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderResult:
    """What `predict_folder` did.

    Parameters
    ----------
    n_images, n_cells : int
        Written to the outputs.
    n_resumed : int
        Images among them that an earlier, interrupted run had found.
    failures : tuple of str
        One sentence for every image that could not be read, or not fit into memory.
    """

    n_images: int
    n_cells: int
    n_resumed: int
    failures: tuple[str, ...]


def predict_folder(
    model: Model,
    images: Sequence[Path],
    outputs: Sequence[Path],
    *,
    folder_format: FolderFormat = "tif",
    cells: Path | None = None,
    restart: bool = False,
    overlays: Path | None = None,
    report: Report = lambda step, numbers: None,
    say: Say = lambda text: None,
) -> FolderResult:
    """Find the cells of many images and write them.

    Parameters
    ----------
    model : Model
    images : sequence of path
        Their stems are the images' ids and must differ.
    outputs : sequence of path
        Files and folders as `export` knows them; at least one.
    folder_format : {"tif", "seg", "roi"}
        For the outputs that are folders.
    cells : path, optional
        A CSV with one row a cell.
    restart : bool
        Forget what an interrupted run has found, instead of going on from it.
    overlays : path, optional
        Folder for a picture of every newly read image with its outlines.
    report : callable
        Called with the number of images done.
    say : callable
        Told, in words, what the user should know: the expected time, estimated diameters.

    Raises
    ------
    DataError
        There is no image, two have the same name, or none could be done.
    ModelError
        An interrupted run was with another model or other settings, or its state is broken.

    Notes
    -----
    Memory holds one image at a time. When interrupted, the partial folder stays; call again.
    """
    _check_names(images)
    for output in outputs:
        check_target(output, folder_format, len(images))
    store = _Store.open(outputs[0], model, restart=restart)
    n_resumed, failures = 0, []
    n_left = sum(not store.has(path) for path in images)
    is_told = False
    for index, path in enumerate(images):
        if store.has(path):
            n_resumed += 1
        else:
            try:
                image = read_image(path)
                if not is_told:
                    is_told = True
                    _tell_time(model, image, n_left, say)
                prediction = _predict(model, image, path, say)
            except ImageError as error:
                failures.append(str(error))
            else:
                store.keep(path, prediction)
                if overlays is not None:
                    save_overlay(
                        overlays / f"{path.stem}.png",
                        image,
                        predicted=prediction.labels,
                        title=path.stem,
                    )
        report(index + 1, {"total": len(images)})
    done = [path for path in images if store.has(path)]
    if not done:
        store.remove_if_empty()
        raise DataError("no image could be done: " + "; ".join(failures[:3]))
    for output in outputs:
        export(output, store.load(done), folder_format)
    if cells is not None:
        write_cells(cells, store.load(done))
    n_cells = sum(len(one.prediction.scores) for one in store.load(done))
    if not failures:
        store.remove()
    return FolderResult(
        n_images=len(done), n_cells=n_cells, n_resumed=n_resumed, failures=tuple(failures)
    )


def partial_folder(output: Path) -> Path:
    """Give the folder that keeps what is found until `output` is written."""
    whole = output.absolute()
    return whole.with_name(whole.name + ".partial")


def _predict(model: Model, image: NDArray[Any], path: Path, say: Say) -> Prediction:
    diameter = model.diameter
    try:
        if diameter is None:
            diameter = model.estimate_diameter(image)
            say(f"{path.name}: estimated diameter {diameter:.1f} px")
        return model.predict(image, path.stem, diameter)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        size = " x ".join(map(str, image.shape))
        raise ImageError(f"{path}: {size} pixels need more memory than there is") from error


def _check_names(images: Sequence[Path]) -> None:
    if not images:
        raise DataError("no images to predict")
    seen: dict[str, Path] = {}
    for path in images:
        if path.stem in seen:
            raise DataError(f"{seen[path.stem]} and {path} have the same id {path.stem!r}")
        seen[path.stem] = path


def _tell_time(model: Model, image: NDArray[Any], n_images: int, say: Say) -> None:
    """Say before long work how long it will take, when all images are of the size of the first."""
    seconds = n_images * model.seconds_per_image((image.shape[-2], image.shape[-1]))
    if seconds > LONG:
        say(f"{counted(n_images, 'image')}, about {_duration(seconds)}")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@dataclass(frozen=True, slots=True)
class _Store:
    """What is found so far, one file an image, in the partial folder."""

    folder: Path

    @classmethod
    def open(cls, output: Path, model: Model, *, restart: bool) -> "_Store":
        """Make the folder, or take up an earlier one of the same model and settings."""
        folder = partial_folder(output)
        state = _state_of(model)
        if restart and folder.exists():
            _remove(folder)
        if (folder / STATE).exists():
            if _read_state(folder / STATE) != state:
                raise ModelError(
                    f"{folder} holds an interrupted run with another model or other settings; "
                    "--restart discards it"
                )
        else:
            write_json(folder / STATE, state)
        return cls(folder)

    def _file(self, path: Path) -> Path:
        # Two folders may hold images of the same name, and an image may change between two runs.
        described = str(path.resolve())
        if path.exists():
            described += f" {path.stat().st_size} {path.stat().st_mtime_ns}"
        return self.folder / f"{hashlib.sha256(described.encode()).hexdigest()[:16]}.npz"

    def has(self, path: Path) -> bool:
        """Tell whether the image is done."""
        return self._file(path).exists()

    def keep(self, path: Path, prediction: Prediction) -> None:
        """Keep one image's cells as runs, which are a hundredth of its labels."""
        masks = labels_to_masks(prediction.labels)
        with atomic_path(self._file(path)) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                starts=masks.starts,
                lengths=masks.lengths,
                offsets=masks.offsets,
                shape=np.array(masks.shape),
                scores=prediction.scores,
            )

    def load(self, paths: Sequence[Path]) -> Iterator[Found]:
        """Give the predictions of the images again, one at a time."""
        for path in paths:
            with np.load(self._file(path)) as kept:
                labels = np.zeros(int(np.prod(kept["shape"])), np.int32)
                cells = np.repeat(np.arange(len(kept["scores"])), np.diff(kept["offsets"]))
                for start, length, cell in zip(kept["starts"], kept["lengths"], cells, strict=True):
                    labels[start : start + length] = cell + 1
                prediction = Prediction(
                    name=path.stem, labels=labels.reshape(kept["shape"]), scores=kept["scores"]
                )
            yield Found(prediction=prediction, image_path=path)

    def remove_if_empty(self) -> None:
        """Delete the folder when it holds no image's cells, also none of an earlier run."""
        if not any(self.folder.glob("*.npz")):
            self.remove()

    def remove(self) -> None:
        """Delete the folder; all is in the outputs."""
        _remove(self.folder)


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise DataError(f"cannot remove {folder}: {error.strerror or error}") from error


def _read_state(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ModelError(f"{path}: broken ({error}); --restart discards what was found") from error


def _state_of(model: Model) -> dict[str, object]:
    """Give what predictions depend on, as JSON gives it back."""
    config = model.config
    state = {
        "cellflow": __version__,
        "model": model.fingerprint or model.name,
        "diameter": model.diameter,
        "data": asdict(config.data),
        "inference": asdict(config.inference),
        "cells": model.finder.to_dict(),
        "dtype": str(model.dtype),
    }
    plain: dict[str, object] = json.loads(json.dumps(state))
    return plain
