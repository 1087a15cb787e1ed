"""A job that a scheduler stops and requeues: the same command line, in processes of their own."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from competition_folder import write_competition_folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="schedulers' signals are POSIX's")


def write_data(folder):
    labels = np.kron(np.arange(6).reshape(2, 3), np.ones((16, 16), int)).astype(np.int32)
    write_competition_folder(folder, [("one", 40 * labels, labels, {})])


def train(folder, n_epochs):
    return [
        "train", "--train-dir", folder / "data", "--out", folder / "run", "--init", "scratch",
        "--epochs", str(n_epochs), "--device", "cpu", "--set", "training.crop_size=32",
        "--set", "training.batch_size=2", "--set", "network.channels_per_level=[2,4]",
    ]  # fmt: skip


def test_a_job_that_is_stopped_and_requeued_ends_with_a_model(tmp_path):
    write_data(tmp_path / "data")
    first = [sys.executable, "-m", "cellflow_cli", *train(tmp_path, n_epochs=100_000)]
    with subprocess.Popen(first, stderr=subprocess.PIPE, text=True) as job:
        for line in job.stderr:
            if line.startswith("writing to"):
                job.send_signal(signal.SIGUSR1)
                break
        rest = job.stderr.read()
    assert job.returncode == 75, rest
    assert "stopped by SIGUSR1 in epoch" in rest
    assert not (tmp_path / "run" / "config.json").exists()
    # A budget now, so that there is an end.
    command = [*first, "--max-minutes", "0.05"]
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "continuing in epoch" in again.stderr
    assert again.stdout.strip() == str(tmp_path / "run")
    assert (tmp_path / "run" / "config.json").is_file()


def test_torchrun_starts_processes_of_which_one_speaks(tmp_path):
    write_data(tmp_path / "data")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*torchrun, "-m", "cellflow_cli", *train(tmp_path, n_epochs=2)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "run")
    assert done.stderr.count("done in ") == 1
    record = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    assert record["run"]["n_processes"] == 2
