"""The data of a baseline's training: entries with their facts, classes and hashes."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from cellflow.baselines.choose_cells import ANY_KIND
from cellflow.baselines.settings import BaselineConfig
from cellflow.config import DataConfig
from cellflow.configfile import config_to_dict
from cellflow.data.dataset import Entry
from cellflow.errors import DataError
from cellflow.network.preprocess import check_image
from cellflow.training.materials import HARMLESS
from cellflow.training.survey import fingerprint, survey_images
from cellflow.wording import counted


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FitData:
    """The images of both sides, surveyed.

    Parameters
    ----------
    train, held_out : tuple of Entry
    classes : tuple of str
        The cell types of the training images in alphabetical order; only `ANY_KIND` if some image
        has no type.
    kinds : tuple of int
        Class number of each training image.
    n_cells, densest : int
        Number of cells in all training images, and in the one with the most.
    sha256, held_out_sha256 : str
    """

    train: tuple[Entry, ...]
    held_out: tuple[Entry, ...]
    classes: tuple[str, ...]
    kinds: tuple[int, ...]
    n_cells: int
    densest: int
    sha256: str
    held_out_sha256: str

    @classmethod
    def survey(cls, train: Sequence[Entry], held_out: Sequence[Entry]) -> "FitData":
        """Read every picture and truth once.

        Raises
        ------
        DataError
            There is no training image, or a file is broken.
        """
        if not train:
            raise DataError("no annotated image to train on")
        check = partial(check_image, config=DataConfig())
        facts, others = survey_images(train, check), survey_images(held_out, check)
        names = [entry.cell_type for entry in train]
        known = sorted({name for name in names if name is not None})
        classes = (ANY_KIND,) if None in names else tuple(known)
        counts = [fact.n_cells for fact in facts]
        if not sum(counts):
            raise DataError(f"none of {counted(len(counts), 'training image')} has a cell")
        return cls(
            train=tuple(train),
            held_out=tuple(held_out),
            classes=classes,
            kinds=tuple(0 if None in names else known.index(str(name)) for name in names),
            n_cells=sum(counts),
            densest=max(counts),
            sha256=fingerprint(facts),
            held_out_sha256=fingerprint(others),
        )

    def record(self) -> dict[str, Any]:
        """Give the facts of the data that the folder records."""
        return {
            "sha256": self.sha256,
            "n_train": len(self.train),
            "n_validation": len(self.held_out),
            "n_cells": self.n_cells,
            "densest": self.densest,
            "train": [entry.name for entry in self.train],
            "validation": [entry.name for entry in self.held_out],
        }

    def run_key(self, model: str, config: BaselineConfig, start: str) -> str:
        """Give a hash of data, classes, initial weights and all settings that affect the result."""
        settings = config_to_dict(config)
        for name in HARMLESS:
            settings["training"].pop(name, None)
        kinds = [(entry.name, kind) for entry, kind in zip(self.train, self.kinds, strict=True)]
        content = [model, start, self.sha256, self.held_out_sha256, self.classes, kinds, settings]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()
