"""`cellflow score` and `compare`: numbers on stdout, faults on stderr."""

import json
import shutil

import numpy as np
import pytest

from cellflow.data.exports import Found, export
from cellflow.data.images import write_png
from cellflow.data.kaggle import read_train_csv
from cellflow.data.label_images import write_label_tiff
from cellflow.data.rle import masks_to_dense, rle_to_masks
from cellflow.data.submission import write_submission
from cellflow.network.model_folder import CONFIG
from cellflow.records import Prediction


@pytest.fixture
def truth(competition):
    return competition / "train.csv"


@pytest.fixture
def perfect(truth, tmp_path):
    path = tmp_path / "perfect ä.csv"
    images = read_train_csv(truth).values()
    write_submission(path, [(image.name, image.masks) for image in images])
    return path


@pytest.fixture
def half(truth, tmp_path):
    """Two images whole, two without a cell."""
    path = tmp_path / "half.csv"
    none = rle_to_masks([], (40, 120))
    images = list(read_train_csv(truth).values())
    write_submission(path, [(i.name, i.masks if n < 2 else none) for n, i in enumerate(images)])
    return path


def test_a_perfect_submission_scores_one(cellflow, truth, perfect):
    done = cellflow("score", perfect, "--truth", truth)
    assert done.code == 0
    row = next(line.split() for line in done.out.splitlines() if line.startswith("all"))
    assert row[:5] == ["all", "4", "12", "12", "1.000"]


def test_json_has_the_mean_its_interval_and_each_image(cellflow, truth, half):
    done = cellflow("score", half, "--truth", truth, "--json")
    content = json.loads(done.out)
    overall = content["overall"]
    assert overall["mean"] == 0.5
    assert 0 <= overall["low"] < 0.5 < overall["high"] <= 1
    assert {name: image["score"] for name, image in content["images"].items()} == {
        "a": 1, "ä b": 1, "c": 0, "d": 0,
    }  # fmt: skip


def test_missing_images_count_zero_and_are_named_or_left_out_on_request(
    cellflow, truth, perfect, tmp_path
):
    rows = perfect.read_text().splitlines()
    some = tmp_path / "some.csv"
    some.write_text("\n".join(row for row in rows if not row.startswith("d,")) + "\n")
    done = cellflow("score", some, "--truth", truth)
    assert "0.750" in done.out
    assert "some lacks 1 image of the truth, counted as without prediction: d." in done.out
    assert "--covered-only leaves it out, as compare does: mAP 1.000." in done.out
    done = cellflow("score", some, "--truth", truth, "--covered-only")
    assert "1.000" in done.out
    assert "0.750" not in done.out


@pytest.mark.parametrize(
    "variant", ["report", "pooled", "at-least-one", "exactly-one", "hungarian-ge"]
)
def test_every_variant_is_named_in_its_result(cellflow, truth, half, variant):
    done = cellflow("score", half, "--truth", truth, "--variant", variant)
    assert done.code == 0
    assert f"Variant {variant}" in done.out


def test_counts_by_threshold_and_pairs_on_request(cellflow, truth, half, tmp_path):
    pairs = tmp_path / "pairs.csv"
    done = cellflow(
        "score", half, "--truth", truth, "--iou", 0.5, "--by-threshold", "--pairs", pairs
    )
    assert (done.code, "AP50" in done.out.splitlines()[0]) == (0, True)
    rows = [line.split() for line in done.out.splitlines() if line.startswith("all")]
    assert rows[1][:6] == ["all", "0.50", "6", "0", "6", "1.000"]
    assert len(pairs.read_text("utf-8").splitlines()) == 1 + 12
    assert f"{pairs}: 6 hits with IoU > 0.50, 6 missed, 0 spurious" in done.err


def test_json_always_has_the_counts_of_each_threshold(cellflow, truth, half):
    content = json.loads(cellflow("score", half, "--truth", truth, "--json").out)
    pooled = content["overall"]["pooled"]
    assert (content["metric"], len(content["thresholds"])) == ("mAP", 10)
    assert pooled["tp"] == [6] * 10
    assert pooled["recall"] == [0.5] * 10
    assert set(pooled) == {
        "tp", "fp", "fn", "precision", "recall", "f1", "average_precision", "mean_matched_iou",
        "panoptic_quality",
    }  # fmt: skip


def test_wrong_thresholds_and_variants_print_nothing_and_write_nothing(
    cellflow, truth, half, tmp_path
):
    pairs = tmp_path / "pairs.csv"
    for options, message in (
        (("--iou", 0.505), "IoU threshold 0.505: expected 0.01 to 0.99"),
        (("--variant", "report", "--by-threshold"), "a table by threshold needs cells matched"),
        (("--variant", "report", "--pairs", pairs), "a table of pairs needs cells matched"),
        (("--pairs", half), "is an input of this command"),
    ):
        done = cellflow("score", half, "--truth", truth, *options)
        assert (done.code, done.out) == (1, "")
        assert message in done.errors[0]
    assert not pairs.exists()
    page = tmp_path / "r.html"
    done = cellflow("score", half, "--truth", truth, "--iou", 0.5, "--report", page)
    assert (done.code, page.exists()) == (2, False)
    assert "--report shows all thresholds" in done.err


