"""Training of the baselines: it learns, continues, validates, and says what is wrong."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn_discs import write_disc_folder
from safetensors.torch import load_file

from cellflow.baselines import fit_session
from cellflow.baselines.baseline_folder import read_baseline_folder
from cellflow.baselines.baseline_model import load_baseline
from cellflow.baselines.settings import CellChoice
from cellflow.baselines.train import read_trained, train_baseline, train_on_folder
from cellflow.errors import ConfigError, DataError, ModelError
from cellflow.training.budget import N_TIMED_STEPS, N_WARMUP_STEPS, Pace, Plan
from cellflow.training.history import read_rows
from cellflow.training.interruption import Preempted

RESUMED = ("cascade-mask-rcnn", "unet")
"""Mask R-CNN shares all that matters here with the cascade."""


def run(tmp_path, model, train, config, *, held_out=(), out="run", **options):
    data = tmp_path / "data"
    data.mkdir(exist_ok=True)
    return train_baseline(
        model, train, held_out, config, tmp_path / out, train_dir=data, device="cpu", **options
    )


@pytest.mark.parametrize(
    ("model", "iterations", "factor"),
    [("mask-rcnn", 16, 0.75), ("cascade-mask-rcnn", 16, 0.75), ("unet", 30, 0.6)],
)
def test_the_loss_falls_and_cells_can_be_found(
    tmp_path, disc_entries, tiny_config, model, iterations, factor
):
    losses = []
    config = tiny_config(model, iterations=iterations, validate_every=iterations)
    done = run(
        tmp_path, model, disc_entries(2), config, held_out=disc_entries(1, seed=2),
        report=lambda step, numbers: losses.append(numbers["loss"]),
    )  # fmt: skip
    assert len(losses) == iterations
    assert np.mean(losses[-6:]) < factor * np.mean(losses[:4])
    facts = read_trained(done)
    assert (facts.n_steps, len(facts.curve)) == (iterations, 1)
    assert facts.n_parameters > 1000
    image = disc_entries(1, seed=3)[0].load().image
    prediction = load_baseline(done, "cpu").predict(image, "x")
    assert prediction.labels.shape == image.shape
    record = read_baseline_folder(done).record
    assert ("operators of torchvision" in record["operators"]) == (model != "unet")
    assert record["data"]["n_train"] == 2
    assert facts.conditions["operators"] == record["operators"]
    assert facts.conditions.get("most detections") == (None if model == "unet" else "50")
    assert "Cascade" in (done / "README.md").read_text() or model != "cascade-mask-rcnn"


@pytest.mark.parametrize("model", RESUMED)
def test_an_interrupted_run_ends_with_the_weights_of_one_that_was_not(
    tmp_path, disc_entries, tiny_config, model
):
    entries, held_out = disc_entries(2), disc_entries(1, seed=2)
    config = tiny_config(model, iterations=4, validate_every=3)
    whole = run(tmp_path, model, entries, config, held_out=held_out, out="whole")

    def stop(step, numbers):
        if step == 2:
            raise _Stop

    with pytest.raises(_Stop):
        run(tmp_path, model, entries, config, held_out=held_out, out="parts", report=stop)
    with pytest.raises(Preempted):
        run(tmp_path, model, entries, config, held_out=held_out, out="parts", stop_after=1e-3)
    parts = run(tmp_path, model, entries, config, held_out=held_out, out="parts")
    one, other = (load_file(each / "weights.safetensors") for each in (whole, parts))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    rows, again = (read_rows(each / "metrics.csv") for each in (whole, parts))
    assert [row.step for row in rows] == [3, 4]
    assert [(r.epoch, r.step, r.loss, r.validation_map) for r in rows] == [
        (r.epoch, r.step, r.loss, r.validation_map) for r in again
    ]


def test_a_time_budget_plans_fewer_iterations_and_ends_in_time(tmp_path, disc_entries, tiny_config):
    held_out, said = disc_entries(1, seed=2), []
    run(tmp_path, "unet", disc_entries(2), tiny_config("unet"), held_out=held_out, out="compiled")
    config = tiny_config("unet", iterations=10**6, validate_every=10**6, max_minutes=0.1)
    done = run(tmp_path, "unet", disc_entries(2), config, held_out=held_out, say=said.append)
    record = read_baseline_folder(done).record
    assert 1 <= record["run"]["n_steps"] < 10**6
    assert record["run"]["seconds"] < 9
    assert [row.step for row in read_rows(done / "metrics.csv")] == [record["run"]["n_steps"]]
    assert read_rows(done / "metrics.csv")[0].validation is not None
    assert len([line for line in said if line.startswith("plan: ")]) >= 1


def test_a_budget_that_ends_a_training_before_its_plan_says_so(tmp_path, disc_entries, tiny_config):
    said, config = [], tiny_config("unet", iterations=100, max_minutes=1e-6)
    run(tmp_path, "unet", disc_entries(2), config, say=said.append)
    assert "the budget of 1e-06 min ends the training after 1 iteration" in said


def test_nothing_is_planned_before_iterations_were_timed(
    tmp_path, disc_entries, tiny_config, monkeypatch
):
    seen = []
    monkeypatch.setattr(
        Pace,
        "plan",
        lambda pace, *_: seen.append(pace._n_seen) or Plan(n_epochs=8, validate_every=1),
    )
    config = tiny_config("unet", iterations=500, validate_every=1, max_minutes=5.0)
    done = run(tmp_path, "unet", disc_entries(2), config, held_out=disc_entries(1, seed=2))
    assert min(seen) == N_WARMUP_STEPS + N_TIMED_STEPS
    validated = [row.step for row in read_rows(done / "metrics.csv") if row.validation is not None]
    assert validated == [7, 8]


def test_under_a_budget_the_rate_ends_with_the_plan_and_another_budget_goes_on(
    tmp_path, disc_entries, tiny_config, monkeypatch
):
    monkeypatch.setattr(Pace, "plan", lambda *_: Plan(n_epochs=12, validate_every=4))
    entries, rates = disc_entries(2), []
    how = {"iterations": 500, "validate_every": 5, "schedule": "cosine"}
    config = tiny_config("unet", max_minutes=5.0, **how)

    def stop(step, numbers):
        if step == 9:
            raise _Stop

    with pytest.raises(_Stop):
        run(tmp_path, "unet", entries, config, report=stop)
    done = run(
        tmp_path, "unet", entries, tiny_config("unet", max_minutes=7.0, **how),
        report=lambda step, numbers: rates.append(numbers["lr"]),
    )  # fmt: skip
    assert [row.step for row in read_rows(done / "metrics.csv")] == [5, 10, 12]
    assert rates[-1] == pytest.approx(0.01 * config.training.learning_rate)


def test_a_budget_that_is_lifted_gives_the_length_back_and_stages_share_one(
    tmp_path, disc_entries, tiny_config
):
    entries, said = disc_entries(2), []
    how = {"iterations": 3, "pretrain_iterations": 1}
    config = tiny_config("unet", max_minutes=4.0, **how)
    with pytest.raises(Preempted):
        run(
            tmp_path, "unet", entries, config, pretrain=disc_entries(2, seed=3), say=said.append,
            stop_after=1e-3,
        )  # fmt: skip
    assert any(line.startswith("at most 1 min, planned") for line in said)
    done = run(
        tmp_path, "unet", entries, tiny_config("unet", **how), pretrain=disc_entries(2, seed=3)
    )
    assert read_baseline_folder(done).record["run"]["n_steps"] == 3


def test_a_stop_within_a_validation_loses_no_line(tmp_path, disc_entries, tiny_config, monkeypatch):
    entries, held_out = disc_entries(2), disc_entries(1, seed=2)
    config = tiny_config("unet", iterations=2, validate_every=1)
    score, asked = fit_session.FitSession._score, []

    def stopped(self):
        if not asked:
            asked.append(self.interrupt.ask("SIGTERM"))
        return score(self)

    monkeypatch.setattr(fit_session.FitSession, "_score", stopped)
    with pytest.raises(Preempted):
        run(tmp_path, "unet", entries, config, held_out=held_out)
    done = run(tmp_path, "unet", entries, config, held_out=held_out)
    assert [step for step, _, _ in read_trained(done).curve] == [1, 2]


def test_the_same_call_reads_a_finished_run(tmp_path, disc_entries, tiny_config):
    entries, config = disc_entries(2), tiny_config("unet", iterations=2)
    first = run(tmp_path, "unet", entries, config)
    said, steps = [], []
    again = run(
        tmp_path, "unet", entries, config, say=said.append, report=lambda *_: steps.append(1)
    )
    assert again == first
    assert steps == []
    assert any("already trained" in line for line in said)


@pytest.mark.parametrize("change", ["settings", "images", "cell types", "model"])
def test_another_run_in_the_folder_is_not_touched(tmp_path, disc_entries, tiny_config, change):
    config, entries = tiny_config("unet", iterations=2), disc_entries(2)
    done = run(tmp_path, "unet", entries, config)
    before = (done / "baseline.json").read_bytes()
    if change == "settings":
        config = tiny_config("unet", iterations=3)
    if change == "images":
        entries = disc_entries(2, seed=5)
    if change == "cell types":
        entries = [replace(entry, cell_type="other") for entry in entries]
    with pytest.raises(ModelError, match="holds a run with other"):
        run(tmp_path, "unet" if change != "model" else "mask-rcnn", entries, config)
    assert (done / "baseline.json").read_bytes() == before


def test_overwrite_replaces_a_run(tmp_path, disc_entries, tiny_config):
    entries = disc_entries(2)
    run(tmp_path, "unet", entries, tiny_config("unet", iterations=2))
    done = run(tmp_path, "unet", entries, tiny_config("unet", iterations=3), overwrite=True)
    assert read_trained(done).n_steps == 3


def test_overwrite_does_not_clear_the_weights_that_it_is_to_begin_with(
    tmp_path, disc_entries, tiny_config
):
    entries, config = disc_entries(1), tiny_config("unet", iterations=1)
    done = run(tmp_path, "unet", entries, config)
    with pytest.raises(ConfigError, match="which --overwrite clears; choose another --out"):
        run(tmp_path, "unet", entries, config, init=str(done), overwrite=True)
    assert (done / "weights.safetensors").is_file()


def test_other_data_first_gives_what_fits_and_new_classes(tmp_path, disc_entries, tiny_config):
    others = [
        replace(entry, cell_type=kind)
        for entry, kind in zip(disc_entries(2, seed=7), ("A172", "MCF7"), strict=True)
    ]
    said = []
    config = tiny_config("mask-rcnn", iterations=2, pretrain_iterations=3)
    done = run(
        tmp_path, "mask-rcnn", disc_entries(2), config, pretrain=others, say=said.append,
        held_out=disc_entries(1, seed=2),
    )  # fmt: skip
    assert read_trained(done).n_steps == 5
    [(step, seconds, _)] = read_trained(done).curve
    assert step == 5
    earlier = read_baseline_folder(done / "stages" / "pretrain")
    assert earlier.classes == ("A172", "MCF7")
    assert earlier.record["run"]["n_steps"] == 3
    assert seconds > earlier.record["run"]["seconds"]
    assert read_baseline_folder(done).classes == ("cort",)
    [taken] = [line for line in said if "tensors taken" in line]
    assert "roi_heads.box_predictor" in taken
    assert "backbone" not in taken.partition("stay random")[2]


def test_other_data_first_shows_nothing_of_what_is_held_out(tmp_path, tiny_config):
    config, said = tiny_config("unet", iterations=1, pretrain_iterations=1), []
    data = write_disc_folder(tmp_path / "discs", 5)
    other = write_disc_folder(tmp_path / "other", 5)  # the same wells
    given = {"pretrain_dirs": [other], "device": "cpu", "say": said.append}
    done = train_on_folder("unet", data, tmp_path / "run", config, **given)
    held_out = set(read_baseline_folder(done).record["data"]["validation"])
    before = read_baseline_folder(done / "stages" / "pretrain").record["data"]
    assert held_out
    assert not held_out & set(before["train"])
    assert any("left out, since they match held-out images: 1 (" in line for line in said)


class _Stop(Exception):
    """As a crash: nothing is saved any more."""


def _stop(step, numbers):
    raise _Stop


def test_a_stage_that_is_left_from_another_run_does_not_count(tmp_path, disc_entries, tiny_config):
    entries, config = disc_entries(2), tiny_config("unet", iterations=1, pretrain_iterations=1)
    others = disc_entries(2, seed=7)
    with pytest.raises(_Stop):
        run(tmp_path, "unet", entries, config, pretrain=others, report=_stop)
    alone = run(tmp_path, "unet", entries, config)
    assert read_trained(alone).seconds == read_baseline_folder(alone).record["run"]["seconds"]
    both = run(tmp_path, "unet", entries, config, pretrain=others, overwrite=True)
    own, before = (
        read_baseline_folder(folder).record["run"]["seconds"]
        for folder in (both, both / "stages" / "pretrain")
    )
    assert read_trained(both).seconds == own + before
    alone = run(tmp_path, "unet", entries, config, overwrite=True)
    assert read_trained(alone).seconds == read_baseline_folder(alone).record["run"]["seconds"]


def test_another_run_is_told_before_other_data_are_learnt(tmp_path, disc_entries, tiny_config):
    entries, config = disc_entries(2), tiny_config("unet", iterations=1, pretrain_iterations=1)
    run(tmp_path, "unet", entries, config)
    with pytest.raises(ModelError, match="holds a run with other"):
        run(tmp_path, "unet", entries, config, pretrain=disc_entries(2, seed=7), report=_stop)
    assert not (tmp_path / "run" / "stages").exists()


def test_a_run_that_replaces_another_goes_on_without_overwrite(tmp_path, disc_entries, tiny_config):
    entries, others, said = disc_entries(2), disc_entries(2, seed=7), []
    run(tmp_path, "unet", entries, tiny_config("unet", iterations=1))
    config = tiny_config("unet", iterations=2, pretrain_iterations=2)
    given = {"pretrain": others, "say": said.append}
    with pytest.raises(Preempted):
        run(tmp_path, "unet", entries, config, overwrite=True, stop_after=1e-3, **given)
    assert "the same command, without --overwrite, continues" in said[-1]
    assert not (tmp_path / "run" / "baseline.json").exists()
    assert read_trained(run(tmp_path, "unet", entries, config, **given)).n_steps == 4


def test_what_is_held_out_is_not_learnt_before_either(tmp_path, disc_entries, tiny_config):
    entries, held_out, said = disc_entries(2), disc_entries(1, seed=2), []
    config = tiny_config("unet", iterations=1, pretrain_iterations=1)
    others = [*disc_entries(2, seed=7), *held_out]
    done = run(
        tmp_path, "unet", entries, config, held_out=held_out, pretrain=others, say=said.append
    )
    earlier = read_baseline_folder(done / "stages" / "pretrain").record["data"]
    assert earlier["train"] == ["disc7-0", "disc7-1"]
    assert "left out, since they match held-out images: 1 (disc2-0)" in said
    with pytest.raises(DataError, match="every image matches a held-out image, so none is left"):
        run(tmp_path, "unet", entries, config, held_out=held_out, pretrain=held_out, out="none")


@pytest.mark.parametrize("keep", ["last", "best"])
def test_the_folder_takes_the_weights_that_were_asked_for(
    tmp_path, disc_entries, tiny_config, monkeypatch, keep
):
    scores = iter([0.5, 0.2])
    score = fit_session.FitSession._score

    def drawn(self):
        real = score(self)
        value = next(scores, 0.1)
        mean = replace(real.overall.mean, estimate=value)
        return replace(real, overall=replace(real.overall, mean=mean))

    monkeypatch.setattr(fit_session.FitSession, "_score", drawn)
    config = tiny_config("unet", iterations=2, validate_every=1, keep=keep)
    done = run(tmp_path, "unet", disc_entries(2), config, held_out=disc_entries(1, seed=2))
    record = read_baseline_folder(done).record
    assert record["run"]["kept_step"] == {"last": 2, "best": 1}[keep]
    assert record["run"]["best_step"] == 1
    kept = load_file(done / "weights.safetensors")
    best = load_file(done / "checkpoints" / "best-0001")
    same = all(torch.equal(kept[name], best[name]) for name in kept)
    assert same == (keep == "best")


def test_without_held_out_images_the_last_weights_are_called_so(
    tmp_path, disc_entries, tiny_config
):
    done = run(tmp_path, "unet", disc_entries(1), tiny_config("unet", iterations=1, keep="best"))
    assert "**Weights kept**: last, of iteration 1" in (done / "README.md").read_text()


def test_the_time_of_a_validation_counts_however_often_a_run_is_stopped(
    tmp_path, disc_entries, tiny_config, monkeypatch
):
    score = fit_session.FitSession._score

    def slow(self):
        self.interrupt.ask("SIGTERM")
        self._zero -= 1000  # as if so many seconds had passed
        return score(self)

    entries, held_out = disc_entries(1), disc_entries(1, seed=2)
    config = tiny_config("unet", iterations=1, validate_every=1)
    with monkeypatch.context() as patched:
        patched.setattr(fit_session.FitSession, "_score", slow)
        with pytest.raises(Preempted):
            run(tmp_path, "unet", entries, config, held_out=held_out)
    assert read_trained(run(tmp_path, "unet", entries, config, held_out=held_out)).seconds > 1000


def test_out_of_memory_says_what_to_lower(tmp_path, disc_entries, tiny_config, monkeypatch):
    from cellflow.baselines.unet import UNetLearner

    def full(self, examples, device):
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(UNetLearner, "losses", full)
    with pytest.raises(
        ModelError, match="not enough memory for 2 crops of 64x64 px; lower training"
    ):
        run(tmp_path, "unet", disc_entries(2), tiny_config("unet"))


def test_a_loss_that_is_no_number_stops_the_run(tmp_path, disc_entries, tiny_config, monkeypatch):
    from cellflow.baselines.unet import UNetLearner

    losses = UNetLearner.losses

    def infinite(self, examples, device):
        return {name: value * torch.inf for name, value in losses(self, examples, device).items()}

    monkeypatch.setattr(UNetLearner, "losses", infinite)
    with pytest.raises(
        ModelError, match=r"no longer finite; lower training.learning_rate \(now 0.01\)"
    ):
        run(tmp_path, "unet", disc_entries(2), tiny_config("unet"))


@pytest.mark.parametrize(
    ("init", "words"),
    [("nowhere.pth", r"put torchvision's resnet18-f37072fd.pth .* there"), ("text.pth", "broken")],
)
def test_missing_and_broken_weights_are_one_line(tmp_path, disc_entries, tiny_config, init, words):
    (tmp_path / "text.pth").write_text("no weights")
    config = tiny_config("mask-rcnn")
    config = replace(config, detector=replace(config.detector, norm="auto"))
    with pytest.raises(ModelError, match=words) as caught:
        run(tmp_path, "mask-rcnn", disc_entries(2), config, init=str(tmp_path / init))
    assert "\n" not in str(caught.value)


def test_what_cannot_be_trained_on_is_refused(tmp_path, disc_entries, tiny_config):
    config = tiny_config("unet")
    with pytest.raises(ConfigError, match="known: mask-rcnn, cascade-mask-rcnn, unet"):
        run(tmp_path, "yolo", disc_entries(2), config)
    with pytest.raises(DataError, match="no annotated image"):
        run(tmp_path, "unet", [], config)
    with pytest.raises(DataError, match="has a cell"):
        run(tmp_path, "unet", disc_entries(2, n_cells=0), config)
    other = replace(config, cells=CellChoice(score_thresholds={"neuron": 0.5}))
    with pytest.raises(ConfigError, match="neuron"):
        run(tmp_path, "unet", disc_entries(2), other)
    mosaic = replace(config, augment=replace(config.augment, mosaic=0.5))
    mosaic = replace(mosaic, training=replace(config.training, crop_width=96))
    with pytest.raises(ConfigError, match="square"):
        run(tmp_path, "unet", disc_entries(2), mosaic)


def test_an_image_with_as_many_cells_as_may_be_listed_is_told(tmp_path, disc_entries, tiny_config):
    config = tiny_config("mask-rcnn", iterations=1)
    few = replace(config.detector, detections=3, box_score=0.0)
    said = []
    done = run(
        tmp_path, "mask-rcnn", disc_entries(1), replace(config, detector=few), say=said.append
    )
    assert any("at most 3 detections per image, but the densest" in line for line in said)
    told = []
    image = disc_entries(1)[0].load().image

    def find(**choice):
        told.clear()
        cells = CellChoice(**choice)
        load_baseline(
            done, "cpu", say=told.append, change=lambda base: replace(base, cells=cells)
        ).predict(image, "disc")

    find(score_threshold=0.0, min_area=0, mask_threshold=0.01)
    assert told == [
        "image disc: reached the limit of 3 detections; it may hold more cells: raise "
        "detector.detections"
    ]
    find(score_threshold=1.0)  # where no cell is left, a longer list has none either
    assert told == []


def test_without_a_limit_no_image_reaches_it(tmp_path, disc_entries, tiny_config):
    done = run(tmp_path, "mask-rcnn", disc_entries(1), tiny_config("mask-rcnn", iterations=1))
    model = load_baseline(
        done, "cpu",
        change=lambda base: replace(base, detector=replace(base.detector, detections=None)),
    )  # fmt: skip
    assert not model.find(disc_entries(1)[0].load().image).is_full


def test_what_pseudo_labels_say_beside_their_cells_is_told_to_be_left_aside(
    tmp_path, disc_entries, tiny_config
):
    [one, other], said = disc_entries(2), []
    entries, config = [one, replace(other, weight=0.5)], tiny_config("unet", iterations=1)
    run(tmp_path, "unet", entries, config, say=said.append)
    assert any("doubtful cells of 1 image, such as disc1-1," in line for line in said)
    run(tmp_path, "unet", disc_entries(2), config, out="other", say=(others := []).append)
    assert not any("doubtful" in line for line in others)


def test_limits_of_a_class_that_the_model_does_not_know_are_refused(
    tmp_path, disc_entries, tiny_config
):
    done = run(tmp_path, "mask-rcnn", disc_entries(1), tiny_config("mask-rcnn", iterations=1))

    def load(**cells):
        return load_baseline(
            done, "cpu", change=lambda base: replace(base, cells=CellChoice(**cells))
        )

    assert load(score_thresholds={"cort": 0.3}).config.cells.score_thresholds == {"cort": 0.3}
    for cells in ({"score_thresholds": {"corti": 0.3}}, {"min_areas": {"corti": 9}}):
        with pytest.raises(ConfigError, match="'corti', but the model's classes are cort"):
            load(**cells)
    config = tiny_config("unet")
    config = replace(config, cells=CellChoice(score_thresholds={"cort": 0.3}))
    with pytest.raises(ConfigError, match="the U-Net has no classes"):
        run(tmp_path, "unet", disc_entries(1), config, out="unet")


def test_elsewhere_the_limit_lies_above_the_densest_image(tmp_path, disc_entries, tiny_config):
    config = tiny_config("mask-rcnn", iterations=1)
    open_ = replace(config, detector=replace(config.detector, detections=None, norm="auto"))
    done = run(tmp_path, "mask-rcnn", disc_entries(1), open_)
    settled = json.loads((done / "baseline.json").read_text())["config"]["detector"]
    assert settled["detections"] == 1000
    assert settled["norm"] == "group"
    assert settled["trainable_layers"] == 5
