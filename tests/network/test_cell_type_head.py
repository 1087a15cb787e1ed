"""Cell types are told apart where styles differ, and left open where they do not."""

import json

import numpy as np
import pytest

from cellflow.errors import ModelError
from cellflow.network.cell_type_head import (
    fit_cell_type_head,
    read_cell_type_head,
    write_cell_type_head,
)


def styles_of(rng, kinds, distance=1.0):
    """Unit vectors around a direction for each type."""
    centres = {kind: rng.normal(size=256) for kind in sorted(set(kinds))}
    raw = np.stack([distance * centres[kind] + rng.normal(size=256) for kind in kinds])
    return raw / np.linalg.norm(raw, axis=1, keepdims=True)


KINDS = ["astro", "cort", "cort", "shsy5y"] * 5


def test_types_of_different_style_are_told_apart(rng):
    styles = styles_of(rng, KINDS)
    head = fit_cell_type_head(styles, KINDS)
    assert head.cell_types == ("astro", "cort", "shsy5y")
    assert [head.classify(style)[0] for style in styles] == KINDS
    assert head.record["images"] == {"astro": 5, "cort": 10, "shsy5y": 5}
    assert head.record["cross_validation"] == {"right": 1, "wrong": 0, "abstained": 0}


def test_it_abstains_where_styles_tell_nothing(rng):
    kinds = ["astro", "cort"] * 10
    head = fit_cell_type_head(styles_of(rng, kinds, distance=0.0), kinds)
    shares = head.record["cross_validation"]
    assert shares["abstained"] > 0.5
    assert shares["wrong"] <= 0.02
    kind, probability = head.classify(styles_of(rng, ["x"])[0])
    assert kind is None
    assert 0.5 <= probability < head.threshold


def test_an_image_between_two_types_gets_none(rng):
    centres = rng.normal(size=(2, 256))
    side = np.tile([0, 1], 10)
    styles = centres[side] + rng.normal(size=(20, 256)) * 0.3
    head = fit_cell_type_head(styles, ["ab"[k] for k in side])
    assert head.classify(centres[1])[1] > 0.95
    assert head.classify(centres.mean(axis=0))[1] < 0.8


def test_equal_data_give_an_equal_head(rng):
    styles = styles_of(rng, KINDS)
    one, other = (fit_cell_type_head(styles, KINDS) for _ in range(2))
    assert (one.logistic.weights == other.logistic.weights).all()
    assert one.threshold == other.threshold


def test_too_few_types_or_images_give_no_head(rng):
    assert fit_cell_type_head(styles_of(rng, ["a"] * 9), ["a"] * 9) is None
    kinds = ["a"] * 9 + ["b"] * 2
    assert fit_cell_type_head(styles_of(rng, kinds), kinds) is None
    # Nine images of one well are one independent image.
    kinds = ["a"] * 9 + ["b"] * 9
    wells = ["w"] * 9 + [None] * 9
    assert fit_cell_type_head(styles_of(rng, kinds), kinds, wells) is None
    assert fit_cell_type_head(styles_of(rng, [None, None]), [None, None]) is None


def test_rare_types_and_unknown_ones_are_left_out_and_named(rng):
    kinds = ["a"] * 5 + ["b"] * 5 + ["c", None]
    head = fit_cell_type_head(styles_of(rng, [kind or "d" for kind in kinds]), kinds)
    assert head.cell_types == ("a", "b")
    assert head.record["left_out"] == ["c"]


def test_a_well_stays_on_one_side(rng):
    # Styles of a well are alike, and wells tell nothing of the type: an honest split sees that.
    wells = [f"w{k}" for k in range(8) for _ in range(6)]
    kinds = [["a", "b"][int(well[1:]) % 2] for well in wells]
    styles = styles_of(rng, wells, distance=3.0)
    mixed = fit_cell_type_head(styles, kinds).record["cross_validation"]
    grouped = fit_cell_type_head(styles, kinds, wells).record["cross_validation"]
    assert mixed["right"] == 1
    assert grouped["right"] < 0.8


def test_a_head_is_read_as_it_was_written(tmp_path, rng):
    styles = styles_of(rng, KINDS)
    head = fit_cell_type_head(styles, KINDS)
    assert read_cell_type_head(tmp_path, 256) is None
    write_cell_type_head(tmp_path, head)
    found = read_cell_type_head(tmp_path, 256)
    assert found.record == head.record
    assert found.classify(styles[0]) == head.classify(styles[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 9}, "newer cellflow"),
        ({"weights": [[1.0]] * 3}, r"expected weights of 256 numbers, found \(3, 1\)"),
        ({"weights": [1.0]}, "broken"),
        ({"bias": [1.0, None, 2.0]}, "broken"),
        ({"threshold": "x"}, "broken"),
        ({"cell_types": ["a"]}, "broken: 1 types"),
    ],
)
def test_a_broken_file_is_refused(tmp_path, rng, changes, message):
    write_cell_type_head(tmp_path, fit_cell_type_head(styles_of(rng, KINDS), KINDS))
    path = tmp_path / "cell_types.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(ModelError, match=message):
        read_cell_type_head(tmp_path, 256)
