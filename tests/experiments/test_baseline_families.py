"""The baselines as families of an experiment: on the same folds, with settings of their own."""

import shutil
from dataclasses import replace

import pytest
from drawn_discs import write_disc_folder

from cellflow.baselines import presets
from cellflow.baselines.presets import preset
from cellflow.config import AugmentConfig, Config, TrainingConfig
from cellflow.errors import ConfigError, DataError
from cellflow.experiments.baseline_families import baseline_config
from cellflow.experiments.bench import open_bench
from cellflow.experiments.families import find_family
from cellflow.experiments.forecast import forecast
from cellflow.experiments.plan import read_experiment
from cellflow.experiments.run import finished_rows, run_experiment
from cellflow.experiments.tasks import plan_tasks

pytestmark = pytest.mark.usefixtures("one_thread")

FILE = """
folds = 2
[base]
family = "unet"
[base.settings.training]
iterations = 2
validate_every = 1
crop_height = 64
crop_width = 64
batch_size = 1
[base.settings.unet]
channels_per_level = [4, 8]
[[variant]]
name = "fast"
[[variant]]
name = "slow"
[variant.settings.training]
learning_rate = 1e-4
"""


@pytest.fixture
def discs(tmp_path):
    return write_disc_folder(tmp_path / "discs", 4)


def test_a_baseline_is_trained_on_every_fold_and_never_twice(discs, tmp_path):
    (tmp_path / "file.toml").write_text(FILE)
    experiment = read_experiment(tmp_path / "file.toml")
    bench = open_bench(experiment, discs, tmp_path / "store")
    rows = run_experiment(experiment, bench, device="cpu")
    assert [(row.variant, row.fold) for row in rows] == [
        ("fast", 0), ("slow", 0), ("fast", 1), ("slow", 1),
    ]  # fmt: skip
    assert all(row.facts["n_steps"] == 2 and len(row.curve) == 2 for row in rows)
    told = [row.facts["conditions"] for row in rows]
    assert {one["operators"] for one in told} == {"none of torchvision"}
    assert [one["learning rate"] for one in told] == ["0.001", "0.0001"] * 2
    said = []
    again = run_experiment(experiment, bench, device="cpu", say=said.append)
    assert said == []
    assert [row.images for row in again] == [row.images for row in rows]


def test_the_forecast_counts_iterations_on_other_folders_and_pixels_of_the_own_crops(
    discs, tmp_path
):
    (tmp_path / "file.toml").write_text(FILE)
    experiment = read_experiment(tmp_path / "file.toml")
    first = replace(experiment, variants=experiment.variants[:1])
    bench = open_bench(first, discs, tmp_path / "store")
    rows = run_experiment(first, bench, device="cpu")
    for row in rows:
        bench.store.add(replace(row, facts=row.facts | {"seconds": 20.0}))  # 10 s a step
    options = first.variants[0].options
    training = options["settings"]["training"]
    larger = training | {"crop_height": 2 * training["crop_height"], "pretrain_iterations": 3}
    settings = options["settings"] | {"training": larger}
    other = {"pretrain_dir": [str(tmp_path / "others")], "settings": settings}
    shutil.copytree(discs, tmp_path / "others")
    for path in (tmp_path / "others").rglob("*.png"):
        path.write_bytes(path.read_bytes() + b"another file")
    text = (tmp_path / "others" / "train.csv").read_text(encoding="utf-8")
    (tmp_path / "others" / "train.csv").write_text(text.replace("p_A", "p_B"), encoding="utf-8")
    variant = replace(first.variants[0], options={**options, **other})
    *_, told = forecast(replace(first, variants=(variant,)), bench)
    # Two folds of 3 + 2 iterations, each of twice the pixels: 10 x 2 x 10 s.
    assert told == "unet: 2 trainings, 10 steps, about 3 min as earlier ones in the store took"


def test_a_preset_that_changed_makes_results_old(discs, tmp_path, monkeypatch):
    (tmp_path / "file.toml").write_text(FILE)
    experiment = read_experiment(tmp_path / "file.toml")
    bench = open_bench(experiment, discs, tmp_path / "store")
    run_experiment(replace(experiment, variants=experiment.variants[:1]), bench, device="cpu")

    def later(model, name):
        earlier = preset(model, name)
        return replace(earlier, training=replace(earlier.training, gradient_clip=3.0))

    monkeypatch.setattr(presets, "preset", later)
    with pytest.raises(
        DataError, match=r"former default of settings\.training\.gradient_clip, 10\.0"
    ):
        finished_rows(experiment, bench)


def test_the_settings_lie_over_the_preset_and_the_seed_is_the_runs():
    config = Config(training=TrainingConfig(seed=7), augment=AugmentConfig(level="full"))
    options = {"preset": "report", "settings": {"training": {"optimizer": "adam"}}}
    chosen = baseline_config("mask-rcnn", options, config)
    assert (chosen.training.optimizer, chosen.training.seed) == ("adam", 7)
    assert chosen.detector.detections == 700
    assert chosen.augment.level == "full"
    assert baseline_config("mask-rcnn", options, Config()).augment.level == "flip+resize"


@pytest.mark.parametrize(
    ("options", "config", "words"),
    [
        ({}, Config(training=TrainingConfig(n_epochs=3)), "training.n_epochs: of cellflow's own"),
        (
            {"settings": {"training": {"n_epochs": 3}}},
            Config(),
            "unknown setting training.n_epochs",
        ),
        ({"settings": {"training": 3}}, Config(), "expected tables"),
        ({"preset": "fast"}, Config(), "unknown preset"),
    ],
)
def test_settings_that_a_baseline_does_not_have_are_refused(options, config, words):
    with pytest.raises(ConfigError, match=words):
        baseline_config("mask-rcnn", options, config)


def test_thresholds_of_prediction_share_the_training_and_each_is_a_result_of_its_own(
    discs, tmp_path
):
    # 15 and 0 are the defaults of flow networks, which the U-Net's are not.
    grid = '[variant.grid]\n"predict.dynamics.min_size" = [15, 5000]\n'
    text = FILE.partition('[[variant]]\nname = "slow"')[0]
    file = tmp_path / "file.toml"
    file.write_text(f'{text}[[variant]]\nname = "cut"\n{grid}')
    experiment = read_experiment(file)
    bench = open_bench(experiment, discs, tmp_path / "store")
    tasks = plan_tasks(experiment, bench)
    assert len({task.model_key for task in tasks}) == 2
    assert len({task.key for task in tasks}) == 3 * 2
    rows = run_experiment(experiment, bench, device="cpu")
    nothing = [row for row in rows if row.variant == "cut min_size=5000"]
    assert all(image["n_predicted"] == 0 for row in nothing for image in row.images.values())


def test_other_settings_of_prediction_are_refused_before_anything_trains(discs, tmp_path):
    file = tmp_path / "file.toml"
    file.write_text(FILE + "[variant.predict.dynamics]\nflow_threshold = 0.1\n")
    experiment = read_experiment(file)
    with pytest.raises(
        ConfigError, match=r"'slow': predict.dynamics.flow_threshold: the baselines"
    ):
        plan_tasks(experiment, open_bench(experiment, discs, tmp_path / "store"))


def test_options_that_a_baseline_does_not_have_are_refused():
    with pytest.raises(ConfigError, match="known: preset, settings, init, pretrain_dir"):
        find_family("cascade-mask-rcnn", {"weights": "coco"})
