"""Result files of other tools: their forms, their faults, and their length."""

import json
import sys
import tracemalloc

import numpy as np
import pytest

from cellflow.data import coco_results
from cellflow.data.coco_results import read_coco_results
from cellflow.data.coco_rle import masks_to_counts
from cellflow.data.exports import Found, export
from cellflow.data.image_names import read_image_names
from cellflow.data.rle import dense_to_masks, masks_to_dense
from cellflow.errors import DataError, LabelError, RleError
from cellflow.records import Prediction

SHAPE = (4, 6)
SHAPES = {"a": SHAPE, "b": SHAPE}
SQUARE = [[1, 1, 3, 1, 3, 3, 1, 3]]


def square():
    mask = np.zeros(SHAPE, bool)
    mask[1:3, 1:3] = True
    return mask


def rle(mask, *, compressed=True):
    counts = masks_to_counts(dense_to_masks(mask[None]))[0]
    if not compressed:
        flat = np.concatenate([[0], mask.T.ravel().astype(int), [0]])
        edges = np.flatnonzero(np.diff(flat)).tolist()
        counts = np.diff([0, *edges, mask.size]).tolist()
    return {"size": list(mask.shape), "counts": counts}


def write(tmp_path, results, name="results.json"):
    path = tmp_path / name
    path.write_text(json.dumps(results))
    return path


def result(image="a", segmentation=SQUARE, score=0.5, category=1, **more):
    return {
        "image_id": image,
        "category_id": category,
        "segmentation": segmentation,
        "score": score,
    } | more


@pytest.mark.parametrize(
    "segmentation", [SQUARE, rle(square()), rle(square(), compressed=False)], ids=str
)
def test_polygons_and_both_kinds_of_run_lengths_give_the_same_mask(tmp_path, segmentation):
    found = read_coco_results(write(tmp_path, [result(segmentation=segmentation)]), SHAPES)
    assert (masks_to_dense(found.detections["a"].masks) == square()).all()
    assert found.detections["a"].scores.tolist() == [0.5]
    assert found.detections["a"].cell_types is None
    assert found.remarks == ()


def test_our_own_results_are_read_back(tmp_path, rng):
    labels = rng.integers(0, 4, (9, 11)).astype(np.int32)
    scores = np.array([0.25, 0.5, 0.75], np.float32)
    prediction = Prediction(name="x1", labels=labels, scores=scores)
    export(tmp_path / "r.json", [Found(prediction=prediction, image_path=tmp_path / "x1.png")])
    found = read_coco_results(tmp_path / "r.json", {"x1": (9, 11)}).detections["x1"]
    stack = masks_to_dense(found.masks)
    assert (np.einsum("nyx,n->yx", stack, [1, 2, 3]) == labels).all()
    assert found.scores.tolist() == scores.tolist()


def test_overlapping_masks_stay_as_they_are(tmp_path):
    found = read_coco_results(write(tmp_path, [result(), result(score=0.4)]), SHAPES)
    assert found.detections["a"].masks.areas.tolist() == [4, 4]


@pytest.mark.parametrize("image_id", ["007", "007.png", "images/007.png", 7, "7"])
def test_ids_are_names_file_names_or_the_numbers_that_names_are(tmp_path, image_id):
    found = read_coco_results(write(tmp_path, [result(image_id)]), {"007": SHAPE, "012": SHAPE})
    assert list(found.detections) == ["007"]


def test_a_number_that_two_names_are_stands_for_neither(tmp_path):
    with pytest.raises(DataError, match="none of its 1 image id is"):
        read_coco_results(write(tmp_path, [result(7)]), {"007": SHAPE, "07": SHAPE})


def test_a_text_is_a_name_before_it_is_an_id_and_a_number_an_id_before_it_is_a_name(tmp_path):
    images = [{"id": 2, "file_name": "1.png"}, {"id": 1, "file_name": "2.png"}]
    truth = write(tmp_path, {"images": images, "annotations": []}, "truth.json")
    for image_id, name in (("1", "1"), (1, "2")):
        path = write(tmp_path, [result(image_id)])
        found = read_coco_results(path, {"1": SHAPE, "2": SHAPE}, read_image_names(truth))
        assert len(found.detections[name].masks) == 1


