"""`cellflow baseline`: train and predict, and what is refused in one line."""

import json

import pytest

TINY = (
    "training.crop_height=64", "training.crop_width=64", "unet.channels_per_level=[4, 8]",
    "cells.min_area=1", "unet.foreground_threshold=0.01", "unet.marker_threshold=0.01",
)  # fmt: skip


@pytest.fixture
def train(cellflow, competition, tmp_path):
    def run(*more, model="unet", out="run"):
        settings = [word for each in TINY for word in ("--set", each)]
        return cellflow(
            "baseline", "train", "--model", model, "--train-dir", competition, "--out",
            tmp_path / out, "--device", "cpu", "--iterations", 2, "--batch-size", 1, *settings,
            *more,
        )  # fmt: skip

    return run


def test_train_then_predict_into_every_format(train, cellflow, competition, tmp_path):
    (competition / "train/e.png").write_bytes((competition / "train/a.png").read_bytes())
    done = train()
    assert (done.code, done.out.strip()) == (0, str(tmp_path / "run"))
    assert "kaggle layout; held out:" in done.err
    assert "1 image without rows: e" in done.err
    (competition / "train/e.png").unlink()
    assert "operators: none of torchvision" in done.err
    outputs = [tmp_path / name for name in ("found.csv", "found.json", "labels")]
    found = cellflow(
        "baseline", "predict", competition / "train", "--model", tmp_path / "run", "--device",
        "cpu", *(word for path in outputs for word in ("--out", path)), "--cells",
        tmp_path / "cells.csv", "--counts", tmp_path / "n.csv", "--overlays", tmp_path / "pictures",
    )  # fmt: skip
    assert (found.code, found.errors) == (0, [])
    assert "in 4 images" in found.out
    assert (tmp_path / "found.csv").read_text().startswith("id,predicted\n")
    results = json.loads((tmp_path / "found.json").read_text())
    assert results
    assert all(0 <= each["score"] <= 1 for each in results)
    assert len(list((tmp_path / "labels").iterdir())) == 4
    assert len((tmp_path / "n.csv").read_text().splitlines()) == 1 + 4
    assert len(list((tmp_path / "pictures").iterdir())) == 4
    assert not list(tmp_path.glob("*.partial"))
    checked = cellflow("check", tmp_path / "found.csv")
    assert checked.code == 0
    image = next((competition / "train").glob("*.png"))
    refused = cellflow(
        "baseline", "predict", image, "--model", tmp_path / "run", "--out", tmp_path / "more.csv",
        "--overlays", image.parent,
    )  # fmt: skip
    assert refused.code == 1
    assert "is an input of this command" in refused.err


def test_hours_and_minutes_are_one_budget(train):
    assert train("--max-hours", 1, "--max-minutes", 1).code == 2
    wrong = train("--max-minutes", 0)
    assert wrong.errors == ["error: --max-minutes: expected > 0, found 0.0"]
    assert "at most 30 min, planned after the first iterations" in train("--max-hours", 0.5).err


def test_a_baseline_that_finds_no_cell_says_so(train, cellflow, competition, tmp_path):
    assert train().code == 0
    done = cellflow(
        "baseline", "predict", competition / "train", "--model", tmp_path / "run", "--device",
        "cpu", "--out", tmp_path / "found.csv", "--set", "cells.min_area=100000",
    )  # fmt: skip
    assert done.code == 0
    assert done.out.startswith("0 cells in 4 images")
    assert "no cell in any image: was the model trained long enough" in done.err


def test_compare_predicts_with_a_baseline_folder_as_predict_does(
    train, cellflow, competition, tmp_path
):
    assert train().code == 0
    found, truth = tmp_path / "found.csv", competition / "train.csv"
    done = cellflow(
        "baseline", "predict", competition / "train", "--model", tmp_path / "run", "--device",
        "cpu", "--out", found,
    )  # fmt: skip
    assert done.code == 0
    compared = cellflow(
        "compare", tmp_path / "run", found, "--truth", truth, "--images", competition / "train",
        "--json",
    )  # fmt: skip
    assert (compared.code, compared.errors) == (0, [])
    folder, file = json.loads(compared.out)["scores"].values()
    assert folder == file
    assert not all(line.endswith(",") for line in found.read_text().split()[1:]), "no cell found"


def test_the_same_command_again_does_nothing(train):
    assert train().code == 0
    again = train()
    assert again.code == 0
    assert "already trained" in again.err


def test_a_fold_of_a_file_is_held_out(train, cellflow, competition, tmp_path):
    folds = tmp_path / "folds.json"
    assert cellflow("folds", competition, "--out", folds, "--n-folds", 2).code == 0
    assert train("--folds", folds, "--fold", 1).code == 0
    record = json.loads((tmp_path / "run" / "baseline.json").read_text())
    expected = json.loads(folds.read_text())["folds"][1]["validation"]
    assert sorted(record["data"]["validation"]) == sorted(expected)


@pytest.mark.parametrize(
    ("more", "model", "words"),
    [
        ((), "yolo", "unknown model 'yolo'; known: mask-rcnn, cascade-mask-rcnn, unet"),
        (("--preset", "fast"), "mask-rcnn", "unknown preset 'fast'"),
        (("--backbone", "vgg"), "mask-rcnn", "--backbone: expected one of resnet18"),
        (("--set", "training.epochs=3"), "unet", "unknown setting training.epochs; known:"),
        (("--validation-share", "1.5"), "unet", "--validation-share: expected 0 to 1"),
        (("--fold", "1"), "unet", "--fold 1: needs a folds file"),
        (("--device", "cuda:9"), "unet", "cuda:9"),
    ],
)
def test_what_does_not_fit_is_one_line_and_leaves_nothing(train, tmp_path, more, model, words):
    done = train(*more, model=model, out="none")
    assert done.code == 1
    assert len(done.errors) == 1
    assert words in done.errors[0]
    assert not (tmp_path / "none" / "run.json").exists()


def test_a_folder_that_is_no_baseline_is_told(cellflow, competition, tmp_path):
    done = cellflow(
        "baseline", "predict", competition / "train", "--model", tmp_path, "--out", "x.csv"
    )
    assert done.code == 1
    assert "not a trained baseline: it has no baseline.json" in done.errors[0]


def test_without_the_extra_one_line_says_what_to_install(train, tmp_path, monkeypatch):
    from cellflow.baselines import operators

    monkeypatch.setattr(operators, "_loaded", None)
    monkeypatch.setattr(operators.importlib.util, "find_spec", lambda name: None)
    done = train(model="mask-rcnn", out="none")
    assert done.code == 1
    assert done.errors == [
        "error: Mask R-CNN and Cascade Mask R-CNN need torchvision: pip install 'cellflow[rcnn]'"
    ]
    assert not (tmp_path / "none" / "run.json").exists()
