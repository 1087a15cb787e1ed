"""`cellflow tune` on folds of one data set, and what prediction makes of it."""

import json

import pytest
from played_models import Played, write_images


@pytest.fixture
def data(tmp_path):
    return write_images(tmp_path)


def test_two_folds_are_tuned_and_the_result_is_printed(tmp_path, data, cellflow, monkeypatch):
    played = Played(tmp_path, data, monkeypatch)
    models = [played("m0", range(10)), played("m1", range(10, 20))]
    done = cellflow(
        "tune", *models, "--train-dir", data, "--device", "cpu", "--n-folds", 3,
        "--set", "tuning.min_sizes=[15]", "--cache", tmp_path / "cache",
    )  # fmt: skip
    assert done.code == 0
    assert done.out.startswith("cell type  images  in use")
    assert [f"written: {model / 'thresholds.json'}" in done.err for model in models] == [True] * 2
    assert (models[0] / "thresholds.json").read_bytes() == (
        models[1] / "thresholds.json"
    ).read_bytes()
    assert len(list((tmp_path / "cache").glob("*.npz"))) == 20
    again = cellflow(
        "tune", *models, "--train-dir", data, "--device", "cpu", "--n-folds", 3,
        "--set", "tuning.min_sizes=[15]", "--cache", tmp_path / "cache", "--json",
    )  # fmt: skip
    assert json.loads(again.out)["types"]["astro"]["n_images"] == 10
    assert played.models[models[0]].n_looks == 10 + 22


def test_a_model_that_has_seen_all_images_is_refused(tmp_path, data, cellflow, monkeypatch):
    path = Played(tmp_path, data, monkeypatch)("m", [])
    done = cellflow("tune", path, "--train-dir", data, "--device", "cpu")
    assert done.code == 1
    assert "none can choose its thresholds honestly" in done.errors[0]
    before = json.loads((path / "thresholds.json").read_text())
    assert before["tuned"] is False
