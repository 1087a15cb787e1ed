"""Every point is said; where it does not hold, for whom."""

from dataclasses import replace

import pytest
from made_rows import halves, row, spread, variant

from cellflow.config import AugmentConfig, Config, DynamicsConfig, TrainingConfig
from cellflow.experiments.fairness import fairness
from cellflow.experiments.results import summarize
from cellflow.experiments.search import searches

A, B = variant("a"), variant("b")


def said(rows, variants=(A, B)):
    names = [one.name for one in variants]
    return fairness(summarize(rows, names, "last"), variants, searches(rows, variants))


def line(rows, start, variants=(A, B)):
    (found,) = [one for one in said(rows, variants) if start in one]
    return found


def pair(**changes):
    return [row("a", spread(0.3)), row("b", spread(0.2), **changes)]


def test_equal_variants_are_the_same_in_every_point():
    lines = said(pair())
    assert len(lines) == 13
    assert all(one.startswith("same ") for one in lines)
    assert "same held-out images: 12 images" in lines
    assert "same length: 40 steps of 8 crops of 224 px" in lines


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"n_steps": 80}, "not the same length: 40 steps of 8 crops of 224 px ('a'); 80 steps"),
        ({"seconds": 90.0}, "not the same time of training: 1.0 min ('a') to 1.5 min ('b')"),
        ({"device": "cuda"}, "not the same device: cpu ('a'); cuda ('b')"),
        ({"n_train": 4}, "not the same images to train on: 8 a fold ('a'); 4 a fold ('b')"),
        ({"conditions": {"operators": "fallback"}},
         "not the same operators: PyTorch's own ('a'); fallback ('b')"),
        ({"conditions": {"overlaps": "higher score"}}, "not the same rule for overlaps: none"),
    ],
)  # fmt: skip
def test_a_point_that_does_not_hold_names_who_has_what(facts, expected):
    assert any(one.startswith(expected) for one in said(pair(**facts))), said(pair(**facts))


def test_a_limit_below_the_densest_image_is_said():
    start = "limit of detections above the densest image (20 cells)"
    assert line(pair(), start) == f"same {start}: none has a limit"
    for limit, verdict in (("100", "same"), ("15", "not the same")):
        found = line(pair(conditions={"most detections": limit}), start)
        assert found == f"{verdict} {start}: 'b' at most {limit}, 10 seen"


def test_other_images_seeds_and_starts_are_said():
    rows = [row("a", spread(0.3)), row("b", spread(0.3, n=6), seed=1)]
    assert line(rows, "held-out images") == (
        "not the same held-out images: 12 of 12 ('a'); 6 of 12 ('b')"
    )
    assert "seeds 0 ('a')" in line(rows, "folds and seeds")
    variants = (variant("a", init="scratch"), variant("b", pretrain_dir=["/x/livecell"]))
    assert "from random weights ('a')" in line(pair(), "start", variants)
    assert "from cyto3, pretrain_dir livecell ('b')" in line(pair(), "start", variants)
    alike = (variant("a", init="/x/model"), variant("b", init="/y/model"))
    assert "from /x/model ('a'); from /y/model ('b')" in line(pair(), "start", alike)
    settings = {"training": {"keep": "best"}}
    detector = variant("b", family="mask-rcnn", settings=settings)
    assert "from random weights ('b')" in line(pair(), "start", (A, detector))
    assert "too high ('b')" in line(pair(), "choice of weights", (A, detector))


def test_random_weights_are_the_same_start_whatever_a_family_calls_them():
    rows = [row(name, spread(0.3)) for name in "abcd"]
    families = (("cellflow", "scratch"), ("cellpose", None), ("unet", None), ("unet", "random"))
    variants = [
        variant(name, family=family, **({"init": init} if init else {}))
        for name, (family, init) in zip("abcd", families, strict=True)
    ]
    assert line(rows, "start", variants) == "same start and other data: from random weights"


def test_thresholds_that_are_settings_of_the_training_are_said_too():
    config = Config(dynamics=DynamicsConfig(min_size=40))
    found = line(pair(), "thresholds", (A, replace(B, config=config)))
    assert found.endswith("those of the settings ('a'); min_size = 40 ('b')")
    cells = variant("b", family="unet", settings={"cells": {"min_area": 40}})
    assert "min_area = 40 ('b')" in line(pair(), "thresholds", (A, cells))


def test_the_conditions_are_those_of_a_training_that_did_not_diverge():
    lost = row("b", {"i0": 0.0}, fold=1, diverged="infinite", n_steps=0)
    told = row("b", spread(0.2), conditions={"operators": "native"})
    found = line([row("a", spread(0.3)), lost, told], "operators", (A, replace(B, family="unet")))
    assert found == "not the same operators: PyTorch's own ('a'); native ('b')"


def test_the_budget_that_is_told_is_that_of_the_training_not_of_the_file():
    config = Config(training=TrainingConfig(max_minutes=5))
    rows = [row("a", spread(0.3)), row("b", spread(0.2), config=config)]
    longer = replace(B, config=Config(training=TrainingConfig(max_minutes=50)))
    assert line(rows, "length", (A, longer)).endswith("224 px, planned to take 5 min ('b')")


def test_augmentation_and_weights_that_the_held_out_images_chose_are_said():
    config = Config(augment=AugmentConfig(level="none"), training=TrainingConfig(keep="best"))
    variants = (A, replace(B, config=config))
    assert "level none" in line(pair(), "augmentation", variants)
    assert "so its mAP is too high ('b')" in line(pair(), "choice of weights", variants)


def test_thresholds_are_said_and_a_search_says_among_how_many():
    variants = (A, variant("b", predict={"dynamics": {"min_size": 40}}))
    assert line(pair(), "thresholds", variants) == (
        "not the same thresholds, none of them tuned here: those of the settings ('a'); "
        "min_size = 40 ('b')"
    )
    rows = [r for name in ("a", "b x=1", "b x=2") for r in halves(name, spread(0.3))]
    grid = (A, variant("b x=1", group="b"), variant("b x=2", group="b"))
    assert line(rows, "choice on the other folds", grid) == (
        "not the same choice on the other folds, the same for all, among: 1 setting ('a'); "
        "2 settings ('b')"
    )
