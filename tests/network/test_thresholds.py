"""thresholds.json is read as it was written, and a wrong one is refused in one sentence."""

import json

import pytest

from cellflow.config import Config, DynamicsConfig, InferenceConfig
from cellflow.errors import ConfigError, ModelError
from cellflow.interval import Interval
from cellflow.network.thresholds import (
    CellSettings,
    Provenance,
    Thresholds,
    read_thresholds,
    thresholds_to_dict,
    write_thresholds,
)

TUNED = Thresholds(
    default=CellSettings(cellprob_threshold=-0.5, score_threshold=0.25),
    per_cell_type={"astro": CellSettings(min_size=70, boundary_shift=0.5, diameter=34.0)},
    tuned=True,
    provenance=Provenance(
        how="swept",
        images_sha256="ab",
        n_images=3,
        images=("a", "b", "c"),
        scores={"nested": Interval(estimate=0.3, low=float("nan"), high=0.4)},
    ),
)


def put(folder, **changes):
    content = {"tuned": False, "default": {}, "per_cell_type": {}, **changes}
    (folder / "thresholds.json").write_text(json.dumps(content))


def test_thresholds_are_read_as_they_were_written(tmp_path):
    write_thresholds(tmp_path, TUNED)
    found = read_thresholds(tmp_path)
    assert (found.default, found.per_cell_type) == (TUNED.default, TUNED.per_cell_type)
    assert found.tuned
    # NaN, which is unequal to itself, goes through JSON as null.
    assert str(thresholds_to_dict(found)) == str(thresholds_to_dict(TUNED))


def test_what_a_file_does_not_set_has_its_default(tmp_path):
    put(tmp_path, default={"cellprob_threshold": -1, "flow_threshold": 0.6, "min_size": 20})
    expected = CellSettings(cellprob_threshold=-1, flow_threshold=0.6, min_size=20)
    assert read_thresholds(tmp_path) == Thresholds(default=expected)


def test_a_type_without_settings_of_its_own_has_the_default():
    assert TUNED.of_type("astro").min_size == 70
    assert TUNED.of_type("cort") is TUNED.of_type(None) is TUNED.default


def test_settings_go_into_a_config_and_come_back():
    config = Config(dynamics=DynamicsConfig(n_steps=7), inference=InferenceConfig(diameter=20.0))
    applied = TUNED.per_cell_type["astro"].applied_to(config)
    assert (applied.dynamics.n_steps, applied.dynamics.min_size) == (7, 70)
    assert applied.inference.diameter == 34.0
    assert TUNED.default.applied_to(config).inference.diameter == 20.0
    assert CellSettings.of(applied) == TUNED.per_cell_type["astro"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 3}, "newer cellflow"),
        ({"format": 0}, "broken .format: expected a number from 1, found 0"),
        ({"format": "2"}, "broken .format: expected a number from 1, found '2'"),
        ({"tuned": 1}, "tuned: expected true or false, found 1"),
        ({"default": []}, r"default: expected an object, found \[\]"),
        ({"extra": 1}, "unknown entry extra; known: format, tuned"),
        ({"default": {"min_sice": 1}}, r"unknown entry default\.min_sice; known: cellprob_thr"),
        ({"default": {"min_size": 1.5}}, r"default\.min_size: expected a whole number, found 1.5"),
        ({"default": {"flow_threshold": True}}, r"default\.flow_threshold: expected a number"),
        ({"default": {"flow_threshold": None}}, r"default\.flow_threshold: expected a number"),
        ({"per_cell_type": {"astro": 3}}, r"per_cell_type\.astro: expected an object"),
        ({"per_cell_type": {"astro": {"score_threshold": 2}}}, "expected 0 to 1, found 2"),
        ({"default": {"boundary_shift": -11}}, "expected -10 to 10 px, found -11"),
        ({"default": {"diameter": 0.5}}, r"inference\.diameter: expected 1 to 100000 px"),
        ({"provenance": {"how": "x"}}, "provenance is broken"),
        (
            {"provenance": {"how": "x", "images_sha256": "0", "n_images": 1, "scores": {}}},
            "provenance is broken: 'images'",
        ),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(tmp_path, changes, message):
    put(tmp_path, **changes)
    with pytest.raises(ModelError, match=message) as caught:
        read_thresholds(tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[]", None])
def test_a_missing_or_broken_file_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "thresholds.json").write_text(content)
    with pytest.raises(ModelError, match=str(tmp_path)):
        read_thresholds(tmp_path)


def test_settings_out_of_range_cannot_be_made():
    with pytest.raises(ConfigError, match="min_size"):
        CellSettings(min_size=-1)
