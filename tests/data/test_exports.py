"""What other programs read: each format is opened again by its own reader."""

import json

import numpy as np
import pytest
import tifffile
from roifile import roiread

from cellflow.data.coco_rle import counts_to_runs, runs_to_masks
from cellflow.data.exports import (
    Found,
    check_target,
    export,
    inner_border,
    trace_outline,
    write_seg,
)
from cellflow.data.rle import masks_to_dense
from cellflow.data.seg_files import read_seg_labels
from cellflow.data.submission import read_submission
from cellflow.errors import ConfigError
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
def found(tmp_path):
    prediction = Prediction(name="a b", labels=LABELS, scores=np.array([0.9, 0.5], np.float32))
    empty = Prediction(name="none", labels=0 * LABELS, scores=np.zeros(0, np.float32))
    return [
        Found(prediction=prediction, image_path=tmp_path / "a b.png"),
        Found(prediction=empty, image_path=tmp_path / "none.png"),
    ]


def test_a_submission_has_a_row_for_every_image(tmp_path, found):
    export(tmp_path / "s.csv", found)
    again = read_submission(tmp_path / "s.csv", (4, 6))
    assert {name: len(masks) for name, masks in again.items()} == {"a b": 2, "none": 0}


def test_coco_results_hold_the_same_pixels_and_a_score(tmp_path, found):
    export(tmp_path / "r.json", found)
    entries = json.loads((tmp_path / "r.json").read_text())
    runs = [counts_to_runs(e["segmentation"]["counts"], (4, 6)) for e in entries]
    assert (masks_to_dense(runs_to_masks(runs, (4, 6)))[1] == (LABELS == 2)).all()
    assert [entry["score"] for entry in entries] == [0.9, 0.5]
    export(tmp_path / "empty.json", found[1:])
    assert json.loads((tmp_path / "empty.json").read_text()) == []


def test_label_tiffs_and_seg_files_give_the_labels_back(tmp_path, found):
    export(tmp_path / "labels", found, "tif")
    assert (tifffile.imread(tmp_path / "labels/a b_masks.tif") == LABELS).all()
    export(tmp_path / "seg", found, "seg")
    assert (read_seg_labels(tmp_path / "seg/a b_seg.npy") == LABELS).all()


def test_a_seg_file_has_what_the_cellpose_gui_asks_for(tmp_path):
    write_seg(tmp_path / "a_seg.npy", LABELS, tmp_path / "a.png")
    content = np.load(tmp_path / "a_seg.npy", allow_pickle=True).item()
    assert content["masks"].max() == len(content["ismanual"]) == 2
    assert (content["outlines"] == LABELS * inner_border(LABELS)).all()
    assert content["filename"].endswith("a.png")
    assert len(content["chan_choose"]) == 2


def test_an_outline_follows_the_edges_of_the_pixels():
    outline = trace_outline(np.array([[1, 1, 0], [0, 1, 1]], bool))
    assert outline.tolist() == [[0, 0], [0, 2], [1, 2], [1, 3], [2, 3], [2, 1], [1, 1], [1, 0]]
    assert trace_outline(np.ones((1, 1), bool)).tolist() == [[0, 0], [0, 1], [1, 1], [1, 0]]


@pytest.mark.parametrize("seed", range(5))
def test_an_outline_encloses_exactly_the_pixels_of_a_simple_shape(seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((12, 12), bool)
    heights = rng.integers(2, 12, 12)
    for column, height in enumerate(heights):
        mask[:height, column] = True
    y, x = trace_outline(mask).astype(float).T
    area = 0.5 * abs((x * np.roll(y, 1) - y * np.roll(x, 1)).sum())
    assert area == mask.sum()


def test_imagej_regions_lie_where_the_cells_do(tmp_path, found):
    export(tmp_path / "r.zip", found[:1])
    regions = roiread(tmp_path / "r.zip")
    assert [(r.top, r.left, r.bottom, r.right) for r in regions] == [(0, 0, 3, 3), (1, 4, 4, 6)]
    export(tmp_path / "rois", found, "roi")
    assert len(list((tmp_path / "rois").iterdir())) == 2


def test_targets_that_cannot_be_written_are_refused_first(tmp_path):
    with pytest.raises(ConfigError, match=r"expected \.csv, \.json, \.zip or a folder"):
        check_target(tmp_path / "a.xlsx", "tif", 1)
    with pytest.raises(ConfigError, match="use --out FOLDER --as roi"):
        check_target(tmp_path / "a.zip", "tif", 2)


@pytest.mark.reference
def test_cellposes_own_reader_opens_the_seg_file(tmp_path):
    io = pytest.importorskip("cellpose.io")
    from cellflow.data.images import write_png

    write_png(tmp_path / "a.png", np.zeros((4, 6), np.uint8))
    write_seg(tmp_path / "a_seg.npy", LABELS, tmp_path / "a.png")
    files, _ = io.get_label_files([str(tmp_path / "a.png")], mask_filter="_seg.npy")
    assert (np.load(files[0], allow_pickle=True).item()["masks"] == LABELS).all()
