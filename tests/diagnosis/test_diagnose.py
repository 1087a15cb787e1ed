"""A diagnosis counts each type's errors, states every ceiling, and says it in a table."""

import numpy as np
import pytest

from cellflow.data.images import read_image
from cellflow.data.rle import dense_to_masks, labels_to_masks
from cellflow.diagnosis.diagnose import Examined, diagnose
from cellflow.diagnosis.pictures import draw_diagnosis
from cellflow.dynamics.boundary import shift_boundaries
from cellflow.errors import DataError
from cellflow.pictures import curves


def discs(rng, n=6):
    labels = np.zeros((80, 120), np.int32)
    y, x = np.mgrid[:80, :120]
    for k in range(n):
        row, column = 20 + 40 * (k // 3), 20 + 40 * (k % 3)
        labels[(y - row) ** 2 + (x - column) ** 2 < rng.uniform(8, 12) ** 2] = k + 1
    return labels


@pytest.fixture
def images(rng):
    """Astro: one of six missed; cort: all one pixel too large."""
    made = []
    for kind in ("astro", "cort") * 3:
        labels = discs(rng)
        found = (
            np.where(labels == 1, 0, labels)
            if kind == "astro"
            else shift_boundaries(labels, np.zeros(labels.shape), 1.0)
        )
        made.append(
            Examined(
                truth=labels_to_masks(labels), predicted=labels_to_masks(found), cell_type=kind
            )
        )
    return made


def test_each_type_has_its_own_errors(images):
    found = diagnose("mine.csv", images)
    astro, cort = found.types["astro"], found.types["cort"]
    assert astro.budget.kinds["missed"].n_truths == 3
    assert astro.budget.kinds["missed"].gain.estimate == pytest.approx(1 / 6)
    assert cort.budget.kinds["missed"].n_truths == 0
    assert cort.budget.kinds["boundary"].cured == 1
    assert astro.bias.offset.estimate == pytest.approx(0)
    assert cort.bias.offset.estimate == pytest.approx(1, abs=0.2)
    assert found.types["all"].n_images == 6
    assert found.types["all"].through_flows.estimate == pytest.approx(1, abs=0.01)


def test_without_a_prediction_only_the_truth_is_looked_at(images):
    alone = [Examined(truth=one.truth, cell_type=one.cell_type) for one in images]
    found = diagnose("train.csv", alone)
    assert found.types["cort"].budget is None
    assert "missed" not in found.table()
    assert "score of a perfect network" in found.table()
    assert len(found.limits) >= 1


def test_the_table_and_the_pictures_have_all_of_it(images, tmp_path):
    found = diagnose("mine.csv", images, remarks=["something"])
    text = found.table()
    assert max(map(len, text.splitlines())) <= 100
    for part in ("missed", "+0.167 (3)", "boundary outside the truth", "one pixel", "something."):
        assert part in text, part
    assert [path.name for path in draw_diagnosis(tmp_path, found)] == [
        "error_budget.png",
        "annotation_limits.png",
    ]
    assert found.to_dict()["types"]["astro"]["budget"]["n_truths"] == 18


def test_the_number_beside_a_gain_is_of_the_cells_behind_it_and_each_side_adds_up(images):
    rows = [line.split() for line in diagnose("mine.csv", images).table().splitlines()]
    gains = next(row for row in rows if row[:1] == ["cort"])
    assert gains[-1] == "(18)"  # all are found, and all are redrawn
    for side, missed in (("true", 3), ("pred.", 0)):
        of_astro = next(row for row in rows if row[:2] == ["astro", side])
        n_cells, found, *others = map(int, of_astro[2:])
        assert (n_cells, others) == (15 + missed, [missed, 0, 0, 0, 0])
        assert n_cells == found + sum(others)


def test_no_interval_of_a_score_leaves_0_to_1():
    # A cell over another one: the lower one is cut in half on one image of three.
    whole, cut = np.zeros((2, 2, 20, 20), bool)
    whole[0, :8], whole[1, 12:] = True, True
    cut[0, :8], cut[1, 2:8, 2:18] = True, True
    examined = [Examined(truth=dense_to_masks(one)) for one in (whole, cut, whole)]
    found = diagnose("train.csv", examined).types["all"]
    for score in (found.flattened, found.largest_pieces, found.through_flows):
        assert 0 <= score.low < score.estimate < score.high <= 1


def test_the_names_of_the_curves_cover_no_point_of_them(tmp_path, monkeypatch):
    y, x = np.mgrid[:200, :200]
    sizes = [np.hypot(y - 100, x - 100) < radius for radius in (3, 5, 7, 10, 14, 20, 28, 60)]
    found = diagnose("train.csv", [Examined(truth=dense_to_masks(np.array(sizes)))])
    assert len(found.limits) == 8
    draw_diagnosis(tmp_path, found)
    named = read_image(tmp_path / "annotation_limits.png")
    monkeypatch.setattr(curves, "_write_legend", lambda *arguments: None)
    draw_diagnosis(tmp_path, found)
    bare = read_image(tmp_path / "annotation_limits.png")
    covered = bare[:, (named != bare).any(axis=0)]
    for colour in curves.LINES[:4]:
        assert (bare == np.reshape(colour, (3, 1, 1))).all(axis=0).any()
        assert not (covered == np.reshape(colour, (3, 1))).all(axis=0).any()


def test_progress_is_told_and_nothing_is_refused(images):
    told = []
    diagnose("x", images[:2], report=lambda step, numbers: told.append((step, numbers["total"])))
    assert told == [(1, 2), (2, 2)]
    with pytest.raises(DataError, match="no image to diagnose"):
        diagnose("x", [])
