"""A job that a scheduler stops and requeues: the same command line, in processes of their own."""

import signal
import subprocess
import sys

import numpy as np
import pytest

from cellflow.data.images import write_png
from cellflow.data.kaggle import KaggleImage, write_train_csv
from cellflow.data.rle import labels_to_masks

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="schedulers' signals are POSIX's")


def write_data(folder):
    labels = np.kron(np.arange(6).reshape(2, 3), np.ones((16, 16), int)).astype(np.int32)
    write_png(folder / "train" / "one.png", (40 * labels).astype(np.uint8))
    image = KaggleImage(name="one", masks=labels_to_masks(labels), metadata={})
    write_train_csv(folder / "train.csv", [image])


def test_a_job_that_is_stopped_and_requeued_ends_with_a_model(tmp_path):
    write_data(tmp_path / "data")
    command = [
        sys.executable, "-m", "cellflow_cli", "train", "--train-dir", tmp_path / "data",
        "--out", tmp_path / "run", "--init", "scratch", "--epochs", "100000", "--device", "cpu",
        "--max-minutes", "0.05", "--set", "training.crop_size=32",
        "--set", "training.batch_size=1", "--set", "network.channels_per_level=[2,4]",
    ]  # fmt: skip
    # No budget yet, so that the signal is what ends the first sitting.
    first = [part for part in command if part not in ("--max-minutes", "0.05")]
    with subprocess.Popen(first, stderr=subprocess.PIPE, text=True) as job:
        for line in job.stderr:
            if line.startswith("writing to"):
                job.send_signal(signal.SIGUSR1)
                break
        rest = job.stderr.read()
    assert job.returncode == 75, rest
    assert "stopped by SIGUSR1 in epoch" in rest
    assert not (tmp_path / "run" / "config.json").exists()
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "continuing in epoch" in again.stderr
    assert again.stdout.strip() == str(tmp_path / "run")
    assert (tmp_path / "run" / "config.json").is_file()
