"""`cellflow compare` and `fuse` from the command line: every kind of entry, every fault."""

import json

import numpy as np
import pytest

from cellflow.data.coco_export import write_coco
from cellflow.data.coco_rle import masks_to_counts
from cellflow.data.flatten import flatten
from cellflow.data.kaggle import read_train_csv
from cellflow.data.label_images import write_label_tiff
from cellflow.data.rle import rle_to_masks
from cellflow.data.submission import read_submission, write_submission
from cellflow.records import Sample

SIZE = (40, 120)


@pytest.fixture
def truth(competition):
    return competition / "train.csv"


@pytest.fixture
def images(truth):
    return read_train_csv(truth)


@pytest.fixture
def perfect(images, tmp_path):
    path = tmp_path / "perfect.csv"
    write_submission(path, [(image.name, image.masks) for image in images.values()])
    return path


@pytest.fixture
def results(images, tmp_path):
    """Perfect masks with scores, as COCO results; a function that writes changed ones."""
    items = [
        {
            "image_id": image.name,
            "category_id": 1,
            "segmentation": {"size": list(SIZE), "counts": counts},
            "score": 0.9 - k / 10,
        }
        for image in images.values()
        for k, counts in enumerate(masks_to_counts(image.masks))
    ]

    def write(change=lambda items: items, name="results.json"):
        path = tmp_path / name
        path.write_text(json.dumps(change(items)))
        return path

    return write


def test_the_answer_comes_first_and_the_tables_after(cellflow, truth, perfect, results):
    done = cellflow("compare", perfect, results(), "--truth", truth)
    assert done.code == 0
    first = done.out.splitlines()[0]
    assert first.startswith("perfect and results cannot be told apart: 1.000 against 1.000")
    for heading in ("paired difference", "by cell type", "true cells found", "smallest visible"):
        assert heading in done.out
    assert max(map(len, done.out.splitlines())) <= 100


@pytest.mark.parametrize("score", ["own", "none", "equal"])
def test_a_star_marks_coco_precision_without_scores(
    cellflow, truth, perfect, results, tmp_path, score
):
    pytest.importorskip("faster_coco_eval")

    def change(items):
        for item in items:
            item["score"] = {"own": item["score"], "none": None, "equal": 1.0}[score]
        return [{k: v for k, v in item.items() if v is not None} for item in items]

    page = tmp_path / "report.html"
    done = cellflow(
        "compare", results(), results(change, "b.json"), "--truth", truth, "--report", page
    )
    assert done.code == 0
    star = "* without scores, so of a single point"
    for text in (done.out, page.read_text(encoding="utf-8")):
        assert (star in " ".join(text.split())) == ("1.000*" in text) == (score != "own")


def test_json_holds_all_that_the_tables_say(cellflow, truth, perfect, results):
    done = cellflow("compare", perfect, results(), "--truth", truth, "--json")
    content = json.loads(done.out)
    assert [method["kind"] for method in content["methods"]] == ["submission", "COCO results"]
    assert content["methods"][1]["cutoffs"]["nested_score"] == 1
    assert content["pairs"][0]["oracle"] == {"per_image": 1, "per_cell": 1}
    assert content["ranking"]["changes"] is False


def test_images_that_nothing_would_use_are_refused(cellflow, truth, perfect, results):
    folder = truth.parent / "train"
    done = cellflow("compare", perfect, results(), "--truth", truth, "--images", folder)
    assert done.code == 1
    (error,) = done.errors
    assert (
        "used only with a model folder or --report FILE; none of perfect.csv, results.json" in error
    )
    assert done.out == ""


def test_entries_of_several_kinds_are_compared_at_once(cellflow, truth, images, perfect, tmp_path):
    for image in images.values():
        labels = flatten(image.masks)
        write_label_tiff(tmp_path / "labels" / f"{image.name}_masks.tif", labels)
    done = cellflow("compare", perfect, tmp_path / "labels", "--truth", truth, "--json")
    content = json.loads(done.out)
    assert content["pairs"][0]["difference"]["estimate"] == 0


def test_a_coco_file_is_truth_too_and_tells_its_ids(cellflow, images, perfect, results, tmp_path):
    blank = np.zeros(SIZE, np.uint8)
    samples = [
        (f"{image.name}.png", Sample(name=image.name, image=blank, masks=image.masks))
        for image in images.values()
    ]
    write_coco(tmp_path / "truth.json", samples)
    done = cellflow("compare", perfect, results(), "--truth", tmp_path / "truth.json", "--json")
    assert json.loads(done.out)["scores"]["results"]["overall"]["mean"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda items: items[:-3], "results lacks 1 image that others have (d); --common-only"),
        (
            lambda items: [item | {"image_id": 7} for item in items],
            "none of its 1 image id is an image of the truth; the first is 7",
        ),
        (
            lambda items: [*items[:2], items[2] | {"score": float("nan")}],
            "result 3 (image a): expected a finite number as score, found nan",
        ),
        (
            lambda items: [items[0] | {"segmentation": {"size": [120, 40], "counts": "0"}}],
            "result 1 (image a): has size [120, 40], but its image has [40, 120]",
        ),
        (
            lambda items: [items[0] | {"segmentation": [[300, 5, 310, 5, 310, 9]]}],
            "result 1 (image a): its polygon lies wholly outside the 120x40 image",
        ),
    ],
)
def test_a_fault_in_results_is_one_line_that_names_it(
    cellflow, truth, perfect, results, change, message
):
    done = cellflow("compare", perfect, results(change), "--truth", truth)
    assert done.code == 1
    (line,) = done.errors
    assert message in line
    assert done.out == ""


