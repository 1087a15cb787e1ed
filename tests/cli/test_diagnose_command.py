"""`cellflow diagnose` with and without a prediction."""

import json

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


def test_images_that_the_truth_lacks_are_refused(cellflow, competition, tmp_path):
    (tmp_path / "s.csv").write_text("id,predicted\nzzz,1 2\n")
    done = cellflow("diagnose", tmp_path / "s.csv", "--truth", competition / "train.csv")
    assert done.code == 1
    assert len(done.errors) == 1
