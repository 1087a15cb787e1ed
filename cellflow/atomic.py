"""Atomic writing: files are either complete or absent."""

import os
import stat
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cellflow.errors import ConfigError, DataError
from cellflow.jsontext import to_json

PARTIAL = ".partial-"
"""Prefix of the names of files that are being written."""


def check_outputs(
    inputs: Iterable[Path], outputs: Iterable[Path], *, files: Iterable[Path] = ()
) -> None:
    """Check that outputs overwrite neither inputs nor each other, and that they can be written.

    Parameters
    ----------
    inputs, outputs : paths
        Of one command.
    files : paths
        Those outputs that must not be folders.

    Raises
    ------
    ConfigError
        An output is an input, is given twice, or is a folder where a file is expected; the message
        says which.
    DataError
        A folder of an output is not writable.
    """
    outputs = list(outputs)
    read = {path.resolve() for path in inputs}
    written: set[Path] = set()
    for path in outputs:
        place = path.resolve()
        if place in read:
            raise ConfigError(f"{path}: is an input of this command; choose another name")
        if place in written:
            raise ConfigError(f"{path}: two outputs would be written there; choose another name")
        written.add(place)
    for path in files:
        if path.is_dir():
            raise ConfigError(f"{path}: is a folder, expected the name of a file")
    # Not resolved: writing replaces a symbolic link, not its target.
    folders = {path if path.is_dir() else path.absolute().parent: path for path in outputs}
    for folder, path in folders.items():
        _try_folder(folder, path)


def _try_folder(folder: Path, path: Path) -> None:
    """Check that a folder, or its nearest existing parent, is writable; leaves no file."""
    try:
        there = next((place for place in (folder, *folder.parents) if place.exists()), folder)
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def atomic_path(target: Path | str) -> Iterator[Path]:
    """Give a temporary path beside `target` that replaces it if the block succeeds.

    Parameters
    ----------
    target : path
        The file to write. Missing parent folders are created.

    Yields
    ------
    Path
        A path in the same folder, with the same suffix, to write the content to.

    Raises
    ------
    DataError
        The folder is read-only, the disk is full, the operating system refuses for another reason,
        or the text holds a name that is not valid UTF-8. An earlier file at `target` is unchanged.

    Notes
    -----
    Any exception in the block removes the temporary file. The content is synced to disk before
    the rename, so that a crash leaves the old file or the new one, never half of one.
    """
    target = Path(target)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        name = f"{PARTIAL}{target.stem[:40]}-{uuid.uuid4().hex[:12]}{target.suffix}"
        # Not by mkstemp, whose files only their owner may read. Here the system applies the umask,
        # which cannot be read without setting it, and that would affect other threads.
        handle = os.open(target.parent / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        temporary = target.parent / name
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        os.close(handle)
        yield temporary
        with temporary.open("r+b") as written:  # Windows syncs only files that are open for writing
            os.fsync(written.fileno())
        temporary.chmod(mode)  # the block may have put another file there
        temporary.replace(target)
    except OSError as error:
        raise DataError(f"cannot write {target}: {error.strerror or error}") from error
    except UnicodeEncodeError as error:
        around = error.object[max(0, error.start - 20) : error.end + 20]
        raise DataError(
            f"cannot write {target}: {around!r} is not valid UTF-8; rename that file"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(target: Path | str, text: str) -> None:
    """Write `text` as UTF-8 with Unix line ends, atomically as `atomic_path` does."""
    with atomic_path(target) as path, path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def write_json(target: Path | str, content: Any) -> None:
    """Write `content` as indented JSON (see `to_json`), atomically as `atomic_path` does."""
    write_text(target, to_json(content) + "\n")


def remove_partial(folder: Path) -> None:
    """Delete partial files of killed processes in `folder`.

    Notes
    -----
    Only for a folder that no other process is writing to.
    """
    for path in folder.glob(f"{PARTIAL}*"):
        path.unlink(missing_ok=True)
