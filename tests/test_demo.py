"""The demo's steps on two small images; its score is what `make demo` prints."""

from dataclasses import replace

import pytest

import cellflow.demo as room
from cellflow.config import NetworkConfig
from cellflow.data.images import list_images
from cellflow.data.submission import check_submission
from cellflow.errors import DataError

pytestmark = pytest.mark.needs_jit


@pytest.fixture
def short(monkeypatch):
    """A network of four channels, and as few images as the folds allow."""
    config = room.demo_config(0, 0.05)
    small = replace(
        config,
        network=NetworkConfig(diam_mean=17.0, channels_per_level=(4, 8)),
        training=replace(config.training, precision="float32", batch_size=2),
    )
    monkeypatch.setattr(room, "demo_config", lambda seed, minutes: small)
    monkeypatch.setattr(room, "N_TRAIN", 3)
    monkeypatch.setattr(room, "N_TEST", 3)
    monkeypatch.setattr(room, "N_TUNED", 1)
    monkeypatch.setattr(room, "N_PICTURES", 1)
    fewer = {
        name: values[:2] for name, values in room.tune_classical.__globals__["CHOICES"].items()
    }
    monkeypatch.setitem(room.tune_classical.__globals__, "CHOICES", fewer)


def test_every_step_leaves_its_result(short, tmp_path):
    said = []
    result = room.run_demo(tmp_path / "d", device="cpu", say=said.append)
    assert [text[:3] for text in said if text[1:3] == "/5"] == ["1/5", "2/5", "3/5", "4/5", "5/5"]
    assert result.score.overall.n_images == 3
    assert result.comparison.names == ("submission", "threshold_watershed")
    for submission in (result.submission, result.baseline):
        assert check_submission(submission).problems == ()
    assert len(list_images(result.pictures)) == 1
    assert (result.model / "cellpose_model").exists()
    assert "threshold_watershed" in result.page.read_text(encoding="utf-8")


def test_a_folder_with_other_things_is_left_alone(short, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train.csv").write_text("mine")
    with pytest.raises(DataError):
        room.run_demo(tmp_path, device="cpu")
    assert (tmp_path / "data/train.csv").read_text() == "mine"


def test_the_demo_trains_from_nothing_and_holds_nothing_back():
    config = room.demo_config(3, 2.5)
    assert (config.training.seed, config.training.max_minutes) == (3, 2.5)
    assert config.training.validation_share == 0
