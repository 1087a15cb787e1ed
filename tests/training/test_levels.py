"""Levels of augmentation: what they switch on, and what is set beside them."""

import pytest

from cellflow.config import AugmentConfig
from cellflow.configfile import config_from_dict, config_to_dict, read_config
from cellflow.errors import ConfigError
from cellflow.training.levels import LEVELS, Levers, choose_levers, describe_levers, settle_levels


def test_none_switches_everything_off():
    assert LEVELS["none"] == Levers()


def test_the_default_is_cellposes_geometry_alone():
    levers = choose_levers(AugmentConfig())
    assert levers == Levers(horizontal_flip=0.5, rotation=180.0, scale_range=0.5)


def test_the_report_adds_its_four_levers_to_flip_and_resize():
    report, plain = LEVELS["report"], LEVELS["flip+resize"]
    changed = {name for name in Levers.__slots__ if getattr(report, name) != getattr(plain, name)}
    assert changed == {"vertical_flip", "scale_range", "brightness", "contrast"}


def test_a_lever_that_is_set_takes_the_levels_place_even_when_it_is_off():
    levers = choose_levers(AugmentConfig(level="full", mosaic=0.0, blur=3.0, quarter_turns=True))
    assert (levers.mosaic, levers.blur, levers.quarter_turns) == (0.0, 3.0, True)
    assert levers.noise == LEVELS["full"].noise


def test_settled_levels_say_every_lever_and_mean_the_same():
    config = AugmentConfig(level="report", scale_range_by_type={"astro": 1.2})
    settled = settle_levels(config)
    assert choose_levers(settled) == choose_levers(config)
    assert settled.noise == 0.0
    assert settle_levels(settled) == settled


def test_levers_in_words():
    assert describe_levers(AugmentConfig(level="none")) == (
        "level none (nothing but the place of the crop)"
    )
    config = AugmentConfig(level="none", quarter_turns=True, scale_range_by_type={"astro": 0.8})
    assert describe_levers(config) == "level none (quarter turns, scale range by type astro 0.8)"


def test_levels_and_levers_are_set_from_the_command_line_and_survive_json():
    config = read_config(
        None,
        [
            "augment.level=report",
            "augment.quarter_turns=true",
            "augment.scale_range_by_type={astro = 1, cort = 0.3}",
        ],
    )
    assert config.augment.scale_range_by_type == {"astro": 1.0, "cort": 0.3}
    assert config_from_dict(config_to_dict(config)) == config


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("augment.level=strong", r"augment\.level: expected one of none, flip\+resize, report"),
        ("augment.noise=-1", r"augment\.noise: expected 0 to 10, found -1"),
        ("augment.rotation=200", r"augment\.rotation: expected 0 to 180, found 200"),
        ("augment.probability=2", r"augment\.probability: expected 0 to 1, found 2"),
        ("augment.scale_range_by_type={astro = 3}", r"by_type\.astro: expected 0 to 1\.9, found 3"),
        ("augment.scale_range_by_type={astro = true}", r"by_type\.astro: expected float"),
        ("augment.scale_range_by_type=3", r"scale_range_by_type: expected Mapping, found 3"),
        ("augment.sharpen=1", r"unknown setting augment\.sharpen; known: level, horizontal_flip"),
    ],
)
def test_a_wrong_lever_is_refused(assignment, message):
    with pytest.raises(ConfigError, match=message):
        read_config(None, [assignment])
