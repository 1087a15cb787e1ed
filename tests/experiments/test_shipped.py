"""The files that come with cellflow: each parses, plans, and asks for settings that exist."""

import tomllib
from dataclasses import replace

import pytest
from cellflow_cli.experiment import command
from click.testing import CliRunner

from cellflow.errors import ConfigError, ModelError
from cellflow.experiments.bench import open_bench
from cellflow.experiments.forecast import forecast
from cellflow.experiments.plan import read_experiment
from cellflow.experiments.run import run_experiment
from cellflow.experiments.shipped import SHIPPED, find_experiment, shipped_experiments
from cellflow.experiments.tasks import plan_tasks

NAMES = sorted(path.stem for path in SHIPPED.glob("*.toml"))
SECTIONS = {"5.1", "5.2", "5.3", "5.4", "5.5", "5.6", "5.7", "5.8", "5.9", ""}


@pytest.fixture(autouse=True)
def _torchvision(monkeypatch):
    """Plan with the detectors too where the extra is not installed: nothing of it is used."""
    monkeypatch.setattr("cellflow.baselines.operators.load_torchvision", lambda: None)


@pytest.fixture
def read(tmp_path, write_squares):
    """Read a shipped file with every folder that it asks for."""

    def make(name, **changes):
        path = find_experiment(name)
        if "livecell =" in path.read_text(encoding="utf-8"):
            folder = tmp_path / "livecell"
            changes["folders"] = {
                "livecell": folder if folder.exists() else write_squares(folder, 3, first=20)
            }
        return read_experiment(path, **changes)

    return make


@pytest.mark.parametrize("name", NAMES)
def test_every_file_plans_and_says_what_it_would_take(name, read, data, tmp_path, monkeypatch):
    monkeypatch.setattr("cellflow.training.rehearsal.measure_step", lambda config, device: 0.5)
    plan = read(name)
    bench = open_bench(plan, data, tmp_path / "store")
    tasks = plan_tasks(plan, bench)
    assert len(tasks) == len(plan.variants) * len(plan.seeds) * 5
    lines = forecast(plan, bench)
    assert f"= {len(tasks)} results, 0 in the store" in lines[0]
    assert any("steps of 0.5 s here: " in line for line in lines)


def test_a_family_whose_extra_is_missing_is_one_line_before_anything_trains(
    read, data, tmp_path, monkeypatch
):
    def missing():
        raise ModelError("torchvision is not installed: the extra [rcnn]")

    monkeypatch.setattr("cellflow.baselines.operators.load_torchvision", missing)
    plan = read("model_selection")
    bench = open_bench(plan, data, tmp_path / "store")
    with pytest.raises(ConfigError, match=r"variant 'Mask R-CNN .*': torchvision is not inst") as e:
        run_experiment(plan, bench)
    assert "\n" not in str(e.value)
    assert not (tmp_path / "store" / "models").exists()


def test_there_is_one_for_each_section_of_the_seed_report():
    files = [find_experiment(name).read_text(encoding="utf-8") for name in NAMES]
    assert sorted(tomllib.loads(text).get("section", "") for text in files) == sorted(SECTIONS)


def test_all_kinds_of_models_have_one_augmentation_and_choose_among_as_many_thresholds(read):
    variants = [v for v in read("model_selection").variants if v.family != "cellpose"]
    assert {v.config.augment.level for v in variants} == {"report"}
    groups = [v.group for v in read("model_selection").variants]
    assert {groups.count(name) for name in groups} == {4}


def test_every_optimiser_searches_as_many_rates(read):
    groups = [variant.group for variant in read("optimiser").variants]
    assert {groups.count(name) for name in groups} == {4}
    assert sorted(set(groups)) == ["adam", "adamw", "radam", "sgd"]


def test_a_name_finds_the_shipped_file_and_a_path_any_other(tmp_path):
    assert find_experiment("optimiser") == SHIPPED / "optimiser.toml"
    own = tmp_path / "optimiser"
    own.write_text("x")
    assert find_experiment(str(own)) == own
    with pytest.raises(ConfigError, match=r"optimizer: no such file.*known: augmentation, "):
        find_experiment("optimizer")


def test_the_list_gives_each_one_line(read):
    shown = CliRunner().invoke(command, ["list"])
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert [line.split()[0] for line in lines] == NAMES
    for line, name in zip(lines, NAMES, strict=True):
        assert line.endswith(shipped_experiments()[name])
        assert len(line) <= 120


def test_a_shipped_file_is_shown_as_it_is():
    shown = CliRunner().invoke(command, ["show", "optimiser"])
    assert shown.stdout == (SHIPPED / "optimiser.toml").read_text(encoding="utf-8")


def test_the_optimiser_file_killed_and_resumed_gives_the_same_store(
    family, read, data, tmp_path, monkeypatch
):
    changes = {"assignments": ["family=threshold"]}
    plan = read("optimiser", **changes)
    few = plan.variants[::4]  # one rate of each optimiser
    plan = replace(plan, variants=few)
    monkeypatch.setattr(family, "check", lambda *asked: None)
    whole = run_experiment(plan, open_bench(plan, data, tmp_path / "whole"))
    family.trained.clear()
    train = family.train

    def killed(job, report, say):
        if len(family.trained) == 7:
            raise KeyboardInterrupt
        return train(job, report, say)

    bench = open_bench(plan, data, tmp_path / "killed")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(family, "train", killed)
        run_experiment(plan, bench)
    rows = run_experiment(plan, bench)
    assert len(family.trained) == len(plan.variants) * 5
    assert [(r.key, r.images) for r in rows] == [(r.key, r.images) for r in whole]
    family.trained.clear()
    more = read("optimiser", seeds=(0, 1), **changes)
    run_experiment(replace(more, variants=few), bench)
    assert {seed for seed, _ in family.trained} == {1}


def test_the_command_line_names_seeds_and_folders(data, tmp_path, write_squares, monkeypatch):
    monkeypatch.setattr("cellflow.training.rehearsal.measure_step", lambda config, device: 0.5)
    places = ["--train-dir", str(data), "--store", str(tmp_path / "store"), "--dry-run"]
    start = ["run", "livecell_transfer", *places]
    missing = CliRunner().invoke(command, start)
    assert "give --folder livecell=PATH: annotated images of LIVECell" in str(missing.exception)
    wrong = CliRunner().invoke(command, [*start, "--folder", "livecell"])
    assert wrong.exit_code == 2
    assert "expected NAME=PATH" in wrong.output
    other = write_squares(tmp_path / "other", 3, first=20)
    options = ["--folder", f"livecell={other}", "--seed", "4", "--seed", "5", "--rank-by", "best"]
    done = CliRunner().invoke(command, [*start, *options])
    assert done.exit_code == 0, done.output
    assert "5 variants × 5 folds × 2 seeds = 50 results, 0 in the store" in done.stdout
    assert f"before them 2 trainings on {other} (3 images)" in done.stdout
