"""Settings: default < file < assignment < named option, and no silent acceptance."""

import dataclasses
import json

import numpy as np
import pytest

from cellflow.config import Config, TrainingConfig
from cellflow.configfile import (
    config_from_dict,
    config_to_dict,
    normal,
    read_config,
)
from cellflow.errors import ConfigError


def test_without_anything_the_defaults_stand():
    assert read_config() == Config()


def test_later_sources_win(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("[training]\nseed = 1\nbatch_size = 2\nn_epochs = 3\n")
    config = read_config(
        file,
        ["training.batch_size=4", "training.n_epochs=5"],
        {"training.n_epochs": 6, "training.crop_size": None},
    )
    assert (config.training.seed, config.training.batch_size, config.training.n_epochs) == (1, 4, 6)
    assert config.training.crop_size == TrainingConfig().crop_size


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        (
            "training.lerning_rate=1",
            r"unknown setting training\.lerning_rate; known: .*learning_rate",
        ),
        ("trainig.seed=1", "unknown section 'trainig'; known: data, network, training"),
        ("training.seed=1.5", r"training\.seed: expected int, found 1\.5"),
        ("training.seed=true", r"training\.seed: expected int, found True"),
        ("training.seed=-1", r"training\.seed: expected >= 0, found -1"),
        ("training.optimizer=lion", "expected one of sgd, adam, adamw, radam, found 'lion'"),
        ("training.crop_size=100", "multiple of 16"),
        ("training.ema_decay=1", r"training\.ema_decay: expected between 0 and 1, found 1"),
        ("training.gradient_clip=0", r"training\.gradient_clip: expected > 0, found 0"),
        ("training.patience=0", r"training\.patience: expected > 0, found 0"),
        ("training.max_minutes=-1", r"training\.max_minutes: expected > 0, found -1"),
        ("training.step_every=0", r"training\.step_every: expected > 0, found 0"),
        ("training.step_gamma=1.5", r"training\.step_gamma: expected above 0, at most 1"),
        ("network.channels_per_level=[2,2,2,2,2,2]", "expected 2 to 5 positive sizes"),
        ("inference.diameter=1e30", r"diameter: expected 1 to 100000 px, found 1e\+30"),
        ("inference.tile_overlap=0", r"tile_overlap: expected 0\.05 to 0\.5, found 0"),
        ("data.channels=[1]", "expected two numbers"),
        ("data.flatten=3", r"data\.flatten: expected"),
        ("seed=3", r"expected SECTION\.KEY=VALUE"),
        ("training.seed", r"expected SECTION\.KEY=VALUE"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_is_known(assignment, message):
    with pytest.raises(ConfigError, match=message):
        read_config(None, [assignment])


def test_values_take_the_type_of_their_field():
    config = read_config(
        None,
        [
            "training.learning_rate=1",
            "training.max_minutes=none",
            "data.channels=[1, 2]",
            "training.schedule=cosine",
            'training.optimizer="sgd"',
        ],
    )
    assert isinstance(config.training.learning_rate, float)
    assert config.training.max_minutes is None
    assert config.data.channels == (1, 2)
    assert (config.training.schedule, config.training.optimizer) == ("cosine", "sgd")


def test_a_config_survives_json():
    config = read_config(None, ["network.diam_mean=17", "training.max_minutes=3"])
    assert config_from_dict(json.loads(json.dumps(config_to_dict(config)))) == config


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*none\.toml"):
        read_config(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[training\n")
    with pytest.raises(ConfigError, match=r"broken\.toml is not valid TOML"):
        read_config(broken)


def test_settings_made_in_python_become_those_of_a_file():
    odd = Config(training=TrainingConfig(validation_share=0, n_epochs=np.int64(3)))
    share, epochs = normal(odd).training.validation_share, normal(odd).training.n_epochs
    assert (type(share), share, type(epochs), epochs) == (float, 0.0, int, 3)
    odd = Config(training=TrainingConfig(learning_rate=np.float32(0.5)))
    assert type(normal(odd).training.learning_rate) is float
    with pytest.raises(ConfigError, match=r"training\.n_epochs: expected int, found 2\.5"):
        normal(Config(training=TrainingConfig(n_epochs=2.5)))


def test_the_file_is_named_where_it_is_what_is_wrong(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[training]\nbatch_sizes = 3\n")
    with pytest.raises(
        ConfigError, match=r"mine\.toml: unknown setting training\.batch_sizes; known"
    ):
        read_config(file)
    file.write_text("[training]\nbatch_size = 0\n")
    with pytest.raises(ConfigError, match=r"mine\.toml: training\.batch_size: expected"):
        read_config(file, ["training.seed=1"])
    with pytest.raises(ConfigError, match=r"^training\.seed: expected"):
        read_config(file, ["training.batch_size=1", "training.seed=x"])
    assert read_config(file, ["training.batch_size=1"]).training.batch_size == 1


def test_every_setting_has_its_default_and_is_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().training = TrainingConfig()