def test_a_table_of_pairs_does_not_replace_the_names_of_images(cellflow, truth, half, tmp_path):
    names = tmp_path / "names.csv"
    names.write_text("id,file_name\n1,a.png\n")
    done = cellflow("score", half, "--truth", truth, "--image-names", names, "--pairs", names)
    assert (done.code, done.out) == (1, "")
    assert "names.csv: is an input of this command" in done.errors[0]
    assert names.read_text() == "id,file_name\n1,a.png\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "missing column"),
        ("id,mask\na,1 2\n", "missing column predicted"),
        ("id,predicted\nzz,1 2\n", "none of its images is in"),
        ("id,predicted\na,1 2 3\n", "line 2: image a: an odd count of numbers (3)"),
        ("id,predicted\na,0 2\n", "line 2"),
        ("id,predicted\na,-4 2\n", "line 2"),
        ("id,predicted\na,5 2 1 2\n", "line 2"),
        ("id,predicted\na,4800 2\n", "line 2: image a: run 4800+2 ends outside a 120x40 image"),
        ("id,predicted\na,x y\n", "line 2"),
    ],
)
def test_a_broken_submission_is_one_line_with_file_and_line(
    cellflow, truth, tmp_path, text, message
):
    path = tmp_path / "broken ü.csv"
    path.write_text(text)
    done = cellflow("score", path, "--truth", truth)
    assert (done.code, done.out) == (1, "")
    (line,) = done.errors
    assert "broken ü.csv" in line
    assert message in line


@pytest.mark.parametrize("ends", ["\r\n", "\n"])
def test_a_byte_order_mark_and_windows_line_ends_change_nothing(cellflow, truth, perfect, ends):
    perfect.write_bytes(
        b"\xef\xbb\xbf" + perfect.read_text(encoding="utf-8").replace("\n", ends).encode()
    )
    done = cellflow("score", perfect, "--truth", truth, "--json")
    assert json.loads(done.out)["overall"]["mean"] == 1


def test_a_file_that_is_not_there_is_wrong_usage(cellflow, truth, tmp_path):
    assert cellflow("score", tmp_path / "none.csv", "--truth", truth).code == 2


def test_two_submissions_are_compared_with_an_interval(cellflow, truth, perfect, half):
    done = cellflow("compare", perfect, half, "--truth", truth)
    assert done.code == 0
    assert "difference +0.500" in done.out
    content = json.loads(cellflow("compare", perfect, half, "--truth", truth, "--json").out)
    (pair,) = content["pairs"]
    assert pair["difference"]["estimate"] == 0.5


def test_one_submission_alone_is_not_a_comparison(cellflow, truth, perfect):
    done = cellflow("compare", perfect, "--truth", truth)
    assert done.code == 1
    assert "two entries or more; `cellflow score` scores one" in done.errors[0]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "mean", "ap50"),
    [("mask_rcnn", 0.38647, 0.68189), ("cellpose_finetuned", 0.33082, 0.62485)],
)
def test_the_published_numbers_of_real_submissions(cellflow, real_data, name, mean, ap50):
    folder = real_data / "sartorius"
    submission = folder / "predictions" / f"{name}.csv"
    done = cellflow(
        "score", submission, "--truth", folder / "train.csv", "--covered-only", "--json"
    )
    overall = json.loads(done.out)["overall"]
    assert overall["mean"] == pytest.approx(mean, abs=5e-6)
    assert overall["per_threshold"][0] == pytest.approx(ap50, abs=5e-6)
    assert np.all(np.diff(overall["per_threshold"]) <= 0)


def test_a_report_takes_the_place_of_nothing_that_is_read(cellflow, truth, half, tmp_path):
    page = tmp_path / "page.html"
    page.write_bytes(half.read_bytes())
    before = page.read_bytes()
    for command in (
        ("score", page, "--truth", truth, "--report", page),
        ("compare", page, half, "--truth", truth, "--report", page),
        ("report", page, "--truth", truth, "--out", page),
    ):
        done = cellflow(*command)
        assert done.code == 1
        assert "page.html: is an input of this command" in done.err
        assert page.read_bytes() == before
    assert cellflow("score", half, "--truth", truth, "--report", half).code == 2


def test_a_fusion_does_not_replace_an_entry(cellflow, truth, half, perfect):
    before = half.read_bytes()
    done = cellflow("fuse", half, perfect, "--truth", truth, "--out", half)
    assert done.code == 1
    assert "is an input of this command" in done.err
    assert half.read_bytes() == before


def test_a_long_line_is_not_printed_whole(cellflow, truth, tmp_path):
    long = tmp_path / "coco.json"
    long.write_text('{"info": [' + "1," * 100000 + "]}")
    done = cellflow("score", truth, "--truth", long)
    assert done.code == 1
    assert len(done.err) < 1000


def labels_of(masks):
    """A label image of cells that do not overlap."""
    dense = masks_to_dense(masks)
    return (dense * np.arange(1, len(dense) + 1)[:, None, None]).sum(axis=0).astype(np.int32)


