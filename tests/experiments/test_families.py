"""The real families, on discs that a small network learns within seconds."""

import re
import shutil
import signal
from dataclasses import replace

import pytest
from cellflow_cli.experiment import command
from click.testing import CliRunner
from drawn_discs import write_disc_folder

from cellflow.comparison.reference import train_reference
from cellflow.config import Config
from cellflow.errors import ConfigError, DataError
from cellflow.experiments.bench import open_bench
from cellflow.experiments.plan import read_experiment
from cellflow.experiments.run import finished_rows, run_experiment
from cellflow.network.thresholds import CellSettings, Thresholds, write_thresholds
from cellflow.training.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("one_thread")

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


@pytest.fixture
def discs(tmp_path):
    return write_disc_folder(tmp_path / "discs", 4)


def write_experiment(tmp_path, base, n_epochs):
    path = tmp_path / "small.toml"
    path.write_text(SMALL.format(base=base, n_epochs=n_epochs))
    return path


def test_an_experiment_killed_in_a_training_gives_the_same_store_as_one_in_one_go(discs, tmp_path):
    plan = read_experiment(write_experiment(tmp_path, 'init = "scratch"', 3))
    whole = run_experiment(plan, open_bench(plan, discs, tmp_path / "whole"), device="cpu")

    def stop(step, numbers):
        if step == 2:
            signal.raise_signal(signal.SIGTERM)

    bench = open_bench(plan, discs, tmp_path / "killed")
    said = []
    with pytest.raises(KeyboardInterrupt):
        run_experiment(plan, bench, device="cpu", report=stop, say=said.append)
    assert "continue with:\n  the same `cellflow experiment run`" in said[-1]
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


def test_cellposes_own_trainer_keeps_other_processes_out(tmp_path):
    folder = tmp_path / "model"
    with (
        RunFolder(path=folder).occupied(),
        pytest.raises(DataError, match="another process is training there"),
    ):
        train_reference([], Config(), folder, "cpu")


STAGES = """
folds = 2
[base]
init = "scratch"
pretrain_dir = "other"
[base.network]
channels_per_level = [4, 8]
diam_mean = 12.0
[base.training]
n_epochs = 2
batch_size = 2
crop_size = 32
validate_every = 1
[base.stages]
pretrain_epochs = 3
refit_share = 0.5
[base.inference]
tile_size = 64
precision = "float32"
[[variant]]
name = "two stages"
[[variant]]
name = "and a refit"
final = "all"
[[variant]]
name = "and more images"
extra_dir = "other"
"""


def test_folds_share_the_stage_on_other_images_and_steps_count_over_all_stages(tmp_path):
    discs = write_disc_folder(tmp_path / "discs", 6)
    table = write_disc_folder(tmp_path / "other", 3, seed=5) / "train.csv"
    table.write_text(table.read_text().replace("p_A", "q_A"))  # other wells
    path = tmp_path / "stages.toml"
    path.write_text(STAGES)
    plan = read_experiment(path)

    def stop(step, numbers):
        stop.n_steps += 1
        if stop.n_steps == 2:  # in the stage on other images
            raise KeyboardInterrupt

    stop.n_steps = 0
    bench = open_bench(plan, discs, tmp_path / "store")
    with pytest.raises(KeyboardInterrupt):
        run_experiment(plan, bench, device="cpu", report=stop)
    told = []
    rows = run_experiment(plan, bench, device="cpu", say=told.append)
    first = replace(plan, variants=plan.variants[:1])
    whole = run_experiment(first, open_bench(plan, discs, tmp_path / "whole"), device="cpu")
    again = [row for row in rows if row.variant == "two stages"]
    assert [(row.key, row.images) for row in again] == [(row.key, row.images) for row in whole]
    (shared,) = (tmp_path / "store" / "pretraining").iterdir()
    assert [path.name for path in shared.iterdir()] == ["pretrain-1"]
    of = {row.variant: row.facts["n_steps"] for row in rows}
    # Three epochs of two images before; then two epochs of three images, in pairs.
    assert of["two stages"] == 3 * 1 + 2 * 2
    assert of["and more images"] == 3 * 1 + 2 * 3
    assert of["and a refit"] > of["two stages"] - 2
    curves = {row.variant: [step for step, _, _ in row.curve] for row in rows}
    assert curves["two stages"] == [5, 7]
    assert curves["and a refit"][-1] == of["and a refit"]


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("init = 3", "init: expected a name or a path, found 3"),
        ('init = "cito3"', "init: no such file or folder, 'cito3', nor one of scratch, "),
        ('family = "unet"\ninit = "scratch"', "init: expected 'random' or the path of weights"),
        ('final = "never"', "final: expected validation_then_train or all, found 'never'"),
        ('color = "red"', "unknown option 'color' of the family cellflow; known: init, pretrain"),
        ('family = "cellpose"\ninit = "scratch"', "unknown option 'init' of the family cellpose"),
        ('family = "cellpose"\ntraining.style = false', "Cellpose's own .* no training.style"),
        ('family = "cellpose"\ntraining.schedule = "step"', "Cellpose has no schedule step"),
        ('family = "cellpose"\ntraining.max_minutes = 3', "no training.max_minutes"),
        (
            'family = "cellpose"\npredict.dynamics.score_threshold = 0.5',
            "no dynamics.score_threshold",
        ),
    ],
)
def test_what_a_family_cannot_do_is_refused_before_anything_trains(discs, tmp_path, base, message):
    path = tmp_path / "file.toml"
    path.write_text(f'folds = 2\n[base]\n{base}\n[[variant]]\nname = "a"')
    plan = read_experiment(path)
    bench = open_bench(plan, discs, tmp_path / "store")
    with pytest.raises(ConfigError, match=message):
        run_experiment(plan, bench, device="cpu")
    assert not (tmp_path / "store" / "models").exists()


