"""Fusing: rules chosen on folds, an honest score, no pixel twice."""

import csv

import numpy as np
import pytest

from cellflow.comparison.fuse import fuse
from cellflow.comparison.importers import Sources
from cellflow.data.images import write_png
from cellflow.data.kaggle import KaggleImage, write_train_csv
from cellflow.data.rle import masks_to_rle, rle_to_masks
from cellflow.data.submission import check_submission, read_submission, write_submission
from cellflow.errors import ConfigError, DataError, SubmissionError

SHAPE = (2, 300)
BOTH = ["1 9", "20 9"]


def cells(*runs):
    return rle_to_masks(list(runs), SHAPE)


def write_truth(tmp_path, kinds, wells=None):
    """Two cells on each image."""
    path = tmp_path / "train.csv"
    metadata = [
        {"cell_type": kind} | ({"sample_id": f"p_{well}-1_V"} if well else {})
        for kind, well in zip(kinds, wells or [None] * len(kinds), strict=True)
    ]
    write_train_csv(
        path,
        [
            KaggleImage(name=f"i{k}", masks=cells(*BOTH), metadata=one)
            for k, one in enumerate(metadata)
        ],
    )
    return path


def submit(tmp_path, name, found):
    write_submission(tmp_path / name, found.items())
    return tmp_path / name


def halves(tmp_path, n_images=12):
    """One entry finds the first cell of every image, the other the second."""
    first = submit(tmp_path, "first.csv", {f"i{k}": cells(BOTH[0]) for k in range(n_images)})
    second = submit(tmp_path, "second.csv", {f"i{k}": cells(BOTH[1]) for k in range(n_images)})
    return [first, second]


def test_what_each_misses_the_other_fills_in(tmp_path):
    truth = write_truth(tmp_path, ["cort"] * 12)
    out = tmp_path / "fused.csv"
    fusion = fuse(halves(tmp_path), truth, out)
    assert fusion.nested.mean.estimate == fusion.same_images_score == 1
    assert fusion.gain.estimate == pytest.approx(0.5)
    assert fusion.p_value == pytest.approx(2 / 2**12)
    assert "better than first alone" in " ".join(fusion.table().split())
    assert fusion.rules["cort"] == "first, filled in by the others"
    assert fusion.rule_scores["cort"]["first alone"] == 0.5
    written = read_submission(out, SHAPE)
    assert masks_to_rle(written["i0"]) == BOTH


def test_of_a_few_wells_a_fusion_is_not_called_better(tmp_path):
    truth = write_truth(tmp_path, ["cort"] * 12, [f"A{1 + k // 4}" for k in range(12)])
    fusion = fuse(halves(tmp_path), truth, tmp_path / "fused.csv")
    assert fusion.gain.low == pytest.approx(0.5)
    assert fusion.p_value == pytest.approx(2 / 2**3)
    assert "not to be told apart from first alone, by +0.500" in " ".join(fusion.table().split())
    assert "Note: with 3 independent groups of images" in fusion.table()


def test_each_cell_type_gets_its_own_rule(tmp_path):
    kinds = ["cort"] * 8 + ["astro"] * 8
    truth = write_truth(tmp_path, kinds)
    spurious = "60 9"
    # On cort the first is right; on astro the second is, and the first would only add.
    sides = {"cort": (cells(*BOTH), cells(spurious)), "astro": (cells(spurious), cells(*BOTH))}
    entries = [
        submit(
            tmp_path, f"{name}.csv", {f"i{k}": sides[kind][side] for k, kind in enumerate(kinds)}
        )
        for side, name in enumerate(("first", "second"))
    ]
    fusion = fuse(entries, truth, tmp_path / "fused.csv")
    assert (fusion.rules["cort"], fusion.rules["astro"]) == ("first alone", "second alone")
    assert fusion.nested.mean.estimate == 1
    assert fusion.best_alone == "first"


def test_the_score_is_of_images_that_had_no_say(tmp_path, rng):
    # Which of the two is right is chance: on the same images a choice seems to help.
    truth = write_truth(tmp_path, ["cort"] * 10)
    right = rng.random(10) < 0.5
    sides = [
        {f"i{k}": cells(*BOTH) if right[k] == side else cells("60 9") for k in range(10)}
        for side in (True, False)
    ]
    entries = [submit(tmp_path, f"{n}.csv", side) for n, side in zip("ab", sides, strict=True)]
    fusion = fuse(entries, truth, tmp_path / "fused.csv")
    assert fusion.nested.mean.estimate <= fusion.same_images_score
    assert "too high by selection" in fusion.table()
    assert fusion.to_dict()["images"] == 10


