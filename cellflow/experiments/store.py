"""The result store: one small JSON file for every finished variant, fold and seed.

::

    STORE/store.json             the data that it is for
    STORE/folds-….json           the folds, shared by all
    STORE/rows/KEY.json          one result
    STORE/predictions/KEY.csv    the predicted cells, as a submission
    STORE/models/KEY/            the trained model; may be deleted once all its results exist
    STORE/models/KEY.json        its settings
    STORE/pretraining/KEY/       pretraining on other folders, shared by folds
    STORE/flows/KEY/             output of a network, while more predictions with it will follow
    STORE/folds/KEY.json         folds of a training on a subset of the images
    STORE/locks/KEY/             lock of the process that is working with a model

A key is a hash of the images of both sides, the seed and the settings that differ from the
defaults. So experiments share common results, after a change to a file only what is new is
computed, and results stay valid when a later version adds a setting. A changed default invalidates
them: it is detected by comparing the settings stored with each result, and refused.
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
        Its name in the experiment that computed it; `key` identifies it.
    key : str
    fold, seed : int
    settings : mapping
        The whole configuration, the family, its own settings and its options.
    images : mapping of name to (cell_type, group, score, n_truths, n_predicted, precision)
        Of the held-out images.
    curve : tuple of (step, seconds, mAP)
        Validations during training.
    facts : mapping
        The content of `Trained`, ``predict_seconds``, ``peak_megabytes`` (despite its name in
        MiB), and why a training ``diverged``.
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
        """Open a store, or create it; without `begin` a missing store is treated as empty.

        Raises
        ------
        DataError
            The store is for other images or other truth, or is broken.
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
        """Give the folder of the pretraining of a model."""
        return self.folder / "pretraining" / key

    def flows(self, key: str) -> Path:
        """Give the folder of a network's output on its held-out images."""
        return self.folder / "flows" / key

    def lock(self, key: str) -> Path:
        """Give the folder that a process locks while it trains or predicts with a model."""
        return self.folder / "locks" / key

    def predictions(self, key: str) -> Path:
        """Give the submission file of a result."""
        return self.folder / "predictions" / f"{key}.csv"

    def claim_model(self, key: str, config: Tree) -> None:
        """Store the settings of a model before it is trained, or check those of an existing one.

        Raises
        ------
        DataError
            The existing model was trained when a default had another value.
        """
        path = self.folder / "models" / f"{key}.json"
        if path.exists():
            again = f"delete it and the folder {key} beside it to train anew"
            _require_same_defaults(path, read_object(path, DataError), config, again)
        else:
            write_json(path, config)

    def has(self, key: str) -> bool:
        """Tell whether a result exists."""
        return self._row(key).exists()

    def read(self, key: str, config: Tree) -> Row:
        """Read an existing result.

        Parameters
        ----------
        key : str
        config : mapping of section to (mapping of key to any)
            The settings that the result should have.

        Raises
        ------
        DataError
            Its file is broken, or it was computed when a default had another value.
        """
        path = self._row(key)
        row = _read_row(path)
        again = "delete the result to compute it anew"
        _require_same_defaults(path, row.settings["config"], config, again)
        return row

    def rows(self) -> list[Row]:
        """Give all results of all experiments, ordered by key.

        Raises
        ------
        DataError
            A file is broken.
        """
        # Files that another process is writing, or left unfinished, have other names.
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
            # For instance a larger time budget: it is still the same training.
            if name in HARMLESS or name not in asked.get(section, {}):
                continue
            if asked[section][name] != value:
                raise DataError(
                    f"{path}: computed with the former default of {section}.{name}, {value!r}; "
                    f"it is now {asked[section][name]!r}; set it in the experiment's file, "
                    f"or {again}"
                )


def make_key(content: Any) -> str:
    """Hash plain values to 16 hexadecimal digits."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