def test_malformed_json_is_one_line_with_its_place(cellflow, truth, perfect, results):
    path = results()
    path.write_text(path.read_text()[:-20])
    done = cellflow("compare", perfect, path, "--truth", truth)
    assert done.code == 1
    assert "results.json: not valid JSON at character" in done.errors[0]


def test_ids_and_categories_are_looked_up_in_a_names_file(
    cellflow, truth, images, perfect, results, tmp_path
):
    numbers = {name: 10 + k for k, name in enumerate(images)}
    path = results(lambda items: [item | {"image_id": numbers[item["image_id"]]} for item in items])
    names = tmp_path / "instances.json"
    content = {
        "images": [{"id": n, "file_name": f"{name}.png"} for name, n in numbers.items()],
        "categories": [{"id": 2, "name": "cort"}],
    }
    names.write_text(json.dumps(content))
    done = cellflow("compare", perfect, path, "--truth", truth, "--image-names", names)
    assert done.code == 1
    assert "result 1 (image a): category_id 1 is not in" in done.errors[0]
    content["categories"] = [{"id": 1, "name": "cort"}]
    names.write_text(json.dumps(content))
    done = cellflow("compare", perfect, path, "--truth", truth, "--image-names", names, "--json")
    assert json.loads(done.out)["scores"]["results"]["overall"]["mean"] == 1


def test_common_images_are_compared_on_request_and_said_so(cellflow, truth, perfect, results):
    path = results(lambda items: items[:-3])
    done = cellflow("compare", perfect, path, "--truth", truth, "--common-only")
    assert done.code == 0
    assert "Note: results lacks 1 image that others have, left out for all: d." in done.out


def test_overlap_is_resolved_by_the_rule_asked_for(cellflow, truth, perfect, results):
    doubled = results(lambda items: [one for item in items for one in (item, item)])
    arguments = ("compare", perfect, doubled, "--truth", truth, "--no-tuning")
    done = cellflow(*arguments, "--overlap-rule", "mask_nms")
    assert "B overlaps: rule mask_nms on 24 detections, 24 of which share pixels; it" in done.out
    assert cellflow(*arguments, "--overlap-rule", "max").code == 2


def test_without_the_coco_tools_a_line_says_how_to_get_them(
    cellflow, truth, perfect, results, monkeypatch
):
    monkeypatch.setattr("cellflow.comparison.compare.has_coco_tools", lambda: False)
    done = cellflow("compare", perfect, results(), "--truth", truth)
    assert "Note: COCO precision is not given; pip install 'cellflow[coco]' adds it." in done.out
    assert "COCO AP" not in done.out
    done = cellflow("compare", perfect, results(), "--truth", truth, "--no-coco")
    assert "COCO" not in done.out.replace("COCO results", "")


def test_fuse_writes_a_submission_and_says_what_it_is_worth(
    cellflow, truth, images, perfect, tmp_path
):
    half = tmp_path / "half.csv"
    write_submission(half, [(i.name, i.masks.select(np.array([0]))) for i in images.values()])
    out = tmp_path / "fused ä.csv"
    done = cellflow("fuse", half, perfect, "--truth", truth, "--out", out)
    assert done.code == 0
    assert done.out.startswith("Fused: mAP 1.000")
    assert done.out.splitlines()[-1] == f"12 cells in 4 images: {out}"
    assert {
        name: len(cells) for name, cells in read_submission(out, SIZE).items()
    } == dict.fromkeys(images, 3)
    done = cellflow("fuse", half, perfect, "--truth", truth, "--out", out, "--json")
    assert json.loads(done.out)["best_alone"] == "perfect"


def test_a_fusion_that_fails_leaves_no_file(cellflow, truth, perfect, tmp_path):
    other = tmp_path / "other.csv"
    write_submission(other, [("zzz", rle_to_masks(["1 2"], SIZE))])
    out = tmp_path / "fused.csv"
    done = cellflow("fuse", perfect, other, "--truth", truth, "--out", out)
    assert done.code == 1
    assert "no image of the truth is among those of other (1 image, the first " in done.errors[0]
    assert not out.exists()
