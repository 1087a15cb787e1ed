"""The real families, on discs that a small network learns within seconds."""

import numpy as np
import pytest
import torch
from cellflow_cli.experiment import command
from click.testing import CliRunner
from drawn_discs import draw_discs

from cellflow.data.images import write_png
from cellflow.data.kaggle import KaggleImage, write_train_csv
from cellflow.data.rle import labels_to_masks
from cellflow.experiments.plan import read_experiment
from cellflow.experiments.run import finished_rows, open_bench, run_experiment

SMALL = """
folds = 2
[base]
{base}
[base.network]
channels_per_level = [4, 8]
diam_mean = 12.0
[base.training]
n_epochs = {n_epochs}
batch_size = 2
crop_size = 32
validate_every = {n_epochs}
learning_rate = 0.01
[base.inference]
tile_size = 64
precision = "float32"
[[variant]]
name = "small"
"""


@pytest.fixture(autouse=True)
def _one_thread():
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def discs(tmp_path):
    rng, rows = np.random.default_rng(1), []
    for k in range(4):
        image, labels = draw_discs(rng)
        (tmp_path / "discs" / "train").mkdir(parents=True, exist_ok=True)
        write_png(tmp_path / "discs" / "train" / f"disc{k}.png", image)
        metadata = {"cell_type": "cort"}
        rows.append(KaggleImage(name=f"disc{k}", masks=labels_to_masks(labels), metadata=metadata))
    write_train_csv(tmp_path / "discs" / "train.csv", rows)
    return tmp_path / "discs"


def write_experiment(tmp_path, base, n_epochs):
    path = tmp_path / "small.toml"
    path.write_text(SMALL.format(base=base, n_epochs=n_epochs))
    return path


def test_an_experiment_killed_in_a_training_gives_the_same_store_as_one_in_one_go(discs, tmp_path):
    plan = read_experiment(write_experiment(tmp_path, 'init = "scratch"', 3))
    whole = run_experiment(plan, open_bench(plan, discs, tmp_path / "whole"), device="cpu")

    def stop(step, numbers):
        if step == 2:
            raise KeyboardInterrupt

    bench = open_bench(plan, discs, tmp_path / "killed")
    with pytest.raises(KeyboardInterrupt):
        run_experiment(plan, bench, device="cpu", report=stop)
    assert finished_rows(plan, bench) == []
    rows = run_experiment(plan, bench, device="cpu")
    assert [(row.key, row.images) for row in rows] == [(row.key, row.images) for row in whole]
    assert [[s for s, _, _ in row.curve] for row in rows] == [[3], [3]]
    assert all(row.facts["n_parameters"] > 1000 and row.facts["n_steps"] == 3 for row in rows)


def test_the_command_line_prints_the_table_and_then_reads_it_from_the_store(discs, tmp_path):
    file = write_experiment(tmp_path, 'init = "scratch"', 1)
    places = ["--train-dir", str(discs), "--store", str(tmp_path / "store")]
    ran = CliRunner().invoke(command, ["run", str(file), *places, "--device", "cpu"])
    assert ran.exit_code == 0, ran.output
    read = CliRunner().invoke(command, ["table", str(file), *places])
    assert read.exit_code == 0
    assert read.stdout == ran.stdout
    assert "| small |" in read.stdout


@pytest.mark.reference
def test_cellpose_itself_trains_and_predicts_on_the_same_folds(discs, tmp_path):
    file = write_experiment(tmp_path, 'family = "cellpose"', 2)
    text = file.read_text().replace("channels_per_level = [4, 8]\ndiam_mean = 12.0", "")
    file.write_text(text)
    plan = read_experiment(file)
    bench = open_bench(plan, discs, tmp_path / "store")
    rows = run_experiment(plan, bench, device="cpu")
    assert sorted(image for row in rows for image in row.images) == [f"disc{k}" for k in range(4)]
    assert {row.facts["n_steps"] for row in rows} == {2}
    assert {row.facts["n_parameters"] for row in rows} == {6_600_845}
