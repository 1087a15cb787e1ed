"""The run's folder: numbered, never inside the data, never another's."""

import pytest

from cellflow.errors import ConfigError, DataError, ModelError
from cellflow.training.run_folder import RunFolder, existing_run_folder, new_run_folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_runs_are_numbered_after_the_highest(here):
    data = here / "data"
    assert str(new_run_folder(None, data).path) == "runs/train-001"
    (here / "runs" / "train-007").mkdir()
    (here / "runs" / "train-mine").mkdir()
    assert new_run_folder(None, data).path.name == "train-008"


def test_a_run_never_lies_inside_the_data(here, monkeypatch):
    with pytest.raises(ConfigError, match="inside the data folder"):
        new_run_folder(here / "data" / "run", here / "data")
    monkeypatch.chdir(here / "data")
    with pytest.raises(ConfigError, match="inside the data folder"):
        new_run_folder(None, here / "data")


def test_a_folder_with_a_run_is_refused_or_replaced(here):
    out = here / "ünser lauf"
    folder = new_run_folder(out, here / "data")
    folder.write_record({"a": 1})
    folder.overlays.mkdir()
    (out / "metrics.csv").write_text("x", encoding="utf-8")
    (out / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="--resume"):
        new_run_folder(out, here / "data")
    new_run_folder(out, here / "data", overwrite=True)
    assert [path.name for path in out.iterdir()] == ["notes.txt"]


def test_a_folder_with_other_things_is_refused_whatever_is_asked(here):
    out = here / "photos"
    out.mkdir()
    (out / "cat.png").touch()
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match="holds other files"):
            new_run_folder(out, here / "data", overwrite=overwrite)


def test_a_file_is_no_folder(here):
    (here / "file").touch()
    with pytest.raises(ConfigError, match="is a file"):
        new_run_folder(here / "file", here / "data")
    with pytest.raises(DataError, match="cannot make the folder"):
        new_run_folder(here / "file" / "run", here / "data")


def test_the_newest_run_is_continued_by_default(here):
    with pytest.raises(ModelError, match="no training run"):
        existing_run_folder(None)
    for name in ("train-001", "train-002"):
        RunFolder(path=here / "runs" / name).write_record({})
    assert existing_run_folder(None).path.name == "train-002"


def test_a_record_that_is_missing_or_broken_is_said(here):
    folder = RunFolder(path=here / "run")
    with pytest.raises(ModelError, match="no training run to continue"):
        folder.read_record()
    folder.write_record({"a": 1})
    assert folder.read_record() == {"a": 1}
    (here / "run" / "run.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="not readable"):
        folder.read_record()
