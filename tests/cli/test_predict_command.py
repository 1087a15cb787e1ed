"""`cellflow predict`: every kind of output, the model it takes, and what it refuses."""

import csv
import json
import os
import signal
import sys
import time

import numpy as np
import pytest
import tifffile
import torch
from roifile import roiread

from cellflow.config import Config, DynamicsConfig, InferenceConfig, NetworkConfig
from cellflow.data.images import list_images, write_png
from cellflow.data.seg_files import read_seg_labels
from cellflow.data.submission import read_submission
from cellflow.inference import folder
from cellflow.network.cpnet import build_network
from cellflow.network.model_folder import write_model_folder
from cellflow.training.interruption import REQUEUE_EXIT_CODE

CONFIG = Config(
    network=NetworkConfig(channels_per_level=(4, 8), diam_mean=17.0),
    inference=InferenceConfig(tile_size=64, precision="float32"),
    # A random network has flows of no shape; without the check it gives cells to look at.
    dynamics=DynamicsConfig(flow_threshold=0.0, min_size=5),
)


@pytest.fixture
def model(tmp_path):
    network = build_network(CONFIG.network, torch.Generator().manual_seed(0))
    network.output[2].bias.data[2] += 3
    folder = tmp_path / "modell ü"
    write_model_folder(folder, network, CONFIG, diameter=17.0, record={}, card="# card\n")
    return folder


@pytest.fixture
def images(competition):
    return competition / "train"


def test_that_no_image_has_a_cell_is_said_with_what_may_be_wrong(cellflow, model, images, tmp_path):
    out = tmp_path / "o.csv"
    done = cellflow("predict", images, "--model", model, "--out", out, "--diameter", 100_000)
    assert done.code == 0
    assert done.out.startswith("0 cells in 4 images")
    assert done.err.count("no cell in any image: is the diameter right (--diameter)") == 1
    done = cellflow("predict", images, "--model", model, "--out", tmp_path / "p.csv")
    assert "no cell in any image" not in done.err


def test_coco_results_have_the_ids_of_the_truth_where_it_is_given(
    cellflow, model, images, tmp_path
):
    out, names = tmp_path / "r.json", tmp_path / "names.csv"
    rows = [f"{17 + n},{path.name}\n" for n, path in enumerate(list_images(images))]
    names.write_text("".join(["id,file_name\n", *rows]))
    command = ["predict", images, "--model", model, "--out", out, "--image-names"]
    assert cellflow(*command, names).code == 0
    found = {item["image_id"] for item in json.loads(out.read_text())}
    assert found
    assert found <= {17, 18, 19, 20}
    names.write_text("id,file_name\n17,a.png\n")
    assert cellflow(*command, names).errors == [f"error: {names}: has no id for c, d, ä b"]


