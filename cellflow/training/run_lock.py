"""One process at a time in a run's folder: two would overwrite each other's checkpoints."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cellflow.errors import DataError
from cellflow.telling import Say, ignore

NAME = "lock"


class InUse(DataError):
    """Another process uses the folder."""


class _UnavailableError(Exception):
    """The file system, or the operating system, has no locks."""


@contextmanager
def locked(folder: Path, say: Say = ignore) -> Iterator[None]:
    """Hold the lock of a folder.

    Parameters
    ----------
    folder : Path
        Where the lock file lies; made when it is missing.
    say : callable
        Told if the file system has no locks; the block then runs without one.

    Raises
    ------
    InUse
        Another process holds it.
    DataError
        The file cannot be made.

    Notes
    -----
    The system releases the lock when the process ends, however it ends. The file itself stays: two
    processes could lock a file that is removed and made anew.
    """
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}") from error
    with file:
        try:
            is_free = _try_lock(file)
        except _UnavailableError as error:
            say(f"{folder}: cannot lock files here ({error}); do not start a second run in it")
            is_free = True
        if not is_free:
            raise InUse(
                f"{folder.parent}: another process is training there; wait for it, or choose "
                "another --out"
            )
        yield


def _try_lock(file: IO[bytes]) -> bool:
    if sys.platform == "win32":
        raise _UnavailableError("Windows")
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL):
            raise _UnavailableError(error.strerror) from error
        raise
    return True
