"""Pseudo-labels: votes that agree, gates, the cap, and a folder that training reads."""

import contextlib
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from drawn_discs import write_disc_folder

from cellflow.config import Config, DataConfig, TrainingConfig
from cellflow.data.entrance import open_dataset
from cellflow.data.images import write_png
from cellflow.errors import ConfigError, DataError
from cellflow.inference.model import Model
from cellflow.network.cpnet import build_network
from cellflow.training import pseudo_labels
from cellflow.training.batches import CropSource
from cellflow.training.fine_tune import fine_tune
from cellflow.training.pseudo_labels import Gates, compare_votes, split_cells, write_pseudo_labels


def grid(text):
    return np.array([[int(c) for c in line] for line in text.split()], np.int32)


ALL = grid("110022 110022 000000 330000")
ONE = grid("110022 110020 000000 000044") % 4 + (grid("000000 000000 000000 000033"))


def test_votes_are_compared_cell_by_cell_and_image_by_image():
    vote = compare_votes(ALL, [ALL, ONE])
    assert vote.agreement.tolist() == [1.0, 0.75, 0.0]
    assert vote.image_agreement == pytest.approx(2 * 1.75 / 6)
    assert vote.others.astype(int).tolist() == grid("000000 000000 000000 000011").tolist()


def test_sure_cells_are_numbered_without_gaps_and_the_rest_is_uncertain():
    sure, unsure = split_cells(compare_votes(ALL, [ONE]), 0.8)
    assert sure.tolist() == grid("110000 110000 000000 000000").tolist()
    assert unsure.tolist() == grid("000011 000011 000000 110011").tolist()


def test_an_empty_image_on_which_all_agree():
    vote = compare_votes(np.zeros((3, 4), np.int32), [np.zeros((3, 4), np.int32)])
    assert (vote.image_agreement, len(vote.agreement)) == (1.0, 0)
    alone = compare_votes(np.zeros((4, 6), np.int32), [ONE])
    assert alone.image_agreement == 0


class Voter:
    """Finds six cells; those whose numbers are named not at all, in the images named so."""

    fingerprint, name, n_passes, n_calls, config = "a hash", "stub", 3, 0, Config()

    def __init__(self, **missing):
        self.missing = missing

    def predict(self, image, name):
        type(self).n_calls += 1
        labels = np.kron(np.arange(1, 7).reshape(2, 3), np.ones((8, 8), int)).astype(np.int32)
        for cell in self.missing.get(name.partition("[")[2][:1], ()):
            labels[labels == cell] = 0
        labels = np.searchsorted(np.unique(np.append(labels, 0)), labels).astype(np.int32)
        return SimpleNamespace(labels=labels)


@pytest.fixture
def vote(tmp_path, monkeypatch, rng):
    """Label images of which a loses no cell in a vote, b one, c two, d five."""
    Voter.n_calls = 0
    voter = Voter(b=[2], c=[2, 3], d=[1, 2, 3, 4, 5])
    monkeypatch.setattr(pseudo_labels, "_voters", lambda models: (Voter(), [voter]))
    monkeypatch.setattr(pseudo_labels, "state_of", lambda voter: {"model": voter.fingerprint})
    names = [f"{kind}[{key}]_A1-1_Vessel-1_Ph_1" for kind in ("astros", "cort") for key in "abcd"]
    images = [tmp_path / "images" / f"{name}.png" for name in names]
    for path in images:
        write_png(path, rng.integers(0, 255, (16, 24), np.uint8))

    def run(said=None, **gates):
        say = (said if said is not None else []).append
        return write_pseudo_labels([], images, tmp_path / "out", Gates(**gates), say=say)

    return run


def test_the_best_images_of_each_cell_type_are_written_with_weights(vote, tmp_path):
    record = vote(most_per_type=2, weight=0.5)
    assert record["images_by_cell_type"] == {"astro": 2, "cort": 2}
    assert record["n_cells"] == 2 * 6 + 2 * 5
    dataset = open_dataset(tmp_path / "out")
    names = [entry.name.partition("_")[0] for entry in dataset]
    assert names == ["astros[a]", "astros[b]", "cort[a]", "cort[b]"]
    assert [round(entry.weight, 3) for entry in dataset] == [0.5, 0.455, 0.5, 0.455]
    assert [len(entry.uncertain) for entry in dataset] == [0, 1, 0, 1]
    assert [entry.cell_type for entry in dataset] == ["astro", "astro", "cort", "cort"]
    assert dataset.entries[0].group == "astros[a]_A1"
    written = json.loads((tmp_path / "out" / "record.json").read_text("utf-8"))
    assert written == json.loads(json.dumps(record))
    assert written["config"]["dynamics"]["flow_threshold"] == 0.4
    assert {"cellflow", "torch"} <= written["versions"].keys()


def test_other_gates_need_no_network_and_other_models_another_folder(vote, tmp_path, monkeypatch):
    vote()
    n_calls = Voter.n_calls
    record = vote(image_agreement=0.99)
    assert record["n_images"] == 2
    assert len(open_dataset(tmp_path / "out")) == 2
    assert Voter.n_calls == n_calls
    monkeypatch.setattr(Voter, "fingerprint", "another")
    with pytest.raises(ConfigError, match="holds votes by other models"):
        vote()


