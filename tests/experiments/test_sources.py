"""What a variant learns from besides the data must not show what is held out."""

import json

import pytest
from drawn_discs import write_disc_folder

from cellflow.data.entrance import open_dataset
from cellflow.errors import DataError
from cellflow.experiments.sources import Sources


@pytest.fixture
def sources(tmp_path):
    return Sources(open_dataset(write_disc_folder(tmp_path / "discs", 3)))


def test_other_images_of_the_same_wells_are_not_trained_on_before(sources, tmp_path):
    other = write_disc_folder(tmp_path / "other", 2, seed=5)
    with pytest.raises(DataError, match="disc0 is of the same plate and well as disc0 of"):
        sources.require_foreign(str(other))
    table = other / "train.csv"
    table.write_text(table.read_text().replace("p_A", "q_A"))
    sources.require_foreign(str(other))


@pytest.mark.parametrize(
    ("file", "record"),
    [
        ("config.json", {"data": {"train": ["disc1", "x"]}}),
        ("config.json", {"data": {"train": ["x"]}, "refit": {"trained_on": ["disc1"]}}),
        ("baseline.json", {"data": {"train": ["disc1"]}}),
    ],
)
def test_a_model_that_saw_the_images_is_no_start(sources, tmp_path, file, record):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / file).write_text(json.dumps(record))
    with pytest.raises(DataError, match=r"was trained on 1 image named as those of .* \(disc1\)"):
        sources.require_unseen(str(tmp_path / "model"))


def test_other_weights_are_a_start(sources, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"data": {"train": ["x"]}}))
    for init in (None, "scratch", "cyto3", str(tmp_path)):
        sources.require_unseen(init)
