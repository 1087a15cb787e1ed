"""What other programs read: each format is opened again by its own reader."""

import itertools
import json
import zipfile
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import tifffile
from roifile import roiread

from cellflow.comparison.compare import compare
from cellflow.data.coco_export import write_coco
from cellflow.data.coco_results import read_coco_results
from cellflow.data.coco_rle import counts_to_runs, runs_to_masks
from cellflow.data.exports import (
    Found,
    check_target,
    export,
)
from cellflow.data.image_names import ImageNames, read_image_names
from cellflow.data.imagej_rois import write_rois
from cellflow.data.label_images import read_label_image, write_label_tiff
from cellflow.data.outputs import Outputs
from cellflow.data.rle import labels_to_masks, masks_to_dense
from cellflow.data.seg_files import inner_border, read_seg_labels, write_seg
from cellflow.data.submission import read_submission
from cellflow.errors import ConfigError, DataError, LabelError
from cellflow.records import Prediction, Sample

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


def test_coco_results_take_ids_and_categories_from_the_file_of_the_truth(tmp_path, found):
    names = ImageNames(
        source=tmp_path / "t.json",
        names={"17": "a b", "x": "none"},
        categories={"4": "cort", "3": "astro"},
    )
    for kind, number in (("cort", 4), ("huh7", 3), (None, 3)):
        one = replace(found[0], prediction=replace(found[0].prediction, cell_type=kind))
        export(tmp_path / "r.json", [one], image_names=names)
        entries = json.loads((tmp_path / "r.json").read_text())
        assert {(entry["image_id"], entry["category_id"]) for entry in entries} == {(17, number)}
    export(tmp_path / "r.json", found[:1])
    assert json.loads((tmp_path / "r.json").read_text())[0]["image_id"] == "a b"


def test_ids_that_cannot_be_written_are_refused_first(tmp_path, found):
    images = [one.image_path for one in found]
    names = ImageNames(source=tmp_path / "t.json", names={"17": "a b"})
    with pytest.raises(DataError, match=r"t\.json: has no id for none"):
        Outputs([tmp_path / "r.json"], image_names=names).check(images)
    with pytest.raises(DataError, match=r"t\.json: has no id for none"):
        export(tmp_path / "r.json", found, image_names=names)
    assert not (tmp_path / "r.json").exists()
    with pytest.raises(ConfigError, match=r"only applies to COCO results, --out FILE\.json"):
        Outputs([tmp_path / "r.csv"], image_names=names).check(images[:1])
    twice = replace(names, names={"17": "a b", "18": "a b"})
    with pytest.raises(DataError, match=r"t\.json: image a b has the ids 17 and 18"):
        Outputs([tmp_path / "r.json"], image_names=twice).check(images[:1])


def test_an_exported_truth_and_its_results_go_through_the_coco_tools_and_back(tmp_path, found):
    coco = pytest.importorskip("faster_coco_eval", reason="the extra [coco] is not installed")
    samples = [
        (f"{one.prediction.name}.png", Sample(name=one.prediction.name, image=LABELS, masks=masks))
        for one in found
        for masks in [labels_to_masks(one.prediction.labels)]
    ]
    write_coco(tmp_path / "truth.json", samples)
    names = read_image_names(tmp_path / "truth.json")
    export(tmp_path / "r.json", found, image_names=names)
    truth = coco.COCO(str(tmp_path / "truth.json"))
    evaluation = coco.COCOeval_faster(
        truth, truth.loadRes(str(tmp_path / "r.json")), iouType="segm"
    )
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == 1
    shapes = {"a b": LABELS.shape, "none": LABELS.shape}
    again = read_coco_results(tmp_path / "r.json", shapes, names)
    assert {name: len(one.masks) for name, one in again.detections.items()} == {"a b": 2, "none": 0}
    compared = compare([tmp_path / "r.json", tmp_path / "truth.json"], tmp_path / "truth.json")
    assert [score.mean.estimate for score in compared.scores] == [1, 1]


def test_label_tiffs_and_seg_files_give_the_labels_back(tmp_path, found):
    export(tmp_path / "labels", found, "tif")
    assert (tifffile.imread(tmp_path / "labels/a b_masks.tif") == LABELS).all()
    export(tmp_path / "seg", found, "seg")
    assert (read_seg_labels(tmp_path / "seg/a b_seg.npy") == LABELS).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1)])
def test_a_seg_file_of_an_image_that_is_a_line_is_read_back(tmp_path, shape):
    labels = np.ones(shape, np.int32)
    write_seg(tmp_path / "line_seg.npy", labels, tmp_path / "line.png")
    assert (read_seg_labels(tmp_path / "line_seg.npy") == labels).all()