def test_other_settings_are_another_vote(monkeypatch, tmp_path, rng, small_config):
    config = small_config()
    network = build_network(config.network, torch.Generator().manual_seed(0))
    write_png(tmp_path / "images" / "a.png", rng.integers(0, 255, (40, 40), np.uint8))

    def label(**dynamics):
        changed = replace(config, dynamics=replace(config.dynamics, **dynamics))
        model = Model.from_network(network, changed, diameter=12.0, device=torch.device("cpu"))
        images = [tmp_path / "images" / "a.png"]
        with contextlib.suppress(DataError):  # a random network may agree on nothing
            write_pseudo_labels([model], images, tmp_path / "out", Gates())

    label(min_size=40)
    label(min_size=40)
    with pytest.raises(ConfigError, match=r"settings \(.*min_size: 40, not 15\); choose another"):
        label()


def test_a_folder_with_files_of_others_is_not_written_to(vote, tmp_path, disc_folder):
    data = disc_folder(3, name="out")  # where the fixture writes
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match=r"out: holds train, not written by pseudo-label"):
        vote()
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before


def test_images_are_not_labelled_into_a_folder_that_holds_them(monkeypatch, tmp_path, rng):
    monkeypatch.setattr(pseudo_labels, "_voters", lambda models: (Voter(), [Voter()]))
    image = tmp_path / "train" / "a.png"
    write_png(image, rng.integers(0, 255, (16, 24), np.uint8))
    with pytest.raises(ConfigError, match=r"contains .*a\.png, which is to be labelled"):
        write_pseudo_labels([], [image], tmp_path, Gates())
    assert list(tmp_path.iterdir()) == [image.parent]


def test_a_broken_image_is_named_and_the_others_are_labelled(vote, tmp_path):
    broken = tmp_path / "images" / "cort[a]_A1-1_Vessel-1_Ph_1.png"
    broken.write_bytes(broken.read_bytes()[:40])
    said = []
    record = vote(said=said)
    assert (record["images_by_cell_type"]["cort"], record["images_by_cell_type"]["astro"]) == (2, 3)
    (line,) = said
    assert line.startswith(f"left out: {broken}: broken image")


def test_what_was_not_written_to_the_end_cannot_be_trained_on(vote, tmp_path, monkeypatch):
    vote()

    def stop(path, images):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(pseudo_labels, "write_train_csv", stop)
        vote(image_agreement=0.99)
    assert not (tmp_path / "out" / "train.csv").exists()
    assert vote(image_agreement=0.99)["n_images"] == len(open_dataset(tmp_path / "out")) == 2


def test_an_image_that_changed_is_voted_on_again(vote, tmp_path, rng):
    vote()
    n_calls = Voter.n_calls
    write_png(
        tmp_path / "images" / "cort[a]_A1-1_Vessel-1_Ph_1.png",
        rng.integers(0, 255, (16, 24), np.uint8),
    )
    vote()
    assert Voter.n_calls == n_calls + 2


def test_a_model_is_not_compared_with_itself(tmp_path):
    twice = [Voter(), Voter()]
    with pytest.raises(ConfigError, match="stub is given twice; a model always agrees with itself"):
        write_pseudo_labels(twice, [tmp_path / "a.png"], tmp_path / "out", Gates())


def test_nothing_agreed_on_and_impossible_gates_are_said(vote, monkeypatch):
    most = [1, 2, 3, 4, 5]
    voter = Voter(a=[*most, 6], b=most, c=most, d=most)
    monkeypatch.setattr(pseudo_labels, "_voters", lambda models: (Voter(), [voter]))
    with pytest.raises(
        DataError,
        match=r"none of 8 images has cells .* the best is 0\.\d\d\. .* with a lower --image-agree",
    ):
        vote()
    with pytest.raises(ConfigError, match="weight: expected above 0"):
        Gates(weight=0)


def test_weights_and_uncertain_cells_reach_the_loss(vote, tmp_path):
    vote()
    entries = [entry for entry in open_dataset(tmp_path / "out") if "[b]" in entry.name]
    training = TrainingConfig(crop_size=64, batch_size=8)
    source = CropSource(
        entries=entries, rescales=[2.0] * len(entries), data=DataConfig(), training=training
    )
    batch = source.batch(0)
    assert np.unique(batch.weights) == pytest.approx([0, 0.4545])
    assert not batch.cells[batch.weights == 0].any()


@pytest.fixture
def extra(tmp_path):
    """A folder of six more images, of which disc0 and disc1 are of the training folder's wells."""
    return write_disc_folder(tmp_path / "extra", 6, seed=9)


def test_training_takes_other_folders_but_what_shows_held_out_images(tmp_path, small_config, extra):
    data, said = write_disc_folder(tmp_path / "data", 5), []
    given = {"init": "scratch", "device": "cpu", "say": said.append}
    out = fine_tune(data, tmp_path / "run", small_config(), extra_dirs=[extra], **given)
    record = json.loads((out / "config.json").read_text(encoding="utf-8"))["data"]
    assert record["overlapping"] == record["validation"]
    assert record["n_extra"] == 5
    assert record["n_train"] == 4
    assert any("left out, since they match held-out images: 1" in line for line in said)
    assert "5 images from other folders" in (out / "README.md").read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match="has --extra-dir"):
        fine_tune(data, tmp_path / "run", small_config(), **given)
    fine_tune(data, tmp_path / "run", resume=True, device="cpu", say=said.append)
    assert "already finished" in said[-1]


def test_a_broken_weight_names_its_line(tmp_path, extra):
    (extra / "weights.csv").write_text("id,weight\ndisc0,heavy\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"weights\.csv line 2: expected a number of 0.*'heavy'"):
        open_dataset(extra)
