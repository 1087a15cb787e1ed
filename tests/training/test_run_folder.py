"""The run's folder: numbered, never inside the data, never another's."""

import errno
from pathlib import Path

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


def test_two_runs_that_begin_together_get_a_folder_each(here, monkeypatch):
    make = Path.mkdir

    def make_after_another(path, *arguments, **options):
        if path.name == "train-001":
            make(path)
        make(path, *arguments, **options)

    (here / "runs").mkdir()
    monkeypatch.setattr(Path, "mkdir", make_after_another)
    assert new_run_folder(None, here / "data").path.name == "train-002"


def test_a_run_never_lies_inside_the_data(here, monkeypatch):
    with pytest.raises(ConfigError, match="inside the data folder"):
        new_run_folder(here / "data" / "run", here / "data")
    monkeypatch.chdir(here / "data")
    with pytest.raises(ConfigError, match="inside the data folder"):
        new_run_folder(None, here / "data")


def test_clearing_a_run_removes_its_files_and_no_others(here):
    folder = new_run_folder(here / "ünser lauf", here / "data")
    folder.write_record({"a": 1})
    models = [folder.path / name for name in ("config.json", "baseline.json")]
    models += [folder.path / "tuning" / "tuning.json", folder.path / "flow-cache" / "a.npz"]
    for path in (folder.overlays / "1.png", folder.metrics, folder.last, folder.best(3), *models):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (folder.path / "notes.txt").write_text("mine", encoding="utf-8")
    folder.clear()
    assert {path.name for path in folder.path.rglob("*")} == {
        "notes.txt", "run.json", "checkpoints"
    }  # fmt: skip


def test_stages_of_a_replaced_run_go_but_for_files_of_others(here):
    folder = new_run_folder(here / "run", here / "data")
    stages = [RunFolder(path=folder.path / "stages" / name) for name in ("one", "two")]
    for stage in stages:
        stage.write_record({"a": 1})
        (stage.path / "config.json").touch()
        (stage.path / "notes.txt").touch()
    folder.remove_stages()
    assert [stage.is_begun for stage in stages] == [False, False]
    assert [stage.is_finished for stage in stages] == [False, False]
    assert all((stage.path / "notes.txt").is_file() for stage in stages)


def test_a_run_that_was_killed_before_its_record_is_begun_anew(here):
    out = here / "run"
    with new_run_folder(out, here / "data").occupied():
        (out / ".partial-run-x7.json").touch()
    with new_run_folder(out, here / "data").occupied():
        assert [path.name for path in out.iterdir()] == ["checkpoints"]


def test_one_process_at_a_time_trains_in_a_folder(here):
    folder = new_run_folder(here / "run", here / "data")
    with (
        folder.occupied(),
        pytest.raises(DataError, match="another process is training there"),
        folder.occupied(),
    ):
        pass
    with folder.occupied():
        pass


def test_where_there_are_no_locks_it_is_said(here, monkeypatch):
    def refuse(file, how):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    said = []
    with new_run_folder(here / "run", here / "data").occupied(said.append):
        assert "cannot lock files here (Function not implemented)" in said[0]


def test_a_folder_with_other_things_is_refused(here):
    out = here / "photos"
    out.mkdir()
    (out / "cat.png").touch()
    with pytest.raises(ConfigError, match="holds other files"):
        new_run_folder(out, here / "data")


def test_a_file_is_no_folder(here):
    (here / "file").touch()
    with pytest.raises(ConfigError, match="is a file"):
        new_run_folder(here / "file", here / "data")
    with pytest.raises(DataError, match="cannot make the folder"):
        new_run_folder(here / "file" / "run", here / "data")


def test_the_newest_run_is_continued_by_default(here):
    for out in (None, here / "none"):
        with pytest.raises(ModelError, match="no training run"):
            existing_run_folder(out)
    assert not (here / "none").exists()
    for name in ("train-001", "train-002"):
        RunFolder(path=here / "runs" / name).write_record({"a": 1})
    assert existing_run_folder(None).path.name == "train-002"
    RunFolder(path=here / "runs" / "train-002").empty([].append)
    assert existing_run_folder(None).path.name == "train-001"
    with pytest.raises(ModelError, match="no training run"):
        existing_run_folder(here / "runs" / "train-002")


def test_an_emptied_folder_is_still_a_runs(here):
    folder = new_run_folder(here / "run", here / "data")
    folder.write_record({"a": 1})
    (folder.path / "notes.txt").touch()
    folder.empty([].append)
    assert not folder.is_begun
    assert new_run_folder(here / "run", here / "data") == folder


def test_a_record_that_is_missing_or_broken_is_said(here):
    folder = RunFolder(path=here / "run")
    with pytest.raises(ModelError, match="cannot read"):
        folder.read_record()
    folder.write_record({"a": 1})
    assert folder.read_record() == {"a": 1}
    (here / "run" / "run.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="broken"):
        folder.read_record()