def test_a_submission_has_a_row_for_every_image_and_passes_the_check(
    cellflow, model, images, tmp_path
):
    out = tmp_path / "aus ö.csv"
    done = cellflow("predict", images, "--model", model, "--out", out)
    assert done.code == 0, done.err
    found = read_submission(out, (40, 120))
    assert list(found) == ["a", "c", "d", "ä b"]
    assert done.out.split(" cells in 4 images")[0] == str(sum(map(len, found.values())))
    assert "modell ü on cpu" in done.err
    checked = cellflow("check", out, "--truth", images.parent / "train.csv")
    assert checked.code == 0, checked.out


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM to one's own process")
def test_a_schedulers_signal_asks_to_be_run_again(cellflow, model, images, tmp_path, monkeypatch):
    def told_to_end(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    monkeypatch.setattr(folder, "predict_folder", told_to_end)
    done = cellflow("predict", images, "--model", model, "--out", tmp_path / "o.csv")
    assert done.code == REQUEUE_EXIT_CODE
    assert "the same command continues from here" in done.err
    assert "stopped by SIGTERM" in done.err


def test_a_table_of_cells_is_a_csv(cellflow, images, tmp_path):
    done = cellflow("predict", images, "--out", tmp_path / "o.csv", "--cells", images / "a.png")
    assert done.code == 2
    assert "a.png: expected a name that ends in .csv" in done.err


def test_all_outputs_tell_of_the_same_cells(cellflow, model, images, tmp_path):
    done = cellflow(
        "predict", images, "--model", model, "--out", tmp_path / "s.csv",
        "--out", tmp_path / "r.json", "--out", tmp_path / "labels", "--cells", tmp_path / "c.csv",
        "--counts", tmp_path / "n.csv", "--overlays", tmp_path / "drawn",
    )  # fmt: skip
    assert done.code == 0, done.err
    found = read_submission(tmp_path / "s.csv", (40, 120))
    n_cells = {name: len(masks) for name, masks in found.items()}
    results = json.loads((tmp_path / "r.json").read_text())
    with (tmp_path / "c.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (tmp_path / "n.csv").open() as file:
        counted = {row["image"]: int(row["cells"]) for row in csv.DictReader(file)}
    assert counted == n_cells
    for name, count in n_cells.items():
        labels = tifffile.imread(tmp_path / "labels" / f"{name}_masks.tif")
        assert labels.max() == count
        assert sum(result["image_id"] == name for result in results) == count
        assert sum(row["image"] == name for row in rows) == count
    assert len(list_images(tmp_path / "drawn")) == 4


@pytest.mark.parametrize("kind", ["seg", "roi"])
def test_folders_for_the_cellpose_gui_and_for_imagej(cellflow, model, images, tmp_path, kind):
    cellflow("predict", images, "--model", model, "--out", tmp_path / "s.csv")
    count = len(read_submission(tmp_path / "s.csv", (40, 120))["a"])
    cellflow("predict", images, "--model", model, "--out", tmp_path / "out", "--as", kind)
    if kind == "seg":
        assert read_seg_labels(tmp_path / "out/a_seg.npy").max() == count
    else:
        assert len(roiread(tmp_path / "out/a_rois.zip")) == count


def test_the_newest_run_is_the_default_and_the_variable_comes_first(
    cellflow, model, images, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CELLFLOW_MODEL", raising=False)
    done = cellflow("predict", images, "--out", "s.csv")
    assert done.code == 1
    assert "or train one first" in done.errors[0]
    (tmp_path / "runs").mkdir()
    model.rename(tmp_path / "runs/first")
    assert "first on cpu" in cellflow("predict", images, "--out", "s.csv").err
    monkeypatch.setenv("CELLFLOW_MODEL", str(tmp_path / "nowhere"))
    done = cellflow("predict", images, "--out", "s.csv")
    assert "nowhere" in done.errors[0]


def test_options_reach_the_model(cellflow, model, images, tmp_path):
    none = cellflow(
        "predict", images, "--model", model, "--out", tmp_path / "s.csv",
        "--cellprob_threshold", 50, "--diameter", 12.5,
    )  # fmt: skip
    assert none.out.startswith("0 cells in 4 images")
    assert "diameter 12.5 px" in none.err
    bad = cellflow(
        "predict", images, "--model", model, "--out", tmp_path / "s.csv", "--set", "dynamics.x=1"
    )
    assert bad.code == 1
    assert "dynamics.x" in bad.errors[0]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--views", 3),
        ("--diameter", -1),
        ("--flow-threshold", -0.1),
        ("--cellprob-threshold", "nan"),
        ("--min-size", -1),
    ],
)
def test_a_wrong_value_is_refused_by_its_option_before_weights_are_read(
    cellflow, model, images, tmp_path, monkeypatch, option, value
):
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path / "none"))
    (model / "weights.safetensors").write_bytes(b"broken")
    (model / "cellpose_model").write_bytes(b"broken")
    for source in (model, model / "cellpose_model", "cyto3"):
        out = tmp_path / "s.csv"
        done = cellflow("predict", images, "--model", source, "--out", out, option, value)
        assert (done.code, len(done.errors)) == (1, 1)
        assert done.errors[0].startswith(f"error: {option}: expected ")


