"""`cellflow folds`: the file, the leak report, both sides as COCO."""

import json


def test_folds_are_written_and_their_leaks_reported(cellflow, competition, tmp_path):
    out = tmp_path / "aus gabe" / "folds.json"
    done = cellflow("folds", competition, "--n-folds", 2, "--out", out)
    assert done.code == 0
    assert done.out.splitlines()[-1].startswith("no leak: training and validation share")
    folds = json.loads(out.read_text(encoding="utf-8"))["folds"]
    assert sorted(name for fold in folds for name in fold["validation"]) == ["a", "c", "d", "ä b"]


def test_each_fold_is_exported_as_coco_with_the_competitions_categories(
    cellflow, competition, tmp_path
):
    done = cellflow(
        "folds", competition, "--n-folds", 2, "--out", tmp_path / "f.json",
        "--export", "coco", "--export-dir", tmp_path / "coco",
    )  # fmt: skip
    assert done.code == 0
    files = sorted((tmp_path / "coco").iterdir())
    assert [file.name for file in files] == [
        "fold0_train.json", "fold0_validation.json", "fold1_train.json", "fold1_validation.json",
    ]  # fmt: skip
    content = json.loads(files[0].read_text(encoding="utf-8"))
    assert [one["name"] for one in content["categories"]] == ["shsy5y", "astro", "cort"]
    assert len(content["annotations"]) == 3 * len(content["images"]) == 6


def test_more_folds_than_images_are_refused(cellflow, competition, tmp_path):
    done = cellflow("folds", competition, "--out", tmp_path / "f.json")
    assert done.code == 1
    assert done.errors[0].endswith("4 independent groups of images are too few for 5 folds")
    assert not (tmp_path / "f.json").exists()


def test_a_file_of_other_folds_is_kept_unless_overwriting_is_asked_for(
    cellflow, competition, tmp_path
):
    out = tmp_path / "folds.json"
    given = ("folds", competition, "--n-folds", 2, "--out", out)
    assert cellflow(*given).code == 0
    before = out.read_bytes()
    assert cellflow(*given).code == 0  # the same folds again
    done = cellflow(*given, "--seed", 3)
    assert done.code == 1
    assert "folds.json: has other content, which runs may depend on" in done.errors[-1]
    assert out.read_bytes() == before
    assert cellflow(*given, "--seed", 3, "--overwrite").code == 0
    assert json.loads(out.read_text(encoding="utf-8"))["seed"] == 3
    out.write_text("notes")
    assert cellflow(*given).code == 1
    assert out.read_text() == "notes"