def test_scored_detections_are_cut_before_they_are_fused(tmp_path):
    import json

    from cellflow.data.coco_rle import masks_to_counts

    truth = write_truth(tmp_path, ["cort"] * 10)
    results = [
        {
            "image_id": f"i{k}",
            "category_id": 1,
            "segmentation": {"size": list(SHAPE), "counts": counts},
            "score": score,
        }
        for k in range(10)
        for counts, score in zip(
            masks_to_counts(cells(BOTH[0], "60 9")), [0.9 - k / 100, 0.2], strict=True
        )
    ]
    (tmp_path / "scored.json").write_text(json.dumps(results))
    entries = [tmp_path / "scored.json", halves(tmp_path, 10)[1]]
    fusion = fuse(entries, truth, tmp_path / "fused.csv")
    assert fusion.nested.mean.estimate == 1
    assert masks_to_rle(fusion.cells["i3"]) == BOTH


def test_images_without_truth_are_fused_by_what_the_others_chose(tmp_path):
    truth = write_truth(tmp_path, ["cort"] * 12)
    write_png(tmp_path / "pictures/new.png", np.zeros(SHAPE, np.uint8))
    entries = []
    for path, run in zip(halves(tmp_path), BOTH, strict=True):
        found = read_submission(path, SHAPE) | {"new": cells(run)}
        entries.append(submit(tmp_path, path.name, found))
    sources = Sources(images=(tmp_path / "pictures",))
    fusion = fuse(entries, truth, tmp_path / "fused.csv", sources=sources)
    assert masks_to_rle(fusion.cells["new"]) == BOTH
    assert fusion.nested.overall.n_images == 12
    without = fuse(entries, truth, tmp_path / "fused.csv")
    assert "new" not in without.cells
    assert any("left out that the truth does not have: new" in one for one in without.remarks)


def test_three_entries_vote(tmp_path):
    truth = write_truth(tmp_path, ["cort"] * 10)
    # Each finds both cells, one of them poorly, and something spurious of its own.
    runs = [["1 9", "20 6", "60 9"], ["1 6", "20 9", "80 9"], ["1 9", "20 9", "99 9"]]
    entries = [
        submit(tmp_path, f"m{n}.csv", {f"i{k}": cells(*found) for k in range(10)})
        for n, found in enumerate(runs)
    ]
    fusion = fuse(entries, truth, tmp_path / "fused.csv")
    assert fusion.nested.mean.estimate == 1
    assert fusion.rules["cort"].startswith("vote, cells of 2 or more")


def test_entries_of_different_images_are_refused_unless_the_common_ones_are_asked_for(tmp_path):
    truth = write_truth(tmp_path, ["cort"] * 12)
    entries = [halves(tmp_path)[0], halves(tmp_path, 9)[1]]
    submit(tmp_path, "first.csv", {f"i{k}": cells(BOTH[0]) for k in range(12)})
    with pytest.raises(SubmissionError, match="second lacks 3 images that others have"):
        fuse(entries, truth, tmp_path / "fused.csv")
    assert not (tmp_path / "fused.csv").exists()
    fusion = fuse(entries, truth, tmp_path / "fused.csv", common_only=True)
    assert len(fusion.cells) == 9


def test_what_cannot_be_fused_is_refused(tmp_path):
    truth = write_truth(tmp_path, ["cort"] * 12, ["A1"] * 12)
    entries = halves(tmp_path)
    with pytest.raises(SubmissionError, match="fewer than two entries"):
        fuse(entries[:1], truth, tmp_path / "fused.csv")
    with pytest.raises(ConfigError, match=r"fused\.json: expected a submission \.csv"):
        fuse(entries, truth, tmp_path / "fused.json")
    with pytest.raises(DataError, match="all images are of one group; a rule needs two folds"):
        fuse(entries, truth, tmp_path / "fused.csv")


@pytest.mark.real_data
def test_real_submissions_are_fused_without_overlap(real_data, tmp_path):
    root = real_data / "sartorius"
    entries = [root / f"predictions/{n}.csv" for n in ("mask_rcnn", "cellpose_finetuned")]
    fusion = fuse(entries, root / "train.csv", tmp_path / "fused.csv")
    assert check_submission(tmp_path / "fused.csv").problems == ()
    assert fusion.best_alone == "mask_rcnn"
    assert 0.37 < fusion.nested.mean.estimate < fusion.same_images_score < 0.42
    with (tmp_path / "fused.csv").open() as file:
        assert len({row["id"] for row in csv.DictReader(file)}) == 30
