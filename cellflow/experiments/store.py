"""The result store: one small JSON file for every variant, fold and seed that is done.

::

    STORE/store.json             which data it is for
    STORE/folds-….json           the folds that all share
    STORE/rows/KEY.json          one result
    STORE/predictions/KEY.csv    the cells that were found, as a submission
    STORE/models/KEY/            the trained model; may be deleted when all its results are there
    STORE/models/KEY.json        its settings
    STORE/pretraining/KEY/       trainings on other folders that came before, shared by folds
    STORE/flows/KEY/             a model's output, while several predictions with it are to come
    STORE/folds/KEY.json         folds of a training that sees only some of the images
    STORE/locks/KEY/             held by the process that computes with a model

A key is a hash of data sides, seed and the settings that differ from the defaults, so experiments
share what they have in common, a file that changes only computes what is new, and a setting that a
later version adds does not make results old. A default that changes does: it is found out by
comparing the settings that are kept beside each result, and refused.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from cellflow.atomic import PARTIAL, write_json
from cellflow.errors import DataError
from cellflow.jsontext import read_object
from cellflow.training.materials import HARMLESS

FORMAT = 1

Tree = Mapping[str, Mapping[str, Any]]
"""Settings: ``{section: {key: value}}``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The result of one variant on one fold with one seed.

    Parameters
    ----------
    variant : str
        Its name in the experiment that computed it; `key` says what it was.
    key : str
    fold, seed : int
    settings : mapping
        The whole configuration with the family's own settings, the family and its options.
    images : mapping of name to (cell_type, group, score, n_truths, n_predicted, precision)
        Of the held-out images.
    curve : tuple of (step, seconds, mAP)
        Validations on the way.
    facts : mapping
        What `Trained` says, seconds of prediction, the peak memory, and why a training diverged.
    """

    variant: str
    key: str
    fold: int
    seed: int
    settings: Mapping[str, Any]
    images: Mapping[str, Mapping[str, Any]]
    curve: tuple[tuple[int, float, float], ...]
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A folder of results for one data set."""

    folder: Path

    @classmethod
    def open(cls, folder: Path | str, data_hash: str, *, begin: bool = True) -> Self:
        """Open a store, or begin one; without `begin`, one that is not there is an empty one.

        Raises
        ------
        DataError
            The store is of other images or other truth, or is broken.
        """
        store = cls(folder=Path(folder))
        path = store.folder / "store.json"
        if not path.exists():
            if not begin:
                return store
            write_json(path, {"format": FORMAT, "data_hash": data_hash})
        found = read_object(path, DataError)
        if found.get("format") != FORMAT:
            raise DataError(f"{path}: not a result store of this version of cellflow")
        if found.get("data_hash") != data_hash:
            raise DataError(
                f"{store.folder}: holds results on other images or other truth; give the data that "
                "it was begun with, or another store"
            )
        return store

    def model(self, key: str) -> Path:
        """Give the folder of a model."""
        return self.folder / "models" / key

    def pretraining(self, key: str) -> Path:
        """Give the folder of the trainings that come before a model's."""
        return self.folder / "pretraining" / key

    def flows(self, key: str) -> Path:
        """Give the folder of what a model's network says of its held-out images."""
        return self.folder / "flows" / key

    def lock(self, key: str) -> Path:
        """Give the folder that a process locks while it trains a model or predicts with it."""
        return self.folder / "locks" / key

    def predictions(self, key: str) -> Path:
        """Give the submission file of a result."""
        return self.folder / "predictions" / f"{key}.csv"

    def claim_model(self, key: str, config: Tree) -> None:
        """Note the settings of a model before it is trained, or check those of an earlier one.

        Raises
        ------
        DataError
            A model of this key was trained when a default was another.
        """
        path = self.folder / "models" / f"{key}.json"
        if path.exists():
            again = f"delete it and the folder {key} beside it to train anew"
            _require_same_defaults(path, read_object(path, DataError), config, again)
        else:
            write_json(path, config)

    def has(self, key: str) -> bool:
        """Tell whether a result is there."""
        return self._row(key).exists()

    def read(self, key: str, config: Tree) -> Row:
        """Read a result that is there.

        Parameters
        ----------
        key : str
        config : mapping of section to (mapping of key to any)
            What the result should be of.

        Raises
        ------
        DataError
            Its file is broken, or it was computed when a default was another.
        """
        path = self._row(key)
        row = _read_row(path)
        again = "delete the result to compute it anew"
        _require_same_defaults(path, row.settings["config"], config, again)
        return row

    def rows(self) -> list[Row]:
        """Give all results, of whatever experiment, in the order of their keys.

        Raises
        ------
        DataError
            A file is broken.
        """
        # What another process is writing, or was killed at, is none yet.
        found = (self.folder / "rows").glob("*.json")
        return [_read_row(path) for path in sorted(found) if not path.name.startswith(PARTIAL)]

    def add(self, row: Row) -> None:
        """Write a result; an earlier one of the same key is replaced."""
        write_json(self._row(row.key), asdict(row))

    def _row(self, key: str) -> Path:
        return self.folder / "rows" / f"{key}.json"


def _read_row(path: Path) -> Row:
    content = read_object(path, DataError)
    try:
        curve = tuple((int(s), float(t), float(m)) for s, t, m in content.pop("curve"))
        row = Row(**content, curve=curve)
        row.settings["config"], row.settings["family"]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not a result ({error}); delete it to compute it anew") from error
    return row


def _require_same_defaults(path: Path, recorded: Tree, config: Tree, again: str) -> None:
    asked = json.loads(json.dumps(config))  # tuples as lists
    for section, values in recorded.items():
        for name, value in values.items():
            # A training that may take longer is the same training.
            if name in HARMLESS or name not in asked.get(section, {}):
                continue
            if asked[section][name] != value:
                raise DataError(
                    f"{path}: computed when the default of {section}.{name} was {value!r}, now "
                    f"{asked[section][name]!r}; set it in the experiment's file, or {again}"
                )


def make_key(content: Any) -> str:
    """Give 16 hexadecimal digits that stand for plain values."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
