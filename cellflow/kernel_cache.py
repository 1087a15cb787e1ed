"""Where compiled kernels are kept: somewhere must be writable before the first one is defined."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"


def ensure_cache_folder() -> Path | None:
    """Give Numba a temporary folder when none of its own can be written to.

    Returns
    -------
    Path or None
        The temporary folder, which this process removes when it ends; None when it is not needed.

    Notes
    -----
    Numba looks at ``$NUMBA_CACHE_DIR``, at ``__pycache__`` beside the source, and at the user's
    cache folder; without any, defining a kernel fails. With a temporary folder kernels are compiled
    anew in each process.
    """
    if _is_writable(Path(__file__).parent / "__pycache__"):
        return None
    own = os.environ.get(VARIABLE)
    if (own and _is_writable(Path(own))) or _is_writable(_user_folder()):
        return None
    folder = Path(tempfile.mkdtemp(prefix="cellflow-kernels-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ[VARIABLE] = str(folder)
    if "numba" in sys.modules:
        sys.modules["numba"].config.CACHE_DIR = str(folder)
    return folder


def _user_folder() -> Path:
    """Give the user's folder of Numba, without importing that: `cellflow --help` is quick."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "numba" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "numba"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "numba"


def _is_writable(folder: Path) -> bool:
    """Tell by trying, as Numba does."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
