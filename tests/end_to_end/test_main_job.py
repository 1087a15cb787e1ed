"""From annotated images to a score, through the commands that a user types."""

import json

import numpy as np
import pytest
import torch
from cellflow_cli import main
from competition_folder import write_competition_folder

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = [
    "--init", "scratch", "--epochs", "30", "--batch-size", "4", "--learning-rate", "0.01",
    "--device", "cpu", "--set", "network.channels_per_level=[8, 16]",
    "--set", "network.diam_mean=12.0", "--set", "training.crop_size=48",
    "--set", "training.validate_every=15", "--set", "training.precision=float32",
    "--set", "inference.tile_size=64", "--set", "inference.precision=float32",
]  # fmt: skip


def draw(folder, n_images, seed):
    """Bright discs on grey noise, as a competition folder; some touch."""
    rng, images = np.random.default_rng(seed), []
    y, x = np.mgrid[:64, :80]
    for number in range(n_images):
        labels = np.zeros((64, 80), np.int32)
        for label, (row, column) in enumerate(rng.permutation(15)[:9, None] // [5, 1] % [3, 5], 1):
            centre = 12 + 20 * row + rng.integers(-2, 3), 8 + 16 * column + rng.integers(-2, 3)
            labels[np.hypot(y - centre[0], x - centre[1]) < 5.5] = label
        picture = 90 + 90 * (labels > 0) + rng.normal(0, 12, labels.shape)
        images.append((f"{seed}-{number}", picture, labels, {"cell_type": "cort"}))
    return write_competition_folder(folder, images)


@pytest.fixture
def cellflow(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["cellflow", *map(str, arguments)])
        monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
        try:
            main()
        except SystemExit as stop:
            pytest.fail(f"exit code {stop.code}: {capsys.readouterr().err}")
        return capsys.readouterr()

    return run


def test_train_predict_score_compare_show(cellflow, tmp_path):
    data, held_out = draw(tmp_path / "data", 8, 1), draw(tmp_path / "held out", 4, 2)
    run, ours = tmp_path / "runs/first", tmp_path / "ours.csv"
    assert cellflow("train", "--train-dir", data, "--out", run, *TINY).out.strip() == str(run)
    cellflow("predict", held_out / "train", "--model", run, "--out", ours)
    truth = held_out / "train.csv"
    score = json.loads(cellflow("score", ours, "--truth", truth, "--json").out)["overall"]
    # A network that knows nothing scores 0 here, a good one above 0.9.
    assert score["mean"] > 0.4
    assert score["low"] <= score["mean"] <= score["high"]

    # The next run begins with the first one's weights, as after correcting its masks in the GUI.
    second, again = tmp_path / "runs/second", tmp_path / "again.csv"
    options = [*TINY[2:], "--epochs", 2, "--learning-rate", 1e-5]
    cellflow("train", "--train-dir", data, "--out", second, "--init", run, *options)
    cellflow("predict", held_out / "train", "--model", second, "--out", again)
    pair = json.loads(cellflow("compare", again, ours, "--truth", truth, "--json").out)["pairs"][0]
    assert abs(pair["difference"]["estimate"]) < 0.2
    shown = cellflow("show", held_out / "train", "--masks", ours, "--out", tmp_path / "drawn")
    assert "4 pictures" in shown.out


def test_masks_corrected_as_seg_files_are_trained_on(cellflow, tmp_path):
    data = draw(tmp_path / "data", 4, 3)
    run = tmp_path / "run"
    short = [*TINY, "--epochs", 4]
    cellflow("train", "--train-dir", data, "--out", run, *short)
    # Into the folder of the images, where the GUI looks for them.
    low = ["--cellprob-threshold", "-6", "--flow-threshold", "0", "--min-size", "5"]
    images = data / "train"
    cellflow("predict", images, "--model", run, "--out", images, "--as", "seg", *low)
    said = cellflow(
        "train", "--train-dir", images, "--init", run, "--out", tmp_path / "b", *short[2:]
    )
    assert "cellpose layout" in said.err


@pytest.mark.slow
@pytest.mark.reference
def test_a_trained_model_finds_the_same_cells_in_cellpose(tmp_path):
    """Full-size network, trained for a hundred steps whatever time they take; the cells agree."""
    torch.set_num_threads(2)
    models = pytest.importorskip("cellpose.models")
    from dataclasses import replace

    from cellflow.data.images import read_image
    from cellflow.demo import demo_config
    from cellflow.inference.predict import load_model
    from cellflow.metrics.average_precision import average_precision
    from cellflow.synth.competition import write_competition
    from cellflow.training.fine_tune import fine_tune

    write_competition(tmp_path / "data", 12, 0, n_test_images=6)
    config = demo_config(0, 1.5)
    exact = replace(
        config,
        training=replace(config.training, max_minutes=None, n_epochs=50, images_per_epoch=16),
        inference=replace(config.inference, precision="float32"),
        dynamics=replace(config.dynamics, tolerance=0.0),
    )
    fine_tune(tmp_path / "data", tmp_path / "model", exact, init="scratch", device="cpu")
    ours = load_model(tmp_path / "model", device="cpu")
    theirs = models.CellposeModel(
        gpu=False, pretrained_model=str(tmp_path / "model/cellpose_model")
    )
    counts = []
    for path in (tmp_path / "data/test").glob("*.png"):
        image = read_image(path)
        found = ours.predict(image, path.stem).labels
        masks, _, _ = theirs.eval(image, channels=[0, 0], diameter=ours.diameter)
        counts.append(average_precision(masks.astype(np.int32), found).counts)
    same = sum(int(count.tp[-1]) for count in counts)
    different = sum(int(count.fp[-1] + count.fn[-1]) for count in counts)
    assert same > 200
    assert same / (same + different) >= 0.99
