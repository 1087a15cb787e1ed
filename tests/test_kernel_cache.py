"""Kernels find a place, whatever cannot be written to."""

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from cellflow import kernel_cache
from cellflow.kernel_cache import ROOT_VARIABLE, VARIABLE, ensure_cache_folder


@pytest.fixture
def writable(monkeypatch, tmp_path):
    """Make all but the folders that are added unwritable."""
    allowed = set()
    monkeypatch.setattr(kernel_cache, "_is_writable", lambda folder: folder in allowed)
    # Restored afterwards: what is found is told to Numba, which this process has loaded.
    monkeypatch.setattr(numba.config, "CACHE_DIR", numba.config.CACHE_DIR)
    monkeypatch.setattr(kernel_cache.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv(VARIABLE, "")  # so that it is put back as it was
    monkeypatch.delenv(VARIABLE)
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    return allowed


def test_where_a_folder_can_be_written_to_nothing_changes(writable, monkeypatch, tmp_path):
    for folder in (Path(kernel_cache.__file__).parent / "__pycache__", tmp_path):
        monkeypatch.setattr(kernel_cache, "_user_folder", lambda: tmp_path)
        writable.clear()
        writable.add(folder)
        assert ensure_cache_folder() is None
        assert VARIABLE not in os.environ


def test_the_users_own_folder_stands(writable, monkeypatch, tmp_path):
    monkeypatch.setattr(kernel_cache, "_user_folder", lambda: Path("/none"))
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    writable.add(tmp_path)
    assert ensure_cache_folder() is None
    assert os.environ[VARIABLE] == str(tmp_path)


def test_one_variable_moves_the_kernels_unless_numbas_own_is_set(writable, monkeypatch, tmp_path):
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    writable |= {tmp_path / "kernels", Path(kernel_cache.__file__).parent / "__pycache__"}
    assert ensure_cache_folder() == tmp_path / "kernels"
    assert os.environ[VARIABLE] == numba.config.CACHE_DIR == str(tmp_path / "kernels")
    monkeypatch.setenv(VARIABLE, "mine")
    assert ensure_cache_folder() is None
    assert os.environ[VARIABLE] == "mine"


def test_an_unwritable_cache_of_the_user_is_said(writable, monkeypatch):
    monkeypatch.setenv(ROOT_VARIABLE, "/none")
    writable.add(Path(kernel_cache.__file__).parent / "__pycache__")
    with pytest.warns(UserWarning, match="CELLFLOW_CACHE=/none cannot be written to"):
        assert ensure_cache_folder() is None


@pytest.mark.needs_jit
def test_compiled_kernels_lie_where_the_variable_says(tmp_path):
    code = "import cellflow, numpy; cellflow.labels_to_rle(numpy.ones((1, 2), int))"
    own = {k: v for k, v in os.environ.items() if k != VARIABLE}
    subprocess.run([sys.executable, "-c", code], check=True, env={**own, ROOT_VARIABLE: tmp_path})
    assert any((tmp_path / "kernels").rglob("*.nbc"))


def test_without_any_a_temporary_folder_is_made(writable, monkeypatch, tmp_path):
    monkeypatch.setattr(kernel_cache, "_user_folder", lambda: Path("/none"))
    folder = ensure_cache_folder()
    assert folder.parent == tmp_path
    assert os.environ[VARIABLE] == numba.config.CACHE_DIR == str(folder)


@pytest.mark.needs_jit
def test_kernels_run_and_leave_nothing_where_no_cache_can_be_written(tmp_path):
    code = (
        "from pathlib import Path; from cellflow import kernel_cache as k;"
        "k._is_writable = lambda folder: False; folder = k.ensure_cache_folder();"
        "from cellflow import labels_to_rle; import numpy as np;"
        "print(labels_to_rle(np.ones((1, 2), int)), any(folder.rglob('*.nbc')), folder)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.startswith("['1 2'] True ")
    assert list(tmp_path.iterdir()) == []


def test_the_users_folder_is_that_of_numba():
    from numba.misc.appdirs import AppDirs

    theirs = AppDirs(appname="numba", appauthor=False).user_cache_dir
    assert kernel_cache._user_folder() == Path(theirs)


def test_a_file_in_the_place_of_a_folder_is_not_writable(tmp_path):
    (tmp_path / "file").write_text("")
    assert not kernel_cache._is_writable(tmp_path / "file")
    assert kernel_cache._is_writable(tmp_path / "new" / "folder")
