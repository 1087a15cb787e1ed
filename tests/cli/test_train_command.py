"""`cellflow train`: options reach the settings, facts go to stderr, the folder to stdout."""

import os
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import entry_points

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from competition_folder import write_competition_folder

from cellflow.atomic import write_json
from cellflow.config import Config, DataConfig, NetworkConfig, TrainingConfig
from cellflow.configfile import config_to_dict
from cellflow.network.cpnet import build_network
from cellflow.network.model_folder import write_model_folder
from cellflow.training.interruption import REQUEUE_EXIT_CODE


def run(*arguments):
    (entry,) = entry_points(group="console_scripts", name="cellflow")
    entry.load()
    from cellflow_cli import cellflow

    return CliRunner().invoke(cellflow, ["train", *map(str, arguments)])


@pytest.fixture
def calls(monkeypatch):
    """What `fine_tune` is called with, instead of training."""
    seen = []

    def record(train_dir, out, config, **options):
        options |= {"out": out, "config": config}
        seen.append((train_dir, options))
        return options["out"] or train_dir / "numbered"

    monkeypatch.setattr("cellflow.training.stages.fine_tune", record)
    return seen


def test_every_option_reaches_its_place(calls, tmp_path):
    result = run(
        "--train-dir", tmp_path, "--out", tmp_path / "run", "--init", "scratch", "--epochs", 7,
        "--batch-size", 3, "--learning-rate", 0.1, "--seed", 5, "--max-minutes", 2,
        "--folds", tmp_path, "--fold", 1, "--format", "kaggle", "--overwrite", "--device", "cpu",
        "--set", "training.crop_size=64",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "run")
    ((train_dir, options),) = calls
    training = options["config"].training
    assert train_dir == tmp_path
    assert (training.n_epochs, training.batch_size, training.learning_rate) == (7, 3, 0.1)
    assert (training.seed, training.max_minutes, training.crop_size) == (5, 2.0, 64)
    assert (options["init"], options["device"], options["layout"]) == ("scratch", "cpu", "kaggle")
    assert (options["fold"], options["resume"], options["overwrite"]) == (1, False, True)
    assert options["folds_file"] == tmp_path


def test_stages_reach_their_function(monkeypatch, tmp_path):
    seen = []

    def record(train_dir, **options):
        seen.append(options)
        return tmp_path

    monkeypatch.setattr("cellflow.training.stages.train_in_stages", record)
    given = ["--pretrain-dir", tmp_path, "--pretrain-dir", ".", "--final", "all"]
    assert run("--train-dir", tmp_path, *given, "--estimate", tmp_path).exit_code == 0
    assert [str(path) for path in seen[0]["pretrain_dirs"]] == [str(tmp_path), "."]
    assert (seen[0]["refit"], seen[0]["estimates"]) == ("all", (tmp_path,))


def test_hours_and_minutes_are_one_budget_and_the_wall_limit_another(calls, tmp_path):
    assert run("--train-dir", tmp_path, "--max-hours", 1.5, "--stop-after", "2h").exit_code == 0
    ((_, options),) = calls
    assert options["config"].training.max_minutes == 90
    assert options["stop_after"] == 7200
    both = run("--train-dir", tmp_path, "--max-hours", 1, "--max-minutes", 1)
    assert both.exit_code == 2
    assert "the same setting" in both.output


@pytest.mark.parametrize("text", ["2", "h", "-1h", "nanh", "2 days"])
def test_a_time_without_a_unit_is_wrong_usage(calls, tmp_path, text):
    result = run("--train-dir", tmp_path, f"--stop-after={text}")
    assert result.exit_code == 2
    assert "expected a time such as 90s, 30m or 9h" in result.output


@pytest.mark.parametrize(
    ("flag", "value", "setting"),
    [
        ("--n_epochs", 9, "n_epochs"),
        ("--n-epochs", 9, "n_epochs"),
        ("--learning_rate", 0.25, "learning_rate"),
        ("--batch_size", 4, "batch_size"),
    ],
)
def test_cellposes_flag_names_work(calls, tmp_path, flag, value, setting):
    run("--dir", tmp_path, flag, value)
    assert getattr(calls[0][1]["config"].training, setting) == value


def test_the_training_folder_is_required_and_must_exist(calls, tmp_path):
    assert run().exit_code == 2
    assert run("--train-dir", tmp_path / "none").exit_code == 2
    assert not calls


