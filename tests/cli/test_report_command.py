"""`cellflow report`, and `--report` of `score` and `compare`."""

import pytest

from cellflow.data.kaggle import read_train_csv
from cellflow.data.submission import write_submission


@pytest.fixture
def truth(competition):
    return competition / "train.csv"


@pytest.fixture
def submissions(truth, tmp_path):
    """A perfect one, and one that lacks every first cell."""
    images = read_train_csv(truth).values()
    paths = [tmp_path / "perfect ä.csv", tmp_path / "less.csv"]
    write_submission(paths[0], [(image.name, image.masks) for image in images])
    write_submission(paths[1], [(image.name, image.masks.select([1, 2])) for image in images])
    return paths


def test_score_writes_a_report_beside_its_table(cellflow, truth, submissions, tmp_path):
    out = tmp_path / "new folder" / "r.html"
    done = cellflow("score", submissions[0], "--truth", truth, "--report", out)
    assert done.code == 0
    assert "1.000" in done.out
    assert f"{out}: 4 images, all in the viewer, " in done.err
    assert "<bdi>perfect ä</bdi> scores 1.000 on 4 images" in out.read_text(encoding="utf-8")


def test_compare_writes_a_report_and_keeps_json_clean(cellflow, truth, submissions, tmp_path):
    out = tmp_path / "r.html"
    done = cellflow("compare", *submissions, "--truth", truth, "--report", out, "--json")
    assert done.code == 0
    assert done.out.startswith("{")
    assert "<bdi>perfect ä</bdi> may be better than <bdi>less</bdi>." in out.read_text("utf-8")


def test_report_works_with_and_without_truth(cellflow, competition, truth, submissions, tmp_path):
    out = tmp_path / "r.html"
    images = ("--images", competition / "train", "--out", out)
    done = cellflow("report", submissions[1], *images)
    assert (done.code, done.errors) == (0, [])
    assert done.out.startswith(f"{out}: 4 images, all in the viewer, 0.")
    assert "found 8 cells in 4 images" in out.read_text("utf-8")
    assert cellflow("report", *submissions, *images, "--truth", truth).code == 0
    assert "may be better than" in out.read_text("utf-8")


def test_report_takes_the_option_that_it_names_where_images_differ(
    cellflow, competition, truth, submissions, tmp_path
):
    out = ("--images", competition / "train", "--out", tmp_path / "r.html")
    lines = submissions[1].read_text().splitlines(keepends=True)
    submissions[1].write_text("".join(line for line in lines if not line.startswith("a,")))
    refused = cellflow("report", *submissions, *out, "--truth", truth)
    assert refused.code == 1
    assert "less lacks 1 image that others have (a); --common-only compares" in refused.errors[0]
    done = cellflow("report", *submissions, *out, "--truth", truth, "--common-only")
    assert done.code == 0
    assert "3 images, all in the viewer" in done.out
    assert "left out for all: a" in (tmp_path / "r.html").read_text("utf-8")


def test_report_without_truth_says_that_it_compares_nothing(
    cellflow, competition, submissions, tmp_path
):
    out = ("--images", competition / "train", "--out", tmp_path / "r.html")
    done = cellflow("report", *submissions, *out, "--common-only")
    assert done.code == 1
    assert "--common-only needs --truth" in done.errors[0]


def test_images_without_a_report_are_wrong_usage(cellflow, competition, truth, submissions):
    done = cellflow("score", submissions[0], "--truth", truth, "--images", competition / "train")
    assert done.code == 2
    assert "--report FILE" in done.err


def test_a_folder_of_other_images_is_one_line(cellflow, truth, submissions, tmp_path):
    (tmp_path / "other").mkdir()
    out = tmp_path / "r.html"
    done = cellflow(
        "score", submissions[0], "--truth", truth, "--report", out, "--images", tmp_path / "other"
    )
    assert done.code == 1
    assert len(done.errors) == 1
    assert not out.exists()
