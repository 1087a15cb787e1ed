"""Truth from a table, a COCO file or a folder."""

import json

import numpy as np
import pytest

from cellflow.comparison.compare import compare
from cellflow.comparison.diagnose import diagnose_files
from cellflow.comparison.importers import Sources, names_from_truth, read_output
from cellflow.comparison.truth import read_truth, shapes_of
from cellflow.data.coco_export import write_coco
from cellflow.data.image_names import ImageNames
from cellflow.data.images import write_png
from cellflow.data.kaggle import KaggleImage, write_train_csv
from cellflow.data.label_images import write_label_tiff
from cellflow.data.rle import labels_to_masks, masks_to_rle
from cellflow.data.submission import write_submission
from cellflow.errors import DataError
from cellflow.records import Sample
from cellflow.report.write import report_predictions

LABELS = np.array([[1, 1, 0, 2, 2], [1, 1, 0, 2, 2]], np.int32)
RUNS = ["1 2 6 2", "4 2 9 2"]


def test_a_table_tells_type_and_well(tmp_path):
    metadata = {"cell_type": "cort", "sample_id": "cort[x]_B2-1_Vessel-3_Ph_1"}
    image = KaggleImage(name="a", masks=labels_to_masks(LABELS), metadata=metadata)
    write_train_csv(tmp_path / "train.csv", [image])
    truth = read_truth(tmp_path / "train.csv")
    assert masks_to_rle(truth["a"].masks) == RUNS
    assert (truth["a"].cell_type, truth["a"].group) == ("cort", "cort[x]_B2")
    assert shapes_of(truth) == {"a": (2, 5)}


def write_truth(tmp_path):
    sample = Sample(
        name="a", image=LABELS, masks=labels_to_masks(LABELS), cell_type="astro", group=None
    )
    write_coco(tmp_path / "truth.json", [("dir/a.png", sample)])
    return tmp_path / "truth.json"


def test_a_coco_file_needs_no_pictures(tmp_path):
    truth = read_truth(write_truth(tmp_path))
    assert masks_to_rle(truth["a"].masks) == RUNS
    assert truth["a"].cell_type == "astro"


def test_names_of_livecell_tell_type_and_well(tmp_path):
    path = write_truth(tmp_path)
    content = json.loads(path.read_text())
    content["images"][0]["file_name"] = "SHSY5Y_Phase_C10_1_00d00h00m_1.tif"
    content["categories"] = []
    path.write_text(json.dumps(content))
    (image,) = read_truth(path).values()
    assert (image.cell_type, image.group) == ("shsy5y", "SHSY5Y_C10")


def test_two_images_of_one_name_are_refused(tmp_path):
    path = write_truth(tmp_path)
    content = json.loads(path.read_text())
    content["images"].append(content["images"][0] | {"id": 7, "file_name": "other/a.png"})
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="two images are called a"):
        read_truth(path)


def test_what_is_left_out_of_the_truth_is_told_and_all_of_it_is_refused(tmp_path):
    path = write_truth(tmp_path)
    content = json.loads(path.read_text())
    content["annotations"][0]["iscrowd"] = 1
    path.write_text(json.dumps(content))
    submission = tmp_path / "s.csv"
    write_submission(submission, [("a", labels_to_masks(LABELS))])
    told = "truth.json: left out: 1 crowd annotation"
    remarks = []
    assert len(read_truth(path, remarks)["a"].masks) == 1
    assert remarks == [told]
    assert told in compare([submission, path], path).remarks
    assert told in diagnose_files(path, submission).remarks
    report_predictions(tmp_path / "r.html", [submission], truth=path)
    assert "1 crowd annotation" in (tmp_path / "r.html").read_text()
    content["annotations"][1]["iscrowd"] = 1
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"no cell is there: .* left out: 2 crowd annotations"):
        read_truth(path)


def test_what_a_folder_of_truth_leaves_out_is_told(tmp_path):
    write_png(tmp_path / "images/a.png", np.zeros((2, 5), np.uint8))
    for name in "ab":
        write_label_tiff(tmp_path / f"masks/{name}.tif", LABELS)
    remarks = []
    read_truth(tmp_path, remarks)
    assert remarks[0] == "b.tif has no picture"


def test_other_json_is_no_truth(tmp_path):
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(DataError, match="not a COCO file: expected images and annotations"):
        read_truth(tmp_path / "x.json")


def test_a_folder_of_pictures_and_masks_is_truth(tmp_path):
    write_png(tmp_path / "images/a.png", np.zeros((2, 5), np.uint8))
    write_label_tiff(tmp_path / "masks/a.tif", LABELS)
    assert masks_to_rle(read_truth(tmp_path)["a"].masks) == RUNS


def test_a_folder_without_annotations_is_refused(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((2, 5), np.uint8))
    with pytest.raises(DataError, match="no annotated image"):
        read_truth(tmp_path)


def test_a_coco_truth_tells_what_the_ids_of_results_stand_for(tmp_path):
    path = write_truth(tmp_path)
    content = json.loads(path.read_text())
    content["images"][0]["id"] = content["annotations"][0]["image_id"] = 5
    for annotation in content["annotations"]:
        annotation["image_id"] = 5
    path.write_text(json.dumps(content))
    results = [
        {"image_id": 5, "category_id": 99, "segmentation": one["segmentation"], "score": 0.5}
        for one in content["annotations"]
    ]
    (tmp_path / "r.json").write_text(json.dumps(results))
    sources = names_from_truth(None, path)
    found = read_output(tmp_path / "r.json", {"a": (2, 5)}, "r", sources)
    assert len(found.detections["a"].masks) == 2
    # Whether a model kept the truth's category numbers is not known, and 99 is no fault.
    assert found.detections["a"].cell_types is None


def test_names_that_are_given_go_before_those_of_the_truth(tmp_path):
    given = Sources(image_names=ImageNames(source=tmp_path, names={"1": "x"}))
    assert names_from_truth(given, write_truth(tmp_path)) is given
    assert names_from_truth(None, tmp_path / "train.csv") == Sources()