@pytest.mark.parametrize(
    ("scores", "confidences", "kind"),
    [
        ([0, 1], [0, 1], None),
        ([-1e-7, 1.0000001], [0, 1], None),
        ([97, 2.5], [0.97, 0.025], "from 2.5 to 97 instead of 0 to 1 are taken as per cent"),
        ([-0.7, 0.5], [0.33181, 0.62246], "from -0.7 to 0.5 instead of 0 to 1 are taken as logit"),
        (
            [3, 300],
            [0.01, 1],
            "from 3 to 300 instead of 0 to 1 are taken as fractions of the largest",
        ),
    ],
)
def test_scores_beyond_0_to_1_keep_their_order_and_are_told(tmp_path, scores, confidences, kind):
    found = read_coco_results(write(tmp_path, [result(score=s) for s in scores]), SHAPES)
    assert found.detections["a"].scores.tolist() == pytest.approx(confidences, abs=1e-5)
    assert len(found.remarks) == (kind is not None)
    assert kind is None or kind in found.remarks[0]


def test_results_of_an_image_may_lie_apart(tmp_path):
    results = [result(name, score=k / 8) for k, name in enumerate("abababb")]
    found = read_coco_results(write(tmp_path, results), SHAPES).detections
    assert (8 * found["a"].scores).tolist() == [0, 2, 4]
    assert (8 * found["b"].scores).tolist() == [1, 3, 5, 6]
    assert len(found["b"].masks) == 4


def test_more_cells_than_are_packed_at_once_keep_their_order(tmp_path, monkeypatch):
    columns = [[[x, 0, x + 1, 0, x + 1, 4, x, 4]] for x in range(6)] * 100
    monkeypatch.setattr(coco_results, "_RUNS_AT_ONCE", 64)
    results = [result(segmentation=s, score=k / 1024) for k, s in enumerate(columns)]
    found = read_coco_results(write(tmp_path, results), SHAPES).detections["a"]
    assert (1024 * found.scores).tolist() == list(range(600))
    assert found.masks.starts[::4].tolist() == [x % 6 for x in range(600)]


@pytest.mark.parametrize("order", ["ab" * 10, "a" * 10 + "b" * 10])
def test_of_far_too_many_detections_the_best_are_kept(tmp_path, monkeypatch, rng, order):
    monkeypatch.setattr(coco_results, "MOST_DETECTIONS", 3)
    monkeypatch.setattr(coco_results, "_RUNS_AT_ONCE", 2)
    scores = rng.random(20).round(1)
    pixel = [[[k % 6, 0, k % 6 + 1, 0, k % 6 + 1, 1, k % 6, 1]] for k in range(20)]
    results = [
        result(name, segmentation=s, score=float(score))
        for name, s, score in zip(order, pixel, scores, strict=True)
    ]
    found = read_coco_results(write(tmp_path, results), SHAPES)
    for name in "ab":
        mine = [k for k in range(20) if order[k] == name]
        best = sorted(sorted(mine, key=lambda k: -scores[k])[:3])
        kept = found.detections[name]
        assert kept.scores.tolist() == pytest.approx(scores[best].tolist())
        assert kept.masks.starts.tolist() == [k % 6 for k in best]
    assert found.remarks == (
        "results.json: only the 3 detections with the highest scores are kept in 2 images",
    )


def names_file(tmp_path):
    content = {
        "images": [{"id": 17, "file_name": "x/a.png"}, {"id": 18, "file_name": "b.tif"}],
        "annotations": [{"id": 1}],
        "categories": [{"id": 1, "name": "cort"}, {"id": 2, "name": "astro"}],
    }
    return read_image_names(write(tmp_path, content, "instances.json"))


def test_a_names_file_tells_images_cell_types_and_where_nothing_was_found(tmp_path):
    path = write(tmp_path, [result(17, score=0.9, category=2), result(17, category=1)])
    found = read_coco_results(path, SHAPES, names_file(tmp_path))
    assert found.detections["a"].cell_types == ("astro", "cort")
    assert len(found.detections["b"].masks) == 0
    assert found.remarks == (
        "results.json: 1 image of instances.json without a cell in it; taken as images in which "
        "nothing was found",
    )


def test_an_id_or_a_category_that_the_names_do_not_have_is_an_error(tmp_path):
    names = names_file(tmp_path)
    path = write(tmp_path, [result(17), result(99)])
    with pytest.raises(DataError, match=r"result 2: image_id 99 is not in .*instances\.json"):
        read_coco_results(path, SHAPES, names)
    path = write(tmp_path, [result(17, category=3)])
    with pytest.raises(
        DataError, match=r"result 1 \(image a\): category_id 3 is not in .*, which has 1, 2"
    ):
        read_coco_results(path, SHAPES, names)


