"""A disk that takes no more: one line, nothing half-written, what stood there before stays."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import unprivileged
from unprivileged import needs_permissions

CODE = "import cellflow_cli; cellflow_cli.main()"
UNPRIVILEGED = f"""
import sys; sys.path.insert(0, {str(Path(unprivileged.__file__).parent)!r})
import unprivileged, cellflow_cli
with unprivileged.without_root_powers():
    cellflow_cli.main()
"""
COMMANDS = {
    "folds": ["folds", "{data}", "--out", "{out}/folds.json", "--n-folds", "2"],
    "show": ["show", "{data}/train", "--masks", "{data}/train.csv", "--out", "{out}"],
    "synth": ["synth", "--out", "{out}/new", "--images", "1", "--test-images", "0"],
}


def run(command, data, out, code=CODE, **options):
    arguments = [part.format(data=data, out=out) for part in COMMANDS[command]]
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, check=False, **options,
    )  # fmt: skip


def contents(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk(command, competition, tmp_path):
    """A limit of 200 bytes a file stands for the full disk: the system refuses the same write."""
    out = tmp_path / "out"
    out.mkdir()

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))

    # Compiled kernels must not fall under the limit as well.
    done = run(
        command,
        competition,
        out,
        preexec_fn=limit,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    )
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stderr.splitlines() if "error" in line]
    assert any("cannot write" in line for line in lines), done.stderr
    assert "Traceback" not in done.stderr
    # What `synth` was asked for is a small file that still fits.
    assert [path.name for path in contents(out) if path.name != "synth.json"] == []


@needs_permissions
@pytest.mark.parametrize("command", COMMANDS)
def test_a_read_only_folder(command, competition, tmp_path):
    out = tmp_path / "out"
    out.mkdir(mode=0o555)
    done = run(command, competition, out, code=UNPRIVILEGED)
    assert contents(out) == []
    assert done.returncode == 1, done.stderr
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_where_a_folder_is_needed(command, competition, tmp_path):
    out = tmp_path / "out"
    out.write_text("mine")
    done = run(command, competition, out)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert out.read_text() == "mine"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_result_that_cannot_be_printed_is_one_line(competition):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", CODE, "folds", str(competition), "--n-folds", "2", "--out",
             str(competition.parent / "f.json")],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "error: cannot write the result: No space left on device"
    )
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="pipes are closed in another way there")
def test_a_reader_that_has_seen_enough_is_no_error(competition):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", CODE, "folds", str(competition), "--n-folds", "2", "--out",
         str(competition.parent / "f.json")],
        stdout=write, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(write)
    assert "rror" not in done.stderr
