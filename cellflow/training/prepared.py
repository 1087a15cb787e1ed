"""Training images ready to be cropped: kept in bounded memory and, if asked for, on disk.

Takes `Entry`, gives `PreparedImage`. What does not fit into memory is prepared again each time, or
read from ``$CELLFLOW_CACHE/prepared`` with ``training.store_prepared``.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from cellflow.atomic import atomic_path
from cellflow.config import DataConfig
from cellflow.data.dataset import Entry
from cellflow.data.flatten import flatten
from cellflow.errors import ConfigError, ImageError
from cellflow.kernel_cache import ROOT_VARIABLE
from cellflow.network.cpnet import N_INPUTS
from cellflow.network.preprocess import prepare_image
from cellflow.targets.flows import labels_to_target
from cellflow.training.augment import PreparedImage
from cellflow.training.first_kept import FirstKept

FORMAT = 1
"""Part of the file names; raised when the preparation, or the file format, changes."""


def prepare_entry(entry: Entry, config: DataConfig, *, keep_labels: bool = False) -> PreparedImage:
    """Read one image with its truth and compute network input and target.

    Parameters
    ----------
    entry : Entry
    config : DataConfig
    keep_labels : bool
        Whether to keep the labels too, as mosaics need them.

    Raises
    ------
    DataError
        The image has no truth, or a file is broken; the message names the image.
    """
    picture, truth = entry.load_annotated()
    try:
        image = prepare_image(picture, config)
    except ImageError as error:
        raise ImageError(f"image {entry.name}: {error}") from error
    labels = flatten(truth, config.flatten)
    uncertain = None
    if entry.uncertain is not None and len(entry.uncertain):
        uncertain = flatten(entry.uncertain, config.flatten) > 0
    kept = labels if keep_labels else None
    return PreparedImage.pack(image, labels_to_target(labels), kept, uncertain)


def prepared_folder() -> Path:
    """Give the folder of prepared images on disk.

    Raises
    ------
    ConfigError
        ``CELLFLOW_CACHE`` is not set: these are gigabytes, so the user has to say where.
    """
    root = os.environ.get(ROOT_VARIABLE)
    if not root:
        raise ConfigError(
            f"training.store_prepared: set {ROOT_VARIABLE} to the folder to write the images to, "
            "about 9 bytes per pixel"
        )
    return Path(root) / "prepared"


@dataclass(kw_only=True, eq=False)
class PreparedImages:
    """Prepared images by index, safe for several threads; pickled without those in memory.

    Parameters
    ----------
    entries : sequence of Entry
    data : DataConfig
    keep_labels : bool
        As for `prepare_entry`.
    limit : int
        Memory for images that are kept, bytes.
    folder : Path, optional
        Where images are kept on disk.
    contents : sequence of str
        A hash of each entry's image and truth; needed with a folder.
    """

    entries: Sequence[Entry]
    data: DataConfig
    keep_labels: bool
    limit: int
    folder: Path | None
    contents: Sequence[str]
    in_memory: FirstKept[PreparedImage] = field(init=False)

    def __post_init__(self) -> None:
        self.in_memory = FirstKept(self.limit)

    def __getitem__(self, index: int) -> PreparedImage:
        """Give an image: from memory, from disk, or prepared now.

        Raises
        ------
        DataError
            The image or its truth cannot be read, or the folder not be written.
        """
        return self.in_memory.get(index, self._from_disk)

    def _from_disk(self, index: int) -> PreparedImage:
        if self.folder is None:
            return self._prepare(index)
        path = self._path(self.folder, index)
        try:
            return _read(path)
        except (OSError, SafetensorError, KeyError):  # not there yet, or broken: made anew
            prepared = self._prepare(index)
            _write(path, prepared)
            return prepared

    def _prepare(self, index: int) -> PreparedImage:
        return prepare_entry(self.entries[index], self.data, keep_labels=self.keep_labels)

    def _path(self, folder: Path, index: int) -> Path:
        """Name the file by all that decides what is in it."""
        what = [FORMAT, self.contents[index], asdict(self.data), self.keep_labels]
        name = hashlib.sha256(json.dumps(what).encode()).hexdigest()
        return folder / name[:2] / f"{name}.safetensors"


def _write(path: Path, prepared: PreparedImage) -> None:
    arrays = {"image": prepared.image, "flows": prepared.flows, "cells": prepared.cells}
    if prepared.labels is not None:
        arrays["labels"] = prepared.labels
    if prepared.uncertain is not None:
        arrays["uncertain"] = prepared.uncertain
    with atomic_path(path) as temporary:
        try:
            save_file(arrays, temporary)
        except SafetensorError as error:  # its word for a full disk
            raise OSError(0, str(error)) from error


def _read(path: Path) -> PreparedImage:
    arrays = load_file(path)
    return PreparedImage(
        image=arrays["image"],
        flows=arrays["flows"],
        cells=arrays["cells"],
        n_channels=N_INPUTS,
        labels=arrays.get("labels"),
        uncertain=arrays.get("uncertain"),
    )