@pytest.fixture
def annotated(competition, truth):
    """A folder of images and label images, with the content of the competition's."""
    folder = competition.parent / "annotated"
    shutil.copytree(competition / "train", folder / "images")
    for name, image in read_train_csv(truth).items():
        write_png(folder / "masks" / f"{name}.png", labels_of(image.masks).astype(np.uint16))
    return folder


@pytest.fixture
def kinds(truth, tmp_path):
    """What `predict` could write of the true cells, in every format."""
    found = [
        Found(
            prediction=Prediction(
                name=name, labels=labels_of(one.masks), scores=np.ones(len(one.masks), np.float32)
            ),
            image_path=truth.parent / "train" / f"{name}.png",
        )
        for name, one in read_train_csv(truth).items()
    ]
    targets = {"csv": "f.csv", "coco": "f.json", "tif": "labels", "seg": "segs"}
    for kind, target in targets.items():
        export(tmp_path / target, found, "seg" if kind == "seg" else "tif")
    return {kind: tmp_path / target for kind, target in targets.items()}


@pytest.mark.parametrize("kind", ["csv", "coco", "tif", "seg"])
def test_every_kind_is_scored_against_a_table_and_a_folder(
    cellflow, truth, annotated, competition, kinds, kind
):
    for against in (truth, annotated, competition):
        done = cellflow("score", kinds[kind], "--truth", against, "--json")
        assert (done.code, done.errors) == (0, [])
        overall = json.loads(done.out)["overall"]
        assert (overall["images"], overall["predicted"], overall["mean"]) == (4, 12, 1)


def test_a_single_seg_file_is_scored(cellflow, annotated, kinds):
    done = cellflow("score", kinds["seg"] / "a_seg.npy", "--truth", annotated)
    assert done.code == 0
    assert "a lacks 3 images of the truth, counted as without prediction: c, d, ä b" in done.out
    assert "0.250" in done.out


def test_coco_results_are_scored_against_coco_truth_without_more_names(cellflow, tmp_path):
    square, other = [5, 5, 15, 5, 15, 15, 5, 15], [20, 20, 30, 20, 30, 30, 20, 30]
    one = {"category_id": 1, "segmentation": [square]}
    truth = {
        "images": [
            {"id": n, "file_name": f"{name}.png", "width": 60, "height": 40}
            for n, name in ((7, "a"), (9, "b"))
        ],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [
            one | {"id": n, "image_id": n, "bbox": [5, 5, 10, 10], "area": 100, "iscrowd": 0}
            for n in (7, 9)
        ],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    results = [one | {"image_id": 7, "score": 0.9}]
    results += [one | {"image_id": 9, "segmentation": [other], "score": 0.8}]
    (tmp_path / "found.json").write_text(json.dumps(results))
    done = cellflow(
        "score", tmp_path / "found.json", "--truth", tmp_path / "truth.json", "--no-tuning",
        "--json",
    )  # fmt: skip
    images = json.loads(done.out)["images"]
    assert {name: image["score"] for name, image in images.items()} == {"a": 1, "b": 0}


def test_variants_seed_and_report_work_with_folders(cellflow, annotated, kinds, tmp_path):
    (kinds["tif"] / "d_masks.tif").unlink()
    out = tmp_path / "r.html"
    options = ("--truth", annotated, "--variant", "pooled", "--seed", 5, "--covered-only")
    done = cellflow("score", kinds["tif"], *options, "--report", out)
    assert done.code == 0
    assert "Variant pooled" in done.out
    assert "labels lacks 1 image of the truth, left out: d." in done.out
    assert "3 images, all in the viewer" in done.err
    assert "<bdi>labels</bdi> scores 1.000 on 3 images" in out.read_text("utf-8")


def test_score_and_report_give_the_same_number(cellflow, annotated, kinds, tmp_path):
    write_label_tiff(kinds["tif"] / "d_masks.tif", np.zeros((40, 120), np.int32))
    done = cellflow("score", kinds["tif"], "--truth", annotated)
    assert "0.750" in done.out
    out = tmp_path / "r.html"
    assert cellflow("report", kinds["tif"], "--truth", annotated, "--out", out).code == 0
    assert "<bdi>labels</bdi> scores 0.750 on 4 images" in out.read_text("utf-8")


def test_what_cannot_be_scored_is_one_line(cellflow, truth, tmp_path, kinds):
    model = tmp_path / "model"
    model.mkdir()
    (model / CONFIG).write_text("{}")
    (tmp_path / "empty").mkdir()
    for found, against, message in (
        (model, truth, "model is a model folder"),
        (tmp_path / "empty", truth, "empty: neither label images, _seg.npy files nor a model"),
        (kinds["tif"], tmp_path / "empty", "empty"),
        (truth.parent / "train" / "a.png", truth, "a.png: expected a submission .csv"),
    ):
        done = cellflow("score", found, "--truth", against)
        assert (done.code, done.out) == (1, "")
        (line,) = done.errors
        assert message in line