def test_one_category_of_all_cells_tells_no_type(tmp_path):
    path = write(tmp_path, [result(17), result(18)])
    found = read_coco_results(path, SHAPES, names_file(tmp_path))
    assert found.detections["a"].cell_types is None


def test_an_id_that_the_names_do_not_have_may_be_a_name_itself(tmp_path):
    found = read_coco_results(write(tmp_path, [result("b")]), SHAPES, names_file(tmp_path))
    assert len(found.detections["b"].masks) == 1


def test_categories_without_names_are_all_cells(tmp_path):
    found = read_coco_results(write(tmp_path, [result(), result(score=0.9, category=7)]), SHAPES)
    assert len(found.detections["a"].masks) == 2
    assert "the meaning of its categories 1, 7 is unknown; all count as cells" in found.remarks[0]


def test_a_coco_file_with_annotations_tells_its_ids_itself(tmp_path):
    content = {
        "annotations": [result(3), result(3, score=0.1)],
        "images": [{"id": 3, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "cell"}],
    }
    found = read_coco_results(write(tmp_path, content), SHAPES)
    assert found.detections["a"].scores.tolist() == pytest.approx([0.5, 0.1])
    assert found.detections["a"].cell_types is None
    content["annotations"] = {"1": content["annotations"][0]}
    assert len(read_coco_results(write(tmp_path, content), SHAPES).detections["a"].masks) == 1


def test_of_many_detections_with_equal_scores_all_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(coco_results, "MOST_DETECTIONS", 4)
    monkeypatch.setattr(coco_results, "_RUNS_AT_ONCE", 3)
    equal = [result(score=1) for _ in range(10)]
    found = read_coco_results(write(tmp_path, equal), SHAPES)
    assert len(found.detections["a"].masks) == 10
    assert found.remarks == (
        "results.json: all scores are 1; they rank nothing, and count as none",
    )
    found = read_coco_results(write(tmp_path, [*equal, result("b", score=0.5)]), SHAPES)
    assert len(found.detections["a"].masks) == len(found.detections["a"].scores) == 4


def test_the_work_for_an_image_does_not_grow_with_the_number_of_images(tmp_path):
    def calls_for_each(n_images):
        names, n_calls = [f"i{k}" for k in range(n_images)], 0

        def count(frame, event, arg):
            nonlocal n_calls
            n_calls += 1

        path = write(tmp_path, [result(name, score=k % 3 / 3) for k, name in enumerate(names)])
        before = sys.getprofile()
        sys.setprofile(count)
        try:
            read_coco_results(path, dict.fromkeys(names, SHAPE))
        finally:
            sys.setprofile(before)
        return n_calls / n_images

    assert calls_for_each(400) < 1.5 * calls_for_each(100)


def test_scores_that_are_all_equal_count_as_none(tmp_path):
    found = read_coco_results(write(tmp_path, [result(score=1), result("b", score=1)]), SHAPES)
    assert found.detections["a"].scores is None
    assert found.remarks == (
        "results.json: all scores are 1; they rank nothing, and count as none",
    )


def test_results_without_any_score_have_none(tmp_path):
    plain = result()
    del plain["score"]
    found = read_coco_results(write(tmp_path, [plain]), SHAPES)
    assert found.detections["a"].scores is None
    with pytest.raises(
        DataError, match=r"result 2 .*has a score, the results before have no score"
    ):
        read_coco_results(write(tmp_path, [plain, result()]), SHAPES)


def test_images_outside_the_truth_are_counted_and_their_masks_never_looked_at(tmp_path):
    path = write(tmp_path, [result(), result("other", segmentation="nonsense")])
    found = read_coco_results(path, SHAPES)
    assert found.remarks == ("results.json: 1 image left out that the truth does not have: other",)


def test_ids_that_stand_for_nothing_are_refused_with_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"the first is 5, the truth has a\. Give --image-names"):
        read_coco_results(write(tmp_path, [result(5), result(6)]), SHAPES)
    with pytest.raises(DataError, match="no results"):
        read_coco_results(write(tmp_path, []), SHAPES)


@pytest.mark.parametrize("score", ["0.9", None, True, float("nan"), float("inf"), 10**400])
def test_a_score_that_is_no_finite_number_is_an_error(tmp_path, score):
    path = write(tmp_path, [result(), result("b", score=score)])
    with pytest.raises(DataError, match=r"result 2 \(image b\): expected a finite number as score"):
        read_coco_results(path, SHAPES)


