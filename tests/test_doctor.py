"""The report looks only; warming leaves nothing to compile."""

import os
import subprocess
import sys

import pytest

from cellflow.doctor import machine_report, warm_kernels


def test_the_report_names_versions_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path / "models"))
    report = machine_report()
    assert report["weights cyto3"].startswith("none: no weights of cyto3 at ")
    assert {"cellflow", "torch", "device auto", "precision auto", "kernel cache"} <= set(report)
    assert "torchvision" in report["extra rcnn"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.needs_jit
def test_warming_runs_the_main_job_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert warm_kernels() > 0
    assert list(tmp_path.glob("tmp*")) == []


@pytest.mark.slow
@pytest.mark.needs_jit
def test_after_warming_no_command_compiles(competition_folder, tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def run(*arguments):
        code = "import cellflow_cli; cellflow_cli.main()"
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return "compiling numerical kernels" in done.stderr

    small = "--set", "network.channels_per_level=[2,4]", "--set", "training.crop_size=64"
    low = "--cellprob-threshold", "-9", "--flow-threshold", "0"
    data, model, found = competition_folder, tmp_path / "model", tmp_path / "found.csv"
    assert run("doctor", "--warm")
    assert not run("check", data)
    assert not run("train", "--train-dir", data, "--init", "scratch", "--epochs", 1, *small,
                   "--out", model)  # fmt: skip
    assert not run("predict", data, "--model", model, "--out", found, *low)
    assert not run("score", found, "--truth", data / "test.csv")
    assert not run("show", data / "train", "--masks", data / "train.csv", "--out", tmp_path / "p")
    assert not run("folds", data, "--n-folds", 2, "--out", tmp_path / "f.json", "--export", "coco",
                   "--export-dir", tmp_path / "folds")  # fmt: skip


@pytest.fixture
def competition_folder(tmp_path):
    from cellflow.synth.competition import write_competition

    write_competition(tmp_path / "data", 4, 0, n_test_images=1)
    return tmp_path / "data"
