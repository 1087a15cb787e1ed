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
    ],
)
def test_a_broken_file_is_refused_by_name(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as error:
        read_experiment(write(tmp_path, text))
    assert "file.toml" in str(error.value)
