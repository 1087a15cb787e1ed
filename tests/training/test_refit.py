"""The effect of a refit has the interval that its images allow."""

from dataclasses import asdict

import numpy as np
import pytest

from cellflow.errors import ModelError
from cellflow.metrics.bootstrap import mean_interval
from cellflow.training.refit import Effect, read_effect

NAMES = [f"i{k}" for k in range(30)]
WELLS = {name: f"well{k // 6}" for k, name in enumerate(NAMES)}


def scores():
    """Scores that differ from well to well, and so does what the refit changes."""
    rng = np.random.default_rng(0)
    after = np.repeat(rng.normal(0.3, 0.1, 5), 6) + rng.normal(0, 0.01, 30)
    before = after - np.repeat(rng.normal(0.01, 0.03, 5), 6)
    return before, after


def effect_of(cell_types, groups):
    before, after = (dict(zip(NAMES, map(float, one), strict=True)) for one in scores())
    return Effect.of(before, after, ["run"], cell_types=cell_types, groups=groups)


def test_images_of_a_well_are_not_taken_as_independent():
    before, after = scores()
    effect = effect_of({}, WELLS)
    wells = list(WELLS.values())
    expected = mean_interval(after - before, rng=np.random.default_rng(0), clusters=wells)
    assert effect.difference == expected
    assert effect.difference.low < 0 < effect_of({}, {}).difference.low
    assert effect.remarks[0].startswith("with 5 independent groups of images")
    assert effect_of({}, {}).remarks[0].startswith("no groups of images are known")


def test_wells_that_only_some_records_know_are_told():
    known = dict(list(WELLS.items())[:12])
    first, second = effect_of({}, known).remarks
    assert first.startswith("the group (plate and well) of 18 of 30 images is unknown")
    assert second.startswith("with 20 independent groups")


def test_cell_types_are_strata():
    kinds = {name: "astro" if k < 12 else "cort" for k, name in enumerate(NAMES)}
    assert effect_of(kinds, WELLS).mean_after != effect_of({}, WELLS).mean_after


def test_records_are_read_back_and_broken_ones_are_refused():
    effect = effect_of(dict.fromkeys(NAMES, "cort"), WELLS)
    noted = asdict(effect)
    assert read_effect(noted) == effect
    del noted["groups"]
    with pytest.raises(
        ModelError, match=r"run: refit\.measured of config\.json is broken: 'groups'"
    ):
        read_effect(noted, "run")
