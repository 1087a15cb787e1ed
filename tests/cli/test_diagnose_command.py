"""`cellflow diagnose` with and without a prediction."""

import json
import re

import numpy as np
import pytest

from cellflow.data.kaggle import read_train_csv
from cellflow.data.submission import write_submission


@pytest.fixture
def submission(competition):
    truth = read_train_csv(competition / "train.csv")
    path = competition.parent / "mine.csv"
    found = [(name, image.masks.select(np.array([0, 1]))) for name, image in truth.items()]
    write_submission(path, found)
    return path


def test_a_submission_is_diagnosed(cellflow, competition, submission, tmp_path):
    truth = competition / "train.csv"
    done = cellflow("diagnose", submission, "--truth", truth, "--pictures", tmp_path / "p")
    assert done.code == 0
    assert done.out.startswith("mine.csv")
    assert {path.name for path in (tmp_path / "p").iterdir()} == {
        "error_budget.png",
        "annotation_limits.png",
    }
    found = json.loads(cellflow("diagnose", submission, "--truth", truth, "--json").out)
    assert found["types"]["all"]["budget"]["kinds"]["missed"]["n_truths"] == 4
    assert found["types"]["astro"]["n_images"] == 2


def test_the_truth_alone_is_diagnosed(cellflow, competition):
    done = cellflow("diagnose", "--truth", competition)
    assert done.code == 0
    assert "score of a perfect network" in done.out
    assert "missed" not in done.out


def test_what_is_not_defined_without_a_true_cell_is_a_word(cellflow, tmp_path):
    pytest.importorskip("faster_coco_eval", reason="the extra [coco] is not installed")
    images = [{"id": k, "file_name": f"{k}.png", "height": 8, "width": 9} for k in (1, 2)]
    kinds = [{"id": 1, "name": "cell"}]
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps({"images": images, "annotations": [], "categories": kinds}))
    entries = []
    for top in (1, 2):
        cell = {"size": [8, 9], "counts": [9 * top, 5, 72 - 9 * top - 5]}
        found = {"image_id": 1, "category_id": 1, "score": 0.9, "segmentation": cell}
        entries.append(tmp_path / f"r{top}.json")
        entries[-1].write_text(json.dumps([found]))
    done = cellflow("diagnose", entries[0], "--truth", truth)
    assert done.code == 0
    assert "all             0         0      none  none\n" in done.out
    report = tmp_path / "report.html"
    compared = cellflow("compare", *entries, "--truth", truth, "--report", report)
    assert compared.code == 0
    assert compared.out.count("0.500     none\n") == 2
    shown = report.read_text(encoding="utf-8")
    assert shown.count("mAP 0.500</td><td>–</td>") == 2
    for text in (done.out, compared.out, shown):
        assert not re.search(r"\bnan\b", text)


def test_images_that_the_truth_lacks_are_refused(cellflow, competition, tmp_path):
    (tmp_path / "s.csv").write_text("id,predicted\nzzz,1 2\n")
    done = cellflow("diagnose", tmp_path / "s.csv", "--truth", competition / "train.csv")
    assert done.code == 1
    assert len(done.errors) == 1


@pytest.mark.parametrize("option", [("--overlap-rule", "mask_nms"), ("--all-truth",)])
def test_options_of_a_prediction_are_refused_without_one(cellflow, competition, option):
    done = cellflow("diagnose", "--truth", competition / "train.csv", *option)
    assert done.code == 2
    assert f"{option[0]} needs a PREDICTION" in done.err