@pytest.mark.parametrize(
    ("item", "error", "message"),
    [
        ([1], DataError, r"expected an object with an image_id, found \[1\]"),
        ({"bbox": [1, 2, 3, 4]}, DataError, "expected an object with an image_id"),
        (result(image=1.5), DataError, "expected a string or whole number as image_id, found 1.5"),
        (
            {"image_id": "a", "score": 1, "bbox": [0, 0, 1, 1]},
            DataError,
            "has no segmentation; this is a file of boxes",
        ),
        (
            result(segmentation={"size": [6, 4], "counts": "0"}),
            LabelError,
            r"has size \[6, 4\], but",
        ),
        (
            result(segmentation={"size": None, "counts": "0"}),
            LabelError,
            "has size None, but its image",
        ),
        (result(segmentation={"size": [4, 6]}), LabelError, "expected size and counts"),
        (result(segmentation={"size": [4, 6], "counts": [1, [2]]}), RleError, "counts must be a"),
        (result(segmentation={"size": [4, 6], "counts": [5]}), RleError, "counts cover 5 pixels"),
        (result(segmentation=[[1, 2, 3]]), LabelError, "expected polygons as lists of x, y pairs"),
        (result(segmentation=[1, 2, 3, 4]), LabelError, "expected polygons as lists of x, y pairs"),
        (result(segmentation=17), LabelError, "expected polygons"),
        (
            result(segmentation=[[float("nan"), 1, 3, 1, 3, 3]]),
            LabelError,
            "a polygon has a vertex that is not finite",
        ),
        (
            result(segmentation=[[6, 1, 9, 1, 9, 3]]),
            LabelError,
            "its polygon lies wholly outside the 6x4 image",
        ),
        (
            result(segmentation=[[1, -9, 3, -9, 3, -7]]),
            LabelError,
            "its polygon lies wholly outside the 6x4 image",
        ),
    ],
)
def test_a_broken_result_is_an_error_with_its_number(tmp_path, item, error, message):
    with pytest.raises(error, match=f"result 2.*: {message}"):
        read_coco_results(write(tmp_path, [result(), item]), SHAPES)


def test_a_polygon_that_reaches_beyond_the_border_is_cut_there(tmp_path):
    path = write(tmp_path, [result(segmentation=[[4, 2, 20, 2, 20, 30, 4, 30]])])
    mask = masks_to_dense(read_coco_results(path, SHAPES).detections["a"].masks)[0]
    expected = np.zeros(SHAPE, bool)
    expected[2:, 4:] = True
    assert (mask == expected).all()


def test_masks_without_a_pixel_are_counted_and_a_file_of_nothing_else_is_refused(tmp_path):
    nothing = result(segmentation=[[0.1, 0.1, 0.3, 0.1, 0.3, 0.3]])
    no_vertex = [result(segmentation=empty) for empty in ([], [[]], [[[]]])]
    results = [result(), nothing, *no_vertex]
    found = read_coco_results(write(tmp_path, results), SHAPES)
    assert len(found.detections["a"].masks) == 1
    assert found.remarks == ("results.json: 4 masks without a pixel left out",)
    with pytest.raises(LabelError, match="not in fractions of the image"):
        read_coco_results(write(tmp_path, [nothing]), SHAPES)


def test_malformed_json_is_an_error_with_its_place(tmp_path):
    path = tmp_path / "r.json"
    path.write_text(json.dumps([result(), result()])[:-9])
    with pytest.raises(DataError, match=r"r\.json: not valid JSON at character \d+"):
        read_coco_results(path, SHAPES)


@pytest.mark.needs_jit  # seven minutes in plain Python
def test_a_long_file_takes_far_less_memory_than_its_size(tmp_path):
    # Frayed masks of 200 x 200 pixels: a few of the image asked for, twenty times more of others.
    frayed = np.zeros((200, 200), bool)
    frayed[1:60:2, :] = True
    wanted = json.dumps(result("a", segmentation=rle(frayed)))
    other = json.dumps(result("zzz", segmentation=rle(frayed)))
    path = tmp_path / "long.json"
    with path.open("w") as file:
        file.write("[" + wanted)
        for k in range(4000):
            file.write("," + (wanted if k % 20 == 0 else other))
        file.write("]")
    assert path.stat().st_size > 40e6
    read_coco_results(write(tmp_path, [result()]), SHAPES)  # compiles
    tracemalloc.start()
    try:
        found = read_coco_results(path, {"a": (200, 200)})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found.detections["a"].masks) == 201
    assert peak < 10e6