def test_one_unreadable_image_is_named_and_the_rest_is_written(cellflow, model, images, tmp_path):
    (images / "c.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    done = cellflow("predict", images, "--model", model, "--out", tmp_path / "s.csv")
    assert done.code == 1
    assert any("c.png" in line for line in done.errors)
    assert "error: 1 of 4 images could not be processed; " in done.errors[-1]
    assert "partial keeps the other results for another try, and may be deleted" in done.errors[-1]
    assert list(read_submission(tmp_path / "s.csv", (40, 120))) == ["a", "d", "ä b"]
    again = cellflow("predict", images, "--model", model, "--out", tmp_path / "s.csv")
    assert "in 3 images, 3 of them done before: " in again.out


def test_an_interrupted_run_says_how_to_go_on(cellflow, model, images, tmp_path, monkeypatch):
    from cellflow.inference.model import Model

    start, calls = Model.start, []

    def stop(self, *arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return start(self, *arguments)

    monkeypatch.setattr(Model, "start", stop)
    done = cellflow("predict", images, "--model", model, "--out", tmp_path / "s.csv")
    assert done.code == 130
    assert "the same command continues from here" in done.err
    assert not (tmp_path / "s.csv").exists()
    calls.clear()
    monkeypatch.setattr(Model, "start", start)
    assert cellflow("predict", images, "--model", model, "--out", tmp_path / "s.csv").code == 0
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (7, 5), (40, 120, 3)])
def test_images_of_any_size_and_colour(cellflow, model, tmp_path, rng, shape):
    write_png(tmp_path / "in/x.png", rng.integers(0, 255, shape, np.uint8))
    done = cellflow("predict", tmp_path / "in", "--model", model, "--out", tmp_path / "s.csv")
    assert done.code == 0, done.err


def test_no_images_and_a_folder_that_is_no_model_are_refused(cellflow, model, images, tmp_path):
    (tmp_path / "empty").mkdir()
    done = cellflow("predict", tmp_path / "empty", "--model", model, "--out", tmp_path / "s.csv")
    assert (done.code, len(done.errors)) == (1, 1)
    assert "empty: no images" in done.errors[0]
    done = cellflow("predict", images, "--model", tmp_path / "empty", "--out", tmp_path / "s.csv")
    assert (done.code, len(done.errors)) == (1, 1)
    assert "empty" in done.errors[0]
    assert not (tmp_path / "s.csv").exists()


def test_ten_thousand_images_are_listed_and_the_first_is_found(cellflow, model, tmp_path):
    # Files that are no pictures: each is named, and the one that is gets its row.
    folder = tmp_path / "many"
    write_png(folder / "i0.png", np.full((20, 20), 9, np.uint8))
    for number in range(1, 10_000):
        (folder / f"i{number}.png").touch()
    done = cellflow("predict", folder, "--model", model, "--out", tmp_path / "s.csv")
    assert done.errors[-1].startswith("error: 9999 of 10000 images could not be processed; ")
    assert list(read_submission(tmp_path / "s.csv", (20, 20))) == ["i0"]


def test_channels_are_chosen_as_in_cellpose_and_their_mean_is_told(cellflow, model, tmp_path, rng):
    colours = rng.integers(0, 255, (60, 80, 3), np.uint8)
    for name in ("a", "b"):
        write_png(tmp_path / "pictures" / f"{name}.png", colours)
    given = ("predict", tmp_path / "pictures", "--model", model, "--device", "cpu", "--out")
    mean = cellflow(*given, tmp_path / "mean.csv")
    assert mean.err.count("3 channels, using their mean; --chan selects one") == 1
    red = cellflow(*given, tmp_path / "red.csv", "--chan", 1, "--chan2", 3)
    same = cellflow(*given, tmp_path / "same.csv", "--set", "data.channels=[1, 3]")
    assert (red.code, same.code) == (0, 0)
    assert "of which the mean" not in red.err
    assert (tmp_path / "red.csv").read_text() == (tmp_path / "same.csv").read_text()
    assert (tmp_path / "red.csv").read_text() != (tmp_path / "mean.csv").read_text()
    assert cellflow(*given, tmp_path / "no.csv", "--chan", 4).code == 2
    # One of them leaves the other as it is below: in a file, by --set, or of the model.
    rest = cellflow(*given, tmp_path / "rest.csv", "--chan2", 3, "--set", "data.channels=[1, 0]")
    assert rest.code == 0
    assert (tmp_path / "rest.csv").read_text() == (tmp_path / "same.csv").read_text()


def test_a_folder_that_is_no_model_is_told_what_it_is(cellflow, images, tmp_path):
    for name, what in (
        ("baseline.json", "a baseline; use `cellflow baseline predict`"),
        ("run.json", "its training is not finished"),
        ("notes.txt", "cannot read config.json"),
    ):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_text("{}")
        done = cellflow("predict", images, "--model", folder, "--out", tmp_path / "o.csv")
        assert done.code == 1
        assert f"not a model folder: {what}" in done.err
