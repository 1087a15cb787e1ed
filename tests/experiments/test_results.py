"""Rows to one result a variant."""

import pytest
from made_rows import row

from cellflow.experiments.results import summarize


def test_seconds_of_an_image_are_those_of_trainings_that_did_not_diverge():
    rows = [
        row("a", {"x": 0.3}, predict_seconds=2.0),
        row("a", {"y": 0.0}, fold=1, predict_seconds=0.0, diverged="the loss is infinite"),
    ]
    assert summarize(rows, ["a"], "last")[0].predict_seconds == pytest.approx(2.0)


def test_the_rate_of_a_baseline_whose_trainings_all_diverged_is_that_of_its_settings():
    lost = row("a", {"x": 0.0}, family="unet", diverged="the loss is infinite")
    lost.settings["config"]["settings.training"] = {"learning_rate": 0.02}
    assert summarize([lost], ["a"], "last")[0].learning_rate == "0.02"
