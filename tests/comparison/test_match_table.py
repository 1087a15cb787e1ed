"""The table of pairs: one row a cell, as many of each outcome as the score counts."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cellflow.comparison.importers import MethodOutput
from cellflow.comparison.match_table import write_matches
from cellflow.comparison.score import score_output
from cellflow.comparison.truth import TrueImage
from cellflow.data.rle import labels_to_masks, rle_to_masks
from cellflow.errors import ConfigError
from cellflow.records import Detections

SHAPE = (4, 10)


def cells(*runs):
    return rle_to_masks(list(runs), SHAPE)


def scored(truth, found, **options):
    """The score of a method by image name, without preparation."""
    output = MethodOutput(
        name="m",
        kind="label images",
        detections={name: Detections(name=name, masks=masks) for name, masks in found.items()},
    )
    known = {name: TrueImage(masks=masks, cell_type="cort") for name, masks in truth.items()}
    return score_output(output, known, n_draws=10, **options)


def rows_of(path):
    return list(csv.DictReader(path.open(encoding="utf-8")))


def test_hits_missed_and_spurious_cells_have_their_row_each(tmp_path):
    truth = {"a": cells("1 4", "11 2 21 2"), "b": cells("31 3")}
    # The second cell of the file is the hit, IoU 3/4; image b has no prediction.
    score = scored(truth, {"a": cells("35 2", "2 3")})
    told = write_matches(tmp_path / "pairs.csv", score)
    assert told.endswith("pairs.csv: 1 hit with IoU > 0.50, 2 missed, 1 spurious")
    hit, missed, spurious, other = rows_of(tmp_path / "pairs.csv")
    assert hit == {
        "image": "a", "cell_type": "cort", "outcome": "hit", "iou": "0.75", "iou_threshold": "0.5",
        "truth_cell": "1", "truth_area_px": "4",
        "truth_center_y_px": "0.0", "truth_center_x_px": "1.5",
        "predicted_cell": "2", "predicted_area_px": "3",
        "predicted_center_y_px": "0.0", "predicted_center_x_px": "2.0",
    }  # fmt: skip
    assert (missed["outcome"], missed["truth_cell"], missed["predicted_cell"]) == (
        "missed",
        "2",
        "",
    )
    assert (missed["truth_center_y_px"], missed["truth_center_x_px"]) == ("1.5", "0.5")
    assert (missed["iou"], missed["predicted_area_px"]) == ("", "")
    assert (spurious["outcome"], spurious["predicted_cell"]) == ("spurious", "1")
    assert (spurious["truth_cell"], spurious["predicted_area_px"]) == ("", "2")
    assert (other["image"], other["outcome"]) == ("b", "missed")


def test_the_lowest_threshold_of_the_score_counts(tmp_path):
    truth, found = {"a": cells("1 4")}, {"a": cells("2 3")}
    write_matches(tmp_path / "p.csv", scored(truth, found, thresholds=[0.9, 0.75]))
    assert [row["outcome"] for row in rows_of(tmp_path / "p.csv")] == ["missed", "spurious"]
    assert {row["iou_threshold"] for row in rows_of(tmp_path / "p.csv")} == {"0.75"}
    # IoU equal to the threshold.
    told = write_matches(
        tmp_path / "p.csv", scored(truth, found, thresholds=[0.75], variant="hungarian-ge")
    )
    assert told.endswith("1 hit with IoU >= 0.75, 0 missed, 0 spurious")


def test_a_variant_that_flattens_keeps_the_numbers_of_the_cells(tmp_path):
    # The second truth covers the first one wholly.
    truth, found = {"a": cells("3 4", "3 4", "11 4")}, {"a": cells("11 4")}
    write_matches(tmp_path / "p.csv", scored(truth, found, variant="hungarian-ge"))
    assert [(row["outcome"], row["truth_cell"]) for row in rows_of(tmp_path / "p.csv")] == [
        ("missed", "2"), ("hit", "3"),
    ]  # fmt: skip


def test_variants_without_pairs_are_refused_and_leave_no_file(tmp_path):
    score = scored({"a": cells("1 4")}, {"a": cells("1 4")}, variant="report")
    with pytest.raises(ConfigError, match="a table of pairs needs cells matched one-to-one, which"):
        write_matches(tmp_path / "p.csv", score)
    assert not list(tmp_path.iterdir())


LABELS = arrays(np.int32, (5, 6), elements=st.integers(0, 4))


@settings(max_examples=30)
@given(LABELS, LABELS)
def test_the_rows_are_those_that_the_score_counts(tmp_path_factory, truth, found):
    path = tmp_path_factory.mktemp("pairs") / "p.csv"
    truth, found = labels_to_masks(truth), labels_to_masks(found)
    score = scored({"a": truth}, {"a": found}, thresholds=[0.2])
    write_matches(path, score)
    outcomes = [row["outcome"] for row in rows_of(path)]
    counts = score.overall.pooled.counts
    assert outcomes.count("hit") == counts.tp[0]
    assert outcomes.count("missed") == counts.fn[0]
    assert outcomes.count("spurious") == counts.fp[0]
    ious = [float(row["iou"]) for row in rows_of(path) if row["iou"]]
    assert sum(ious) == pytest.approx(counts.iou_sum[0], abs=1e-3)


def test_the_centre_is_that_of_the_pixels_also_of_a_run_over_the_edge(tmp_path):
    # Pixels 7, 8, 9 of the first row and 0, 1, 2 of the second.
    write_matches(tmp_path / "p.csv", scored({"a": cells("8 6")}, {"a": cells("1 1")}))
    missed, _ = rows_of(tmp_path / "p.csv")
    assert (missed["truth_center_y_px"], missed["truth_center_x_px"]) == ("0.5", "4.5")
