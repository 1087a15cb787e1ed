from pathlib import Path

import pytest

from cellflow.errors import ConfigError
from cellflow.experiments.plan import read_experiment


def write(tmp_path, text):
    path = tmp_path / "file.toml"
    path.write_text(text)
    return path


def test_a_variant_lays_its_settings_over_the_base(tmp_path):
    text = """
    [base]
    init = "scratch"
    [base.training]
    n_epochs = 7
    batch_size = 4
    [[variant]]
    name = "a"
    [[variant]]
    name = "b"
    [variant.training]
    n_epochs = 9
    """
    a, b = read_experiment(write(tmp_path, text)).variants
    assert (a.config.training.n_epochs, a.config.training.batch_size) == (7, 4)
    assert (b.config.training.n_epochs, b.config.training.batch_size) == (9, 4)
    assert a.options == b.options == {"init": "scratch"}


def test_a_grid_gives_a_variant_for_every_combination(tmp_path):
    text = """
    [[variant]]
    name = "sgd"
    [variant.training]
    optimizer = "sgd"
    [variant.grid]
    "training.learning_rate" = [0.1, 0.2]
    "training.batch_size" = [2, 4]
    """
    variants = read_experiment(write(tmp_path, text)).variants
    assert [variant.name for variant in variants] == [
        "sgd learning_rate=0.1 batch_size=2", "sgd learning_rate=0.1 batch_size=4",
        "sgd learning_rate=0.2 batch_size=2", "sgd learning_rate=0.2 batch_size=4",
    ]  # fmt: skip
    assert {variant.config.training.optimizer for variant in variants} == {"sgd"}
    assert [variant.config.training.learning_rate for variant in variants] == [0.1, 0.1, 0.2, 0.2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nmae = 'x'\n[[variant]]\nname = 'a'", "unknown key 'nmae'; known: name"),
        ("[[variant]]\nname = 'a'\n[variant.training]\nepochs = 3", "training.epochs; known"),
        ("[[variant]]\nname = 'a'\n[variant.predict.training]\nseed = 3", "unknown key 'training'"),
        ("[[variant]]\nname = 'a'\n[[variant]]\nname = 'a'", "two variants of the name 'a'"),
        ("[[variant]]\nepochs = 3", "has no name"),
        ("seeds = []\n[[variant]]\nname = 'a'", "seeds: expected a list of whole numbers"),
        ("rank_by = 'luck'\n[[variant]]\nname = 'a'", "rank_by: expected one of last, best"),
        ("name = 'x'", r"no \[\[variant\]\]"),
        ("name = ", "not valid TOML"),
        ("[base.grid]\nx = 3\n[[variant]]\nname = 'a'", "grid: expected lines such as"),
        ("[[variant]]\nname = 'a'\npretrain_dir = 3", "pretrain_dir: expected a path or a list"),
        ("[[variant]]\nname = 'a'\npretrain_dir = '{x}'", r"\[folders\] has no 'x'"),
        (
            "[folders]\nx = 'cells'\n[[variant]]\nname = 'a'\npretrain_dir = '{x}'",
            "give --folder x=PATH: cells",
        ),
        ("[[reported]]\nname = 'x'\n[[variant]]\nname = 'a'", "expected name and score"),
        (
            "[family.unet]\n[[variant]]\nname = 'a'",
            "no variant has this family; there are cellflow",
        ),
        ("family = 3\n[[variant]]\nname = 'a'", "family: expected a table"),
        ("[[variant]]\nname = 'a'\nfamily = 3", "family: expected a name, found 3"),
        ("[[reported]]\nscor = 3\n[[variant]]\nname = 'a'", "reported: unknown key 'scor'"),
        ("[variant]\nname = 'a'", r"variant: expected tables in double brackets, \[\[variant\]\]"),
        ("base = 3\n[[variant]]\nname = 'a'", "base: expected a table, found 3"),
        ("folds = 'five'\n[[variant]]\nname = 'a'", "folds: expected a whole number"),
        ("folds_seed = -1\n[[variant]]\nname = 'a'", "folds_seed: expected 0 or more"),
        ("name = 'a/b'\n[[variant]]\nname = 'a'", "name: is that of files too"),
        ("seeds = [0, 0]\n[[variant]]\nname = 'a'", "seeds: each once"),
        ("[[variant]]\nname = 'a'\npredict = 3", "'a', predict: expected tables, found 3"),
        (
            "[family.cellflow]\nfamily = 'unet'\n[[variant]]\nname = 'a'",
            r"\[family.cellflow\]: family may only be set in \[\[variant\]\]",
        ),
    ],
)
def test_a_broken_file_is_refused_by_name(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as error:
        read_experiment(write(tmp_path, text))
    assert "file.toml" in str(error.value)


def test_what_the_command_line_sets_lies_between_the_base_and_the_variants(tmp_path):
    text = """
    seeds = [0]
    [base.training]
    n_epochs = 7
    batch_size = 4
    [[variant]]
    name = "a"
    [[variant]]
    name = "b"
    [variant.training]
    n_epochs = 9
    """
    given = ["training.n_epochs=2", "init=scratch", "augment.level=none"]
    plan = read_experiment(
        write(tmp_path, text), assignments=given, seeds=(4, 5), rank_by="stability"
    )
    assert [v.config.training.n_epochs for v in plan.variants] == [2, 9]
    assert {v.config.training.batch_size for v in plan.variants} == {4}
    assert {v.options["init"] for v in plan.variants} == {"scratch"}
    assert {v.config.augment.level for v in plan.variants} == {"none"}
    assert (plan.seeds, plan.rank_by) == ((4, 5), "stability")


def test_a_family_has_a_table_of_its_own(tmp_path):
    text = """
    [base.augment]
    level = "none"
    [family.cellflow.training]
    n_epochs = 7
    [family.unet.settings.training]
    iterations = 30
    [[variant]]
    name = "a"
    [[variant]]
    name = "b"
    [variant.training]
    n_epochs = 9
    [[variant]]
    name = "c"
    family = "unet"
    """
    given = ["cellflow.training.n_epochs=2", "unet.settings.training.iterations=5"]
    a, b, c = read_experiment(write(tmp_path, text)).variants
    assert [v.config.training.n_epochs for v in (a, b, c)] == [7, 9, 200]
    assert c.options == {"settings": {"training": {"iterations": 30}}}
    assert {v.config.augment.level for v in (a, b, c)} == {"none"}
    a, b, c = read_experiment(tmp_path / "file.toml", assignments=given).variants
    assert [v.config.training.n_epochs for v in (a, b)] == [2, 9]
    assert c.options == {"settings": {"training": {"iterations": 5}}}


def test_some_variants_of_a_file_may_be_chosen(tmp_path):
    path = tmp_path / "e.toml"
    path.write_text(
        "[family.unet.settings.training]\niterations = 9\n"
        '[[variant]]\nname = "a"\n[[variant]]\nname = "b"\nfamily = "unet"\n'
        '[[variant]]\nname = "c"\n[variant.grid]\n"training.seed" = [1, 2]\n'
    )
    whole = read_experiment(path)
    chosen = read_experiment(path, variants=["c", "a"])
    assert chosen.variants == (whole.variants[0], *whole.variants[2:])
    assert read_experiment(path, variants=["b"]).variants == whole.variants[1:2]
    path.write_text(
        path.read_text() + '[[variant]]\nname = "e"\npretrain_dir = "{l}"\n[folders]\nl = "L"\n'
    )
    assert read_experiment(path, variants=["a"]).variants == whole.variants[:1]
    with pytest.raises(ConfigError, match="give --folder l=PATH: L"):
        read_experiment(path, variants=["a", "e"])
    with pytest.raises(ConfigError, match=r"--variant d: no such variant; there are a, b, c"):
        read_experiment(path, variants=["d"])


def test_a_family_that_the_command_line_leaves_without_variants_is_refused(tmp_path):
    text = "[family.cellflow.training]\nn_epochs = 7\n[[variant]]\nname = 'a'"
    with pytest.raises(ConfigError, match="no variant has this family; there are unet"):
        read_experiment(write(tmp_path, text), assignments=["family=unet"])


@pytest.mark.parametrize(
    "given", ["training.n_epochs=2", "unet.settings.training.iterations=5", "training.batch_size=2"]
)
def test_what_would_change_no_variant_is_refused(tmp_path, given):
    text = """
    [family.cellflow.training]
    n_epochs = 7
    [[variant]]
    name = "a"
    [variant.grid]
    "training.batch_size" = [4, 8]
    [[variant]]
    name = "b"
    family = "unet"
    training = { n_epochs = 3, batch_size = 4 }
    settings.training.iterations = 30
    """
    with pytest.raises(ConfigError, match=f"--set {given}: would change nothing.* cellflow, unet"):
        read_experiment(write(tmp_path, text), assignments=[given])


@pytest.mark.parametrize(
    ("given", "message"),
    [("init", "--set init: expected KEY=VALUE"), ("training.x=1", "unknown setting training.x"),
     ("init.x=1", "init is a value, not a table")],
)  # fmt: skip
def test_what_cannot_be_set_is_refused(tmp_path, given, message):
    path = write(tmp_path, "[base]\ninit = 'scratch'\n[[variant]]\nname = 'a'")
    with pytest.raises(ConfigError, match=message):
        read_experiment(path, assignments=[given])


def test_folders_are_found_from_the_file_or_named_on_the_command_line(tmp_path, monkeypatch):
    text = """
    [folders]
    livecell = "cells"
    [[variant]]
    name = "a"
    pretrain_dir = ["near", "/far", "{livecell}"]
    extra_dir = "near/too"
    """
    monkeypatch.chdir(tmp_path)
    (variant,) = read_experiment(write(tmp_path, text), folders={"livecell": Path("here")}).variants
    near, here = tmp_path / "near", tmp_path / "here"
    assert variant.options["pretrain_dir"] == [str(near), "/far", str(here)]
    assert variant.options["extra_dir"] == [str(near / "too")]
    with pytest.raises(ConfigError, match=r"--folder livecel: not asked for.*: livecell"):
        read_experiment(tmp_path / "file.toml", folders={"livecel": near})


def test_variants_of_a_grid_remember_whose_they_are(tmp_path):
    text = """
    [[variant]]
    name = "a"
    [variant.grid]
    "predict.dynamics.min_size" = [15, 30]
    [[variant]]
    name = "b"
    """
    variants = read_experiment(write(tmp_path, text)).variants
    assert [v.group for v in variants] == ["a", "a", "b"]
    assert [dict(v.predict) for v in variants[:2]] == [
        {"dynamics": {"min_size": size}} for size in (15, 30)
    ]