def test_a_seg_file_has_what_the_cellpose_gui_asks_for(tmp_path):
    write_seg(tmp_path / "a_seg.npy", LABELS, tmp_path / "a.png")
    content = np.load(tmp_path / "a_seg.npy", allow_pickle=True).item()
    assert content["masks"].max() == len(content["ismanual"]) == 2
    assert (content["outlines"] == LABELS * inner_border(LABELS)).all()
    assert content["filename"].endswith("a.png")
    assert len(content["chan_choose"]) == 2


def test_imagej_regions_lie_where_the_cells_do(tmp_path, found):
    export(tmp_path / "r.zip", found[:1])
    regions = roiread(tmp_path / "r.zip")
    assert [(r.top, r.left, r.bottom, r.right) for r in regions] == [(0, 0, 3, 3), (1, 4, 4, 6)]
    export(tmp_path / "rois", found, "roi")
    assert len(list((tmp_path / "rois").iterdir())) == 2


PIECES = ["#.....", "......", ".####.", ".#..#.", ".####.", "..#..#"]
"""A pixel above the cell, a hole, and a pixel that touches at a corner only."""


def test_a_cell_in_pieces_or_with_a_hole_is_a_region_of_all_its_pixels(tmp_path):
    inside = np.array([[character == "#" for character in row] for row in PIECES])
    labels = np.where(inside, 1, 2 * np.eye(6, dtype=np.int32)[::-1])
    prediction = Prediction(
        name="a", labels=labels.astype(np.int32), scores=np.array([0.5, 0.5], np.float32)
    )
    export(tmp_path / "r.zip", [Found(prediction=prediction, image_path=tmp_path / "a.png")])
    for number, region in enumerate(roiread(tmp_path / "r.zip"), start=1):
        assert (region.composite, region.name) == (True, f"cell-000{number}")
        np.testing.assert_array_equal(filled(region), prediction.labels == number)
        y, x = np.nonzero(prediction.labels == number)
        box = (region.top, region.left, region.bottom, region.right)
        assert box == (y.min(), x.min(), y.max() + 1, x.max() + 1)


def filled(region):
    """Draw a region by its even-odd rule, as ImageJ does."""
    y, x = np.indices((6, 6)) + 0.5
    inside = np.zeros((6, 6), bool)
    for loop in region.coordinates(multi=True):
        for (x0, y0), (x1, y1) in itertools.pairwise(loop.tolist()):
            inside ^= (x0 == x1) & (x < x0) & (y > min(y0, y1)) & (y < max(y0, y1))
    return inside


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


def test_a_cell_that_was_taken_out_is_in_no_file_and_the_others_keep_their_labels(tmp_path, found):
    prediction = found[0].prediction
    labels = np.where(prediction.labels == 1, 0, prediction.labels)
    edited = [replace(found[0], prediction=replace(prediction, labels=labels))]
    for name in ("s.csv", "r.json"):
        export(tmp_path / name, edited)
    for kind in ("tif", "seg", "roi"):
        export(tmp_path / kind, edited, kind)
    assert len(read_submission(tmp_path / "s.csv", (4, 6))["a b"]) == 1
    [entry] = json.loads((tmp_path / "r.json").read_text())
    assert entry["score"] == 0.5
    assert (read_label_image(tmp_path / "tif" / "a b_masks.tif") == labels).all()
    assert (read_seg_labels(tmp_path / "seg" / "a b_seg.npy") == labels).all()
    with zipfile.ZipFile(tmp_path / "roi" / "a b_rois.zip") as archive:
        assert archive.namelist() == ["cell-0002.roi"]


@pytest.mark.parametrize(
    "write", [write_label_tiff, partial(write_seg, image_path="a.png"), write_rois]
)
@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (np.full((2, 2), 2**32 + 1), "labels: expected 0 to 2147483647, found 4294967297"),
        (np.array([[0, -1]]), "labels: expected 0 to 2147483647, found -1"),
        (np.array([[0, 1.5]]), "labels: expected an .* of whole numbers, found .* float64"),
        (np.zeros((2, 2, 2), int), r"found \(2, 2, 2\) int64"),
        (np.zeros((0, 4), int), r"found \(0, 4\) int64"),
    ],
)
def test_labels_that_a_file_would_change_are_refused(tmp_path, write, labels, reason):
    with pytest.raises(LabelError, match=reason):
        write(tmp_path / "x", labels)
    assert not list(tmp_path.iterdir())


def test_labels_of_any_whole_numbers_are_written(tmp_path):
    for labels in ([[0, 7]], np.array([[0, 7]], ">u2"), np.asfortranarray(np.array([[0, 7]]))):
        write_label_tiff(tmp_path / "x.tif", labels)
        write_seg(tmp_path / "x_seg.npy", labels, "x.png")
        write_rois(tmp_path / "x.zip", labels)
        assert read_label_image(tmp_path / "x.tif").tolist() == [[0, 7]]
        assert read_seg_labels(tmp_path / "x_seg.npy").tolist() == [[0, 7]]
        with zipfile.ZipFile(tmp_path / "x.zip") as archive:
            assert archive.namelist() == ["cell-0007.roi"]
