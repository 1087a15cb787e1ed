"""A file is whole or absent."""

import errno
import os
from pathlib import Path

import pytest
from unprivileged import needs_permissions, without_root_powers

from cellflow.atomic import atomic_path, check_outputs, write_json, write_text
from cellflow.errors import ConfigError, DataError


def test_the_content_arrives_under_the_final_name_only(tmp_path):
    target = tmp_path / "new folder" / "ümlaut.txt"
    write_text(target, "one\ntwo\n")
    assert target.read_bytes() == b"one\ntwo\n"
    assert [path.name for path in target.parent.iterdir()] == ["ümlaut.txt"]


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path):
    target = tmp_path / "a.json"
    write_json(target, {"old": 1})
    with pytest.raises(TypeError):
        write_json(target, {"new": object()})
    with pytest.raises(RuntimeError), atomic_path(target) as path:
        path.write_text("half")
        raise RuntimeError
    assert target.read_text() == '{\n  "old": 1\n}\n'
    assert list(tmp_path.iterdir()) == [target]


def test_a_name_that_is_no_utf8_is_one_sentence_and_leaves_nothing(tmp_path):
    name = os.fsdecode(b"Z\xfcrich")
    with pytest.raises(
        DataError, match=r"cannot write .*a\.csv: 'Z\\udcfcrich.* is not valid UTF-8"
    ):
        write_text(tmp_path / "a.csv", f"{name},1 2\n")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    target = tmp_path / "a.csv"
    with (
        pytest.raises(DataError, match=r"cannot write .*a\.csv: No space left"),
        atomic_path(target) as path,
    ):
        path.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_a_parent_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "link.csv").symlink_to("/proc/none/there.csv")
    check_outputs([], [tmp_path / "link.csv"])
    with pytest.raises(DataError, match="cannot write"):
        write_text(tmp_path / "file" / "a.txt", "")


@needs_permissions
def test_a_read_only_folder_is_one_sentence(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="cannot write"), without_root_powers():
        write_text(tmp_path / "a.txt", "")
    assert list(tmp_path.iterdir()) == []


def test_written_files_follow_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "")
    finally:
        os.umask(old)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_writing_leaves_the_umask_to_other_threads(tmp_path, monkeypatch):
    def refuse(mask):
        raise AssertionError("for a moment other threads would write files for everyone")

    monkeypatch.setattr(os, "umask", refuse)
    write_text(tmp_path / "a.txt", "")
    assert (tmp_path / "a.txt").is_file()


def test_a_file_that_the_block_puts_there_follows_the_umask_too(tmp_path):
    with atomic_path(tmp_path / "a.txt") as path:
        path.unlink()
        path.touch(mode=0o600)
    (tmp_path / "b.txt").touch()
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


def test_an_output_that_is_read_or_written_already_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source, other = tmp_path / "a.csv", tmp_path / "b.csv"
    check_outputs([source], [other, tmp_path / "c.csv"])
    with pytest.raises(ConfigError, match=r"a\.csv: is an input of this command"):
        check_outputs([source], [Path("a.csv")])
    with pytest.raises(ConfigError, match=r"b\.csv: two outputs would be written there"):
        check_outputs([source], [other, Path("b.csv")])


def test_outputs_that_cannot_be_written_are_told_before_the_work(tmp_path):
    check_outputs([], [tmp_path / "new" / "deep" / "a.csv", tmp_path])
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write .*a\.csv: Not a directory"):
        check_outputs([], [tmp_path / "file" / "a.csv"])
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(DataError, match="cannot write"), without_root_powers():
            check_outputs([], [tmp_path / "new" / "a.csv"])
    finally:
        tmp_path.chmod(0o700)
