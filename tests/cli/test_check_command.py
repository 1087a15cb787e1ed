"""`cellflow check`, `folds` and `doctor`."""

import json

import pytest

from cellflow.data.kaggle import read_train_csv
from cellflow.data.rle import dense_to_masks, masks_to_dense
from cellflow.data.submission import write_submission


def test_a_good_folder_passes_and_json_has_the_ceilings(cellflow, competition):
    done = cellflow("check", competition)
    assert done.code == 0
    assert "no problems found" in done.out
    content = json.loads(cellflow("check", competition, "--json").out)
    assert content["ceilings"]["small_on_top"] == 1
    assert content["problems"] == []


def test_a_problem_is_exit_code_1_and_all_is_still_reported(cellflow, competition):
    path = competition / "train" / "ä b.png"
    path.write_bytes(path.read_bytes()[:60])
    done = cellflow("check", competition)
    assert done.code == 1
    assert "problem: " in done.out
    assert "ä b.png" in done.out
    assert done.errors == [f"error: {competition}: 1 problem found"]


def test_a_transposed_submission_is_recognised(cellflow, competition, tmp_path):
    images = read_train_csv(competition / "train.csv")
    path = tmp_path / "t.csv"
    down_the_columns = {
        name: dense_to_masks(masks_to_dense(one.masks).transpose(0, 2, 1))
        for name, one in images.items()
    }
    write_submission(path, down_the_columns.items())
    done = cellflow("check", path, "--truth", competition / "train.csv")
    assert done.code == 1
    assert "the run lengths are transposed" in done.out


def test_an_unknown_layout_and_manifest_name_the_known_ones(cellflow, competition):
    (line,) = cellflow("check", competition, "--format", "coko").errors
    assert "known: kaggle" in line
    (line,) = cellflow("check", competition, "--manifest", "mnist").errors
    assert "sartorius" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", ".", "--truth", "s.csv"), "--truth only applies to a submission .csv"),
        (("check", "s.csv", "--format", "coco"), "--format only applies to a data folder"),
        (
            ("check", ".", "--manifest", "sartorius", "--format", "coco"),
            "--format only applies to a data",
        ),
        (("folds", ".", "--share", "0.2", "--n-folds", "4"), "give either --share or --n-folds"),
        (("folds", ".", "--export-dir", "coco"), "--export-dir needs --export coco"),
    ],
)
def test_an_option_that_would_do_nothing_is_wrong_usage(
    cellflow, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.csv").write_text("id,predicted\na,\n")
    done = cellflow(*arguments)
    assert done.code == 2
    assert message in done.err


def test_a_download_is_compared_with_its_manifest(cellflow, competition):
    done = cellflow("check", "--manifest", "sartorius", competition)
    assert done.code == 1
    assert "train/*.png: 4 files, expected 606" in done.out


def test_folds_are_written_told_and_exported(cellflow, competition, tmp_path):
    out, coco = tmp_path / "f ö.json", tmp_path / "coco"
    arguments = ["folds", competition, "--out", out, "--n-folds", 2]
    done = cellflow(*arguments, "--export", "coco", "--export-dir", coco)
    assert done.code == 0
    assert "fold 1: 2 training, 2 validation (1 astro, 1 cort)" in done.out
    first = out.read_bytes()
    assert len(list(coco.glob("*.json"))) == 4
    cellflow(*arguments)
    assert out.read_bytes() == first


def test_a_share_is_held_out(cellflow, competition, tmp_path):
    done = cellflow("folds", competition, "--out", tmp_path / "f.json", "--share", 0.5)
    assert "fold 0: 2 training, 2 validation (1 astro, 1 cort)" in done.out


def test_more_folds_than_images_are_refused_and_nothing_is_written(cellflow, competition, tmp_path):
    done = cellflow("folds", competition, "--out", tmp_path / "f.json", "--n-folds", 9)
    assert done.code == 1
    assert not (tmp_path / "f.json").exists()


def test_doctor_reports_versions_and_the_device(cellflow):
    report = json.loads(cellflow("doctor", "--json").out)
    assert {"cellflow", "python", "torch", "numba", "device auto", "processors"} <= report.keys()


@pytest.mark.needs_jit
def test_doctor_warms_every_kernel(cellflow):
    done = cellflow("doctor", "--warm")
    assert done.code == 0
    assert "compiled or loaded in" in done.out
