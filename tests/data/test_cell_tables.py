"""Tables of cells and of images, read again as a spreadsheet would."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from cellflow.data.cell_tables import write_cells, write_counts
from cellflow.records import Prediction

LABELS = np.array(
    [
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 2, 2],
        [0, 1, 1, 0, 2, 2],
        [0, 0, 0, 0, 0, 2],
    ],
    np.int32,
)


@pytest.fixture
def found():
    return [
        Prediction(
            name="a, b", labels=LABELS, scores=np.array([0.9, 0.5], np.float32), cell_type="cort"
        ),
        Prediction(name="none", labels=0 * LABELS, scores=np.zeros(0, np.float32)),
    ]


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_cell_has_its_row(tmp_path, found):
    write_cells(tmp_path / "c.csv", found)
    rows = rows_of(tmp_path / "c.csv")
    assert [row["image"] for row in rows] == ["a, b", "a, b"]
    assert [row["area_px"] for row in rows] == ["7", "5"]
    assert float(rows[1]["center_x_px"]) == pytest.approx(4.6)
    box = ("y_min_px", "x_min_px", "y_max_px", "x_max_px")
    assert [[row[name] for name in box] for row in rows] == [list("0033"), list("1446")]
    assert float(rows[0]["image_confluence"]) == pytest.approx(0.5)


def test_every_image_has_its_row_also_without_a_cell(tmp_path, found):
    write_counts(tmp_path / "c.csv", found)
    some, none = rows_of(tmp_path / "c.csv")
    assert (some["image"], some["cells"], some["cell_type"]) == ("a, b", "2", "cort")
    assert float(some["confluence"]) == 0.5
    assert float(some["mean_area_px"]) == float(some["median_area_px"]) == 6
    assert float(some["median_equivalent_diameter_px"]) == pytest.approx(2.764)
    assert float(some["mean_score"]) == pytest.approx(0.7)
    assert list(none.values()) == ["none", "0", "0", "0.0", "", "", "", "", ""]


def test_cells_that_the_image_may_hold_only_in_part_are_marked(tmp_path):
    labels = np.pad(np.array([[1, 0, 2, 0, 3]], np.int32), ((1, 1), (0, 1)))
    labels[1:, 4] = 3  # reaches the last row; 1 the first column, 2 no border
    corners = np.zeros((3, 3), np.int32)
    corners[0, 2] = 1
    scores = np.ones(3, np.float32)
    images = [
        Prediction(name="a", labels=labels, scores=scores),
        Prediction(name="b", labels=corners, scores=scores[:1]),
    ]
    write_cells(tmp_path / "cells.csv", images)
    marks = [row["on_edge"] for row in rows_of(tmp_path / "cells.csv")]
    assert marks == ["1", "0", "1", "1"]
    write_counts(tmp_path / "counts.csv", images)
    assert [row["cells_on_edge"] for row in rows_of(tmp_path / "counts.csv")] == ["2", "1"]


def test_a_cell_that_was_taken_out_is_in_no_table_and_the_others_keep_their_labels(tmp_path, found):
    edited = replace(found[0], labels=np.where(found[0].labels == 1, 0, found[0].labels))
    write_cells(tmp_path / "cells.csv", [edited])
    [row] = rows_of(tmp_path / "cells.csv")
    assert (row["cell"], row["area_px"], row["score"]) == ("2", "5", "0.5")
    write_counts(tmp_path / "counts.csv", [edited])
    [row] = rows_of(tmp_path / "counts.csv")
    assert (row["cells"], row["mean_area_px"], row["mean_score"]) == ("1", "5.0", "0.5")
