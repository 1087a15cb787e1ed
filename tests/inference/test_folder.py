"""Many images: resumed, shared out, and not stopped by a broken one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from cellflow.config import Config, DynamicsConfig, InferenceConfig, NetworkConfig
from cellflow.data import outputs
from cellflow.data.images import write_png
from cellflow.data.outputs import Outputs
from cellflow.data.submission import read_submission
from cellflow.errors import ConfigError, DataError, ImageError, ModelError
from cellflow.inference import folder, image_job
from cellflow.inference.cost import Cost
from cellflow.inference.folder import partial_folder, predict_folder
from cellflow.inference.model import Model
from cellflow.network.cpnet import build_network

CONFIG = Config(
    network=NetworkConfig(channels_per_level=(4, 8), diam_mean=17.0),
    inference=InferenceConfig(tile_size=64, precision="float32"),
    dynamics=DynamicsConfig(flow_threshold=0.0, min_size=1),
)


def make_model(diameter=17.0):
    network = build_network(CONFIG.network, torch.Generator().manual_seed(0))
    return Model.from_network(network, CONFIG, diameter=diameter, device=torch.device("cpu"))


def change(model, **settings):
    """The model with other settings of inference."""
    config = replace(model.config, inference=replace(model.config.inference, **settings))
    return replace(model, finder=replace(model.finder, config=config))


def interrupt(model, images, out):
    """Begin a prediction and leave it after the first image."""

    def stop(step, numbers):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_folder(model, images, Outputs([out]), report=stop)


@pytest.fixture
def model():
    return make_model()


@pytest.fixture
def images(draw_images):
    return draw_images(4)


def test_every_image_has_its_row_and_nothing_is_left_over(tmp_path, model, images):
    out = tmp_path / "out é.csv"
    result = predict_folder(
        model, images, Outputs([out, tmp_path / "lab"], cells=tmp_path / "c.csv")
    )
    assert (result.n_images, result.failures) == (4, ())
    found = read_submission(out, (40, 50))
    assert list(found) == ["i0", "i1", "i2", "i3"]
    assert sum(map(len, found.values())) == result.n_cells
    assert len(list((tmp_path / "lab").iterdir())) == 4
    assert not partial_folder(out).exists()


def test_an_interrupted_run_goes_on_and_ends_the_same(tmp_path, model, images):
    predict_folder(model, images, Outputs([tmp_path / "whole.csv"]))
    seen = []

    def stop(step, numbers):
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_folder(model, images, Outputs([tmp_path / "s.csv"]), report=stop)
    assert not (tmp_path / "s.csv").exists()
    result = predict_folder(
        model, images, Outputs([tmp_path / "s.csv"]), report=lambda step, numbers: seen.append(step)
    )
    assert result.n_resumed == 3
    assert seen == [3, 4]
    assert (tmp_path / "s.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_another_model_is_not_mixed_in_unless_restarted(tmp_path, model, images):
    def stop(step, numbers):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_folder(model, images, Outputs([tmp_path / "s.csv"]), report=stop)
    with pytest.raises(ModelError, match=r"diameters: \[17.0\], not \[25.0\]\); --restart"):
        predict_folder(make_model(25.0), images, Outputs([tmp_path / "s.csv"]))
    result = predict_folder(make_model(25.0), images, Outputs([tmp_path / "s.csv"]), restart=True)
    assert result.n_resumed == 0


def test_an_image_that_changed_since_is_predicted_again(tmp_path, model, images, rng):
    def stop(step, numbers):
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_folder(model, images, Outputs([tmp_path / "s.csv"]), report=stop)
    write_png(images[0], rng.integers(0, 255, (30, 20), np.uint8))
    result = predict_folder(model, images, Outputs([tmp_path / "s.csv"]))
    assert result.n_resumed == 1
    assert next(iter(read_submission(tmp_path / "s.csv").values())).shape is not None


@pytest.mark.parametrize("content", ["", "{", "[1, 2"])
def test_a_broken_state_is_named_and_restart_helps(tmp_path, model, images, content):
    state = partial_folder(tmp_path / "s.csv") / "state.json"
    state.parent.mkdir()
    state.write_text(content)
    with pytest.raises(ModelError, match=r"state\.json: broken .* --restart discards"):
        predict_folder(model, images, Outputs([tmp_path / "s.csv"]))
    predict_folder(model, images, Outputs([tmp_path / "s.csv"]), restart=True)


def test_an_image_too_large_for_the_memory_is_named_and_the_rest_is_written(
    tmp_path, model, images, monkeypatch, rng
):
    write_png(images[2], rng.integers(0, 255, (41, 50), np.uint8))
    start = Model.start

    def small_memory(self, image, *arguments):
        if image.shape == (41, 50):
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return start(self, image, *arguments)

    monkeypatch.setattr(Model, "start", small_memory)
    (failure,) = predict_folder(model, images, Outputs([tmp_path / "s.csv"])).failures
    assert failure == f"{images[2]}: 41 x 50 pixels do not fit into the memory"


def test_outputs_go_into_the_working_folder(tmp_path, model, images, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    predict_folder(model, images[:1], Outputs([Path()]))
    assert [path.name for path in Path().iterdir()] == ["i0_masks.tif"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "in ä"]


def test_an_existing_file_is_no_folder_for_outputs(tmp_path, model, images):
    (tmp_path / "masks").write_text("mine")
    with pytest.raises(ConfigError, match=r"masks: is a file, expected a folder"):
        predict_folder(model, images, Outputs([tmp_path / "masks"]))
    (tmp_path / "v1.0").mkdir()
    predict_folder(model, images[:1], Outputs([tmp_path / "v1.0"]))
    assert (tmp_path / "v1.0" / "i0_masks.tif").exists()


def test_a_broken_image_is_named_and_the_rest_is_written(tmp_path, model, images):
    images[1].write_bytes(images[1].read_bytes()[:50])
    result = predict_folder(model, images, Outputs([tmp_path / "s.csv"]))
    assert len(result.failures) == 1
    assert "i1.png" in result.failures[0]
    assert list(read_submission(tmp_path / "s.csv", (40, 50))) == ["i0", "i2", "i3"]


def test_when_every_image_is_broken_nothing_is_written(tmp_path, model, images):
    for path in images:
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"no image could be predicted: .*i0\.png"):
        predict_folder(model, images, Outputs([tmp_path / "s.csv"]))
    assert not list(tmp_path.glob("s.csv*"))


def test_what_an_earlier_run_found_survives_a_run_that_finds_nothing(tmp_path, model, images):
    images[1].write_bytes(b"")
    predict_folder(model, images[:2], Outputs([tmp_path / "s.csv"]))
    with pytest.raises(DataError, match="no image could be predicted"):
        predict_folder(model, images[1:2], Outputs([tmp_path / "s.csv"]))
    assert predict_folder(model, images[::2], Outputs([tmp_path / "s.csv"])).n_resumed == 1


def test_no_images_and_equal_names_are_refused(tmp_path, model, images):
    with pytest.raises(DataError, match="no images to predict"):
        predict_folder(model, [], Outputs([tmp_path / "s.csv"]))
    with pytest.raises(DataError, match="have the same id 'i0'"):
        predict_folder(model, [images[0], tmp_path / "i0.tif"], Outputs([tmp_path / "s.csv"]))


def test_an_unwritable_output_is_refused_before_any_work(tmp_path, model, images):
    with pytest.raises(ConfigError, match="a zip holds the regions of one image"):
        predict_folder(model, images, Outputs([tmp_path / "r.zip"]))


def test_the_first_image_begins_when_all_is_told(tmp_path, model, images, monkeypatch):
    events = []

    def refuse(self, image, *arguments):
        events.append("start")
        raise ImageError("no cells today")

    monkeypatch.setattr(Cost, "seconds", property(lambda self: 100))
    monkeypatch.setattr(Model, "start", refuse)
    with pytest.raises(DataError, match="no cells today"):
        predict_folder(model, images, Outputs([tmp_path / "s.csv"]), say=events.append)
    assert events == ["4 images, about 7 min"] + ["start"] * 4


@pytest.mark.parametrize("in_flight", [2, 3, 9])
def test_images_in_flight_change_nothing_but_the_time(tmp_path, model, images, in_flight):
    images[2].write_bytes(b"")
    predict_folder(model, images, Outputs([tmp_path / "one.csv"]))
    several = change(model, images_in_flight=in_flight)
    steps = []
    result = predict_folder(
        several,
        images,
        Outputs([tmp_path / "s.csv"]),
        report=lambda step, numbers: steps.append(step),
    )
    assert (tmp_path / "s.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
    assert "i2.png" in result.failures[0]
    assert steps == [1, 2, 3, 4]


def test_an_interrupted_run_goes_on_with_images_in_flight(tmp_path, model, images):
    several = change(model, images_in_flight=3)

    def stop(step, numbers):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_folder(several, images, Outputs([tmp_path / "s.csv"]), report=stop)
    result = predict_folder(several, images, Outputs([tmp_path / "s.csv"]))
    assert result.n_resumed >= 1
    predict_folder(model, images, Outputs([tmp_path / "one.csv"]))
    assert (tmp_path / "s.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()


def test_what_only_changes_the_speed_may_change_between_two_runs(tmp_path, model, images):
    interrupt(model, images, tmp_path / "s.csv")
    other = change(model, batch_size=1, images_in_flight=2, compilation="none")
    assert predict_folder(other, images, Outputs([tmp_path / "s.csv"])).n_resumed == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"views": 2}, "inference.views: 1, not 2"),
        ({"scales": (1.0, 1.2)}, r"inference.scales: \[1.0\], not \[1.0, 1.2\]"),
        ({"diameter_policy": "refined"}, "inference.diameter_policy: auto, not refined"),
    ],
)
def test_a_run_with_other_passes_is_not_mixed_in(tmp_path, model, images, settings, said):
    interrupt(model, images, tmp_path / "s.csv")
    with pytest.raises(ModelError, match=said):
        predict_folder(change(model, **settings), images, Outputs([tmp_path / "s.csv"]))


def test_a_smaller_batch_after_running_out_of_memory_is_said(
    tmp_path, model, images, monkeypatch, rng
):
    for path in images:
        write_png(path, rng.integers(0, 255, (150, 150), np.uint8))
    runner, said = model.members[0].runner, []
    forward = runner._plain

    def small_memory(batch):
        if len(batch) > 2:
            raise torch.OutOfMemoryError
        return forward(batch)

    # Telling the cost already meets it.
    monkeypatch.setattr(folder, "plan_prediction", lambda model, *_, **__: model)
    monkeypatch.setattr(runner, "_plain", small_memory)
    assert not predict_folder(
        model, images, Outputs([tmp_path / "s.csv"]), say=said.append
    ).failures
    assert said == ["out of memory with batches of 4 tiles; continuing with 2"]


def test_an_image_that_changes_on_the_way_keeps_its_cells_to_the_end(tmp_path, model, images, rng):
    def write_on(step, numbers):
        write_png(images[step - 1], rng.integers(0, 255, (40, 50), np.uint8))

    result = predict_folder(model, images, Outputs([tmp_path / "o.csv"]), report=write_on)
    assert (result.n_images, result.failures) == (4, ())
    assert len(read_submission(tmp_path / "o.csv", (40, 50))) == 4


def test_no_output_takes_the_place_of_an_image_or_of_another_output(tmp_path, model, images):
    before = [path.read_bytes() for path in images]
    out = tmp_path / "o.csv"
    with pytest.raises(ConfigError, match="is an input of this command"):
        predict_folder(model, images, Outputs([out]), overlays=images[0].parent)
    for tables in (
        {"cells": images[1]},
        {"cells": tmp_path / "." / "o.csv"},
        {"counts": images[1]},
        {"counts": tmp_path / "n.csv", "cells": tmp_path / "n.csv"},
    ):
        with pytest.raises(ConfigError, match=r"is an input of this command|two outputs"):
            predict_folder(model, images, Outputs([out], **tables))
    assert [path.read_bytes() for path in images] == before
    assert list(tmp_path.iterdir()) == [images[0].parent]


def test_when_an_output_cannot_be_written_what_was_found_is_kept_and_told(
    tmp_path, model, images, monkeypatch
):
    def refuse(path, *arguments):
        raise DataError(f"cannot write {path}: No space left on device")

    out = Outputs([tmp_path / "s.csv"])
    with monkeypatch.context() as patch:
        patch.setattr(outputs, "export", refuse)
        with pytest.raises(
            DataError, match=r"No space left on device; .*partial results are in .*s\.csv\.partial"
        ):
            predict_folder(model, images, out)
    assert predict_folder(model, images, out).n_resumed == len(images)


def test_a_table_can_be_no_folder(tmp_path, model, images):
    (tmp_path / "t.csv").mkdir()
    for table in ("cells", "counts"):
        with pytest.raises(ConfigError, match=r"t\.csv: is a folder, expected the name of a file"):
            predict_folder(model, images, Outputs([tmp_path / "o"], **{table: tmp_path / "t.csv"}))
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(("format_", "ending"), [("tif", "_masks.tif"), ("seg", "_seg.npy")])
def test_masks_of_other_images_in_the_folder_are_told_and_kept(
    tmp_path, model, images, format_, ending
):
    out, said = tmp_path / "o", []
    out.mkdir()
    (out / f"old{ending}").write_bytes(b"")
    (out / "notes.txt").write_text("")
    predict_folder(model, images, Outputs([out], format_), say=said.append)
    (told,) = [text for text in said if "other images" in text]
    assert told == f"{out}: holds 1 file of other images, such as old{ending}; kept"
    assert (out / f"old{ending}").read_bytes() == b""


def test_truth_and_corrected_masks_are_kept_and_the_other_images_done(tmp_path, model, images):
    truth, said = tmp_path / "o" / f"{images[2].stem}_masks.tif", []
    truth.parent.mkdir()
    tifffile.imwrite(truth, np.eye(8, dtype=np.uint16))
    before = truth.read_bytes()
    with pytest.raises(ConfigError, match=rf"\({truth.name}\), whose cells the other outputs"):
        predict_folder(model, images, Outputs([tmp_path / "o"], counts=tmp_path / "n.csv"))
    assert [path.read_bytes() for path in truth.parent.iterdir()] == [before]
    result = predict_folder(model, images, Outputs([tmp_path / "o"]), say=said.append)
    assert result.n_images == 3
    assert len(list(truth.parent.iterdir())) == 4
    assert truth.read_bytes() == before
    (told,) = said
    assert told.endswith(f"corrected since ({truth.name}); kept, unless --overwrite is given")
    assert predict_folder(model, images[2:3], Outputs([tmp_path / "o"])).n_images == 0
    predict_folder(model, images, Outputs([tmp_path / "o"], overwrite=True))
    assert truth.read_bytes() != before
    assert predict_folder(model, images, Outputs([tmp_path / "o"])).n_images == 4


def test_an_earlier_prediction_that_will_be_replaced_is_told_before_the_work(
    tmp_path, model, images
):
    said = []
    out = Outputs([tmp_path / "o"], counts=tmp_path / "n.csv", cells=tmp_path / "c.csv")
    predict_folder(model, images, out, say=said.append)
    assert said == []
    (tmp_path / "c.csv").unlink()
    said_before_any_work = []
    predict_folder(
        model,
        images,
        out,
        say=said.append,
        report=lambda step, numbers: said_before_any_work.extend(said) if step == 1 else None,
    )
    assert said_before_any_work == [
        f"already there, replaced when this prediction is done: {len(images)} files in "
        f"{tmp_path / 'o'}, {tmp_path / 'n.csv'} (Ctrl-C keeps them)"
    ]
    said.clear()
    predict_folder(model, images, Outputs([tmp_path / "o"], "roi"), say=said.append)
    assert said == []


def test_what_is_corrected_while_the_prediction_runs_is_kept_too(tmp_path, model, images):
    corrected, out = tmp_path / "o" / "i0_masks.tif", Outputs([tmp_path / "o"])
    predict_folder(model, images, out)

    def correct(step, numbers):
        tifffile.imwrite(corrected, np.eye(8, dtype=np.uint16))

    with pytest.raises(DataError, match=r"i0_masks\.tif: changed while .* the same command"):
        predict_folder(model, images, out, report=correct)
    assert tifffile.imread(corrected).shape == (8, 8)
    result = predict_folder(model, images, out)
    assert (result.n_images, result.n_resumed) == (3, 3)
    assert tifffile.imread(corrected).shape == (8, 8)


def test_overlays_are_drawn_as_it_goes(tmp_path, model, images):
    predict_folder(model, images, Outputs([tmp_path / "s.csv"]), overlays=tmp_path / "pictures")
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 4


def test_an_image_whose_picture_was_not_drawn_is_done_again(tmp_path, model, images, monkeypatch):
    given = {"outputs": Outputs([tmp_path / "s.csv"]), "overlays": tmp_path / "pictures"}
    draw, drawn = image_job.save_overlay, []

    def stopped_at_the_second(path, *arguments, **options):
        drawn.append(path)
        if len(drawn) == 2:
            raise KeyboardInterrupt
        draw(path, *arguments, **options)

    monkeypatch.setattr(image_job, "save_overlay", stopped_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        predict_folder(model, images, **given)
    assert predict_folder(model, images, **given).n_resumed == 1
    assert len(list((tmp_path / "pictures").glob("*.png"))) == len(images)


def test_an_estimated_diameter_is_said_for_each_image(tmp_path, images):
    said = []
    predict_folder(make_model(None), images[:1], Outputs([tmp_path / "s.csv"]), say=said.append)
    assert said[0].startswith("i0.png: estimated diameter ")
