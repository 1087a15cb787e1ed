"""Manifests: what a downloaded data set must contain, and under which terms."""

import csv
import json
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from cellflow.errors import DataError, ManifestError
from cellflow.hashing import hash_file

PACKAGE = "cellflow_data_manifests"
"""Where ``data_manifests/`` is installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSet:
    """Files of a data set that belong together.

    Parameters
    ----------
    pattern : str
        Glob below the data set's folder.
    role : str
        train, test, pretrain, unlabelled, truth or sample.
    count : int or None
        Files expected; None when the source does not say.
    rows : int or None
        Rows below the header of each, for tables.
    sha256 : str or None
        Of a single file, where known.
    """

    pattern: str
    role: str
    count: int | None = None
    rows: int | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.pattern, str) or not self.pattern:
            raise TypeError(f"pattern: expected a text, found {self.pattern!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One data set.

    Parameters
    ----------
    title, licence, source, note : str
    file_sets : tuple of FileSet
    """

    title: str
    licence: str
    source: str
    note: str
    file_sets: tuple[FileSet, ...]


def manifest_names() -> list[str]:
    """Give the names of the manifests that come with cellflow."""
    folder = files(PACKAGE)
    names = [Path(item.name) for item in folder.iterdir()]
    return sorted(path.stem for path in names if path.suffix == ".json")


def read_manifest(name: str) -> Manifest:
    """Read a manifest by name, or from a JSON file.

    Raises
    ------
    ManifestError
        There is none of that name, or it is broken.
    """
    if name in manifest_names():
        source: Traversable | Path = files(PACKAGE) / f"{name}.json"
    elif Path(name).is_file():
        source = Path(name)
    else:
        raise ManifestError(f"no manifest {name!r}; known: {', '.join(manifest_names())}")
    try:
        content: dict[str, Any] = json.loads(source.read_text(encoding="utf-8"))
        sets = tuple(FileSet(**entry) for entry in content.pop("files"))
        return Manifest(**content, file_sets=sets)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ManifestError(f"manifest {name} is broken: {error}") from error


def verify_download(manifest: Manifest, folder: Path) -> tuple[list[str], dict[str, int]]:
    """Compare a folder with its manifest.

    Returns
    -------
    list of str
        One sentence for every difference; [] if there is none.
    dict of pattern to int
        Files found.

    Raises
    ------
    ManifestError
        `folder` is no folder.
    """
    if not folder.is_dir():
        raise ManifestError(f"{folder}: no such folder")
    problems, found = [], {}
    for expected in manifest.file_sets:
        paths = sorted(folder.glob(expected.pattern))
        found[expected.pattern] = len(paths)
        if not paths:
            problems.append(f"{expected.pattern}: missing")
        elif expected.count is not None and len(paths) != expected.count:
            problems.append(f"{expected.pattern}: {len(paths)} files, expected {expected.count}")
        for path in paths:
            problems += _differences(path, expected)
    return problems, found


def _differences(path: Path, expected: FileSet) -> list[str]:
    try:
        if path.stat().st_size == 0:
            return [f"{path}: empty file"]
        if expected.sha256 is not None:
            digest = hash_file(path)
            if digest != expected.sha256:
                return [f"{path}: SHA-256 {digest}, expected {expected.sha256}"]
        if expected.rows is not None:
            with path.open(encoding="utf-8-sig", newline="") as file:
                n_rows = sum(1 for _ in csv.reader(file)) - 1
            if n_rows != expected.rows:
                return [f"{path}: {n_rows} rows, expected {expected.rows}"]
    except DataError as error:
        return [str(error)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        return [f"{path}: cannot read: {error}"]
    return []
