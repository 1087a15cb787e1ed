"""The cache of compiled Numba kernels: it must be writable before the first kernel is defined."""

import atexit
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"
ROOT_VARIABLE = "CELLFLOW_CACHE"
"""The user's folder for all caches of cellflow."""


def ensure_cache_folder() -> Path | None:
    """Let Numba use ``$CELLFLOW_CACHE/kernels``, or a temporary folder if it has no other.

    Returns
    -------
    Path or None
        The folder; None if Numba finds one by itself. A temporary folder is removed when this
        process ends.

    Notes
    -----
    Numba tries ``$NUMBA_CACHE_DIR``, which the user may have set, ``__pycache__`` beside the
    source, and the user's cache folder. If none is writable, defining a kernel fails. With a
    temporary folder kernels are compiled again in each process.
    """
    root = os.environ.get(ROOT_VARIABLE)
    if root and not os.environ.get(VARIABLE):
        folder = Path(root) / "kernels"
        if _is_writable(folder):
            return _tell_numba(folder)
        warnings.warn(f"{ROOT_VARIABLE}={root} cannot be written to; it is not used", stacklevel=3)
    if _is_writable(Path(__file__).parent / "__pycache__"):
        return None
    own = os.environ.get(VARIABLE)
    if (own and _is_writable(Path(own))) or _is_writable(_user_folder()):
        return None
    folder = Path(tempfile.mkdtemp(prefix="cellflow-kernels-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return _tell_numba(folder)


def _tell_numba(folder: Path) -> Path:
    os.environ[VARIABLE] = str(folder)
    if "numba" in sys.modules:
        sys.modules["numba"].config.CACHE_DIR = str(folder)
    return folder


def _user_folder() -> Path:
    """Give Numba's folder for this user, without importing Numba, which is slow."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "numba" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "numba"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "numba"


def _is_writable(folder: Path) -> bool:
    """Tell whether a file can be created, by trying, as Numba does."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