def test_the_dry_run_trains_nothing_and_a_folder_gets_the_page_with_its_pictures(discs, tmp_path):
    file = write_experiment(tmp_path, 'init = "scratch"', 2)
    places = ["--train-dir", str(discs), "--store", str(tmp_path / "store")]
    dry = CliRunner().invoke(command, ["run", str(file), *places, "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert "to do: 2 trainings" in dry.stdout
    assert re.search(r"cellflow: 2 trainings, 4 steps of [\d.e-]+ s here: \d+ s", dry.stdout)
    assert not (tmp_path / "store").exists()
    empty = CliRunner().invoke(command, ["table", str(file), *places])
    assert "no result of 'small' yet" in str(empty.exception)
    assert not (tmp_path / "store").exists()
    options = ["--device", "cpu", "--set", "training.validate_every=1", "--out"]
    ran = CliRunner().invoke(command, ["run", str(file), *places, *options, str(tmp_path / "page")])
    assert ran.exit_code == 0, ran.output
    names = sorted(path.name for path in (tmp_path / "page").iterdir())
    # Against minutes, trainings this short are drawn only where those of both folds overlap.
    assert [name for name in names if "minutes" not in name] == ["small-steps.png", "small.md"]
    page = (tmp_path / "page" / "small.md").read_text(encoding="utf-8")
    assert page == ran.stdout
    for text in ("| small |", "Fairness:", "(small-steps.png)", "same operators: PyTorch's own"):
        assert text in page


ANSWERS = """
[base.dynamics]
cellprob_threshold = -6.0
flow_threshold = 0.0
min_size = 0
[[variant]]
name = "surer"
[variant.predict.dynamics]
cellprob_threshold = 0.0
[[variant]]
name = "other views"
[variant.predict.inference]
views = 2
[[variant]]
name = "large ones"
[variant.predict.dynamics]
min_size = 20
"""


def test_what_the_network_says_is_kept_while_several_ask_and_changes_no_answer(discs, tmp_path):
    file = write_experiment(tmp_path, 'init = "scratch"', 4)
    file.write_text(file.read_text() + ANSWERS)
    plan = read_experiment(file)
    store = tmp_path / "kept"
    said = []

    def look(text):
        said.append((text.partition(",")[0], (store / "flows").exists()))

    rows = run_experiment(plan, open_bench(plan, discs, store), device="cpu", say=look)
    assert ("3/8: other views", True) in said
    assert list((store / "flows").iterdir()) == []
    assert all(row.facts["flows_kept"] for row in rows)
    alone = []
    bench = open_bench(plan, discs, tmp_path / "alone")
    for variant in plan.variants:
        alone += run_experiment(replace(plan, variants=(variant,)), bench, device="cpu")
    assert not any(row.facts["flows_kept"] for row in alone)
    wanted = {row.key: (row.variant, row.images) for row in alone}
    assert {row.key: (row.variant, row.images) for row in rows} == wanted
    counts = {row.variant: sum(i["n_predicted"] for i in row.images.values()) for row in rows}
    assert len(set(counts.values())) > 2  # the variants do differ


def test_thresholds_that_the_held_out_images_chose_do_not_come_back_as_a_result(discs, tmp_path):
    file = write_experiment(tmp_path, 'init = "scratch"', 4)
    file.write_text(file.read_text() + ANSWERS.partition("[[variant]]")[0])
    plan = read_experiment(file)
    bench = open_bench(plan, discs, tmp_path / "store")
    first = run_experiment(plan, bench, device="cpu")
    tuned = CellSettings(min_size=100_000)
    for folder in (tmp_path / "store" / "models").glob("*/"):
        kinds = {"cort": tuned}
        write_thresholds(folder, Thresholds(default=tuned, per_cell_type=kinds, tuned=True))
    shutil.rmtree(tmp_path / "store" / "rows")
    again = run_experiment(plan, bench, device="cpu")
    assert sum(i["n_predicted"] for row in first for i in row.images.values()) > 0
    assert [row.images for row in again] == [row.images for row in first]
