"""Files that are either whole or absent."""

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
"""How the names of files begin that are being written."""


def check_outputs(
    inputs: Iterable[Path], outputs: Iterable[Path], *, files: Iterable[Path] = ()
) -> None:
    """See that outputs take the place of nothing that is needed, and that their folders take files.

    Parameters
    ----------
    inputs, outputs : paths
        Of one command.
    files : paths
        Those outputs that can be no folder.

    Raises
    ------
    ConfigError
        An output is an input, or another output, or a folder where a file must go; says which.
    DataError
        No file can be made where it will be.
    """
    outputs = list(outputs)
    read = {path.resolve() for path in inputs}
    written: set[Path] = set()
    for path in outputs:
        place = path.resolve()
        if place in read:
            raise ConfigError(f"{path}: is read by this very command; choose another name for it")
        if place in written:
            raise ConfigError(f"{path}: two outputs would be written there; choose another name")
        written.add(place)
    for path in files:
        if path.is_dir():
            raise ConfigError(f"{path}: is a folder, expected the name of a file")
    # As they are given: a link is replaced, not what it leads to.
    folders = {path if path.is_dir() else path.absolute().parent: path for path in outputs}
    for folder, path in folders.items():
        _try_folder(folder, path)


def _try_folder(folder: Path, path: Path) -> None:
    """See that a folder, or the nearest one above that is there, takes files; none is left."""
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
        The file to write. Missing parent folders are made.

    Yields
    ------
    Path
        A path in the same folder, with the same suffix, to write the content to.

    Raises
    ------
    DataError
        The folder is read-only, the disk is full, the file cannot be written for another reason
        of the operating system, or a name in its text is no UTF-8. Whatever stood at `target`
        before is still there.

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
        # Made here, not by mkstemp, so that the system applies the umask: to read that means to
        # set it, under other threads' feet.
        handle = os.open(target.parent / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        temporary = target.parent / name
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        os.close(handle)
        yield temporary
        with temporary.open("r+b") as written:  # Windows syncs no file that is only read
            os.fsync(written.fileno())
        temporary.chmod(mode)  # the block may have put another file there
        temporary.replace(target)
    except OSError as error:
        raise DataError(f"cannot write {target}: {error.strerror or error}") from error
    except UnicodeEncodeError as error:
        around = error.object[max(0, error.start - 20) : error.end + 20]
        raise DataError(
            f"cannot write {target}: {around!r} is no UTF-8; rename the file that is called so"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(target: Path | str, text: str) -> None:
    """Write `text` as UTF-8 with Unix line ends; see `atomic_path` for the promises."""
    with atomic_path(target) as path, path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def write_json(target: Path | str, content: Any) -> None:
    """Write `content` as indented JSON (see `to_json`); `atomic_path` has the promises."""
    write_text(target, to_json(content) + "\n")


def remove_partial(folder: Path) -> None:
    """Delete what processes left behind in `folder` that were killed while they wrote there.

    Notes
    -----
    Only for a folder that no other process is writing to.
    """
    for path in folder.glob(f"{PARTIAL}*"):
        path.unlink(missing_ok=True)