def test_a_run_prints_its_folder_to_stdout_and_all_else_to_stderr(tmp_path):
    labels = np.kron(np.arange(6).reshape(2, 3), np.ones((16, 16), int)).astype(np.int32)
    write_competition_folder(tmp_path / "data", [("one", 40 * labels, labels, {})])
    result = run(
        "--train-dir", tmp_path / "data", "--out", tmp_path / "run", "--init", "scratch",
        "--epochs", 1, "--batch-size", 1, "--device", "cpu", "--set", "training.crop_size=32",
        "--set", "network.channels_per_level=[2,4]",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "run")
    assert "kaggle layout, 1 image with 5 cells" in result.stderr
    assert "1 epoch of 1 step, 1 crop of 32 px a step" in result.stderr
    assert "training: step 1/1" in result.stderr


def test_a_continued_run_keeps_its_settings_but_those_that_are_given(calls, tmp_path):
    config = Config(training=TrainingConfig(n_epochs=7, max_minutes=30, n_workers=2))
    write_json(tmp_path / "run" / "run.json", {"config": config_to_dict(config)})
    given = "--train-dir", tmp_path, "--out", tmp_path / "run", "--resume"
    assert run(*given).exit_code == 0
    assert calls[0][1]["config"] == config
    assert run(*given, "--set", "training.n_workers=0").exit_code == 0
    assert calls[1][1]["config"].training == replace(config.training, n_workers=0)


def test_channels_and_percentiles_are_those_of_the_start_unless_others_are_given(calls, tmp_path):
    start, settings = tmp_path / "start", DataConfig(channels=(2, 1), high_percentile=98.0)
    config = Config(network=NetworkConfig(channels_per_level=(4, 8)), data=settings)
    network = build_network(config.network, torch.Generator().manual_seed(0))
    write_model_folder(start, network, config, diameter=17.0, record={}, card="# card\n")
    for options, channels in (
        ((), (2, 1)),
        (("--chan", 3), (3, 1)),
        (("--chan", 0, "--chan2", 0), (0, 0)),
        (("--set", "data.channels=[0, 0]"), (0, 0)),
    ):
        assert run("--train-dir", tmp_path, "--init", start, *options).exit_code == 0
        assert calls[-1][1]["config"].data == replace(settings, channels=channels)
    assert run("--train-dir", tmp_path, "--init", start / "cellpose_model").exit_code == 0
    assert calls[-1][1]["config"] == Config()


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_outside_its_range_is_wrong_usage(calls, tmp_path, seed):
    result = run("--train-dir", tmp_path, "--seed", seed)
    assert result.exit_code == 2
    assert "is not in the range" in result.output


def test_help_needs_no_torch():
    import subprocess

    code = (
        "import sys; from cellflow_cli.train import command; "
        "print('torch' in sys.modules, 'numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def train_with_a_signal_while_torch_loads(folder, name, **environment):
    """Run `train` with a torch that sends the signal instead of being loaded."""
    (folder / "torch.py").write_text(
        f"import signal, time\nsignal.raise_signal(signal.{name})\ntime.sleep(20)\n"
    )
    (folder / "data").mkdir()
    return subprocess.run(
        [sys.executable, "-m", "cellflow_cli", "train", "--train-dir", "data"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGUSR1")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_schedulers_signal_while_torch_is_loaded_asks_to_be_run_again(tmp_path, name):
    done = train_with_a_signal_while_torch_loads(tmp_path, name)
    assert done.returncode == REQUEUE_EXIT_CODE, done.stderr
    assert f"stopped by {name}" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM that can be caught")
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", REQUEUE_EXIT_CODE), ("SIGINT", 130)])
def test_of_several_processes_only_the_first_tells_that_it_was_stopped(tmp_path, name, code):
    done = train_with_a_signal_while_torch_loads(tmp_path, name, RANK="1", WORLD_SIZE="2")
    assert (done.returncode, done.stdout, done.stderr.strip()) == (code, "", "")


def test_ctrl_c_while_torch_is_loaded_tells_that_the_same_command_begins_again(tmp_path):
    done = train_with_a_signal_while_torch_loads(tmp_path, "SIGINT")
    assert done.returncode == 130, done.stderr
    assert "stopped before the first step; run the same command again" in done.stderr
