"""`cellflow check` in words and numbers."""

import json

import numpy as np
import pytest

from cellflow.data.entrance import open_dataset
from cellflow.data.images import write_png
from cellflow.data.kaggle import KaggleImage, write_train_csv
from cellflow.data.rle import dense_to_masks
from cellflow.data.submission import write_submission
from cellflow.diagnosis.inspection import inspect_data, inspect_download, inspect_submission
from cellflow.errors import DataError, ManifestError, RleError


@pytest.fixture
def competition(tmp_path, rng):
    stack = np.zeros((2, 20, 30), bool)
    stack[0, 2:9, 2:9] = stack[1, 8:15, 8:20] = True
    write_png(tmp_path / "train/a.png", rng.integers(0, 255, (20, 30), np.uint8))
    image = KaggleImage(name="a", masks=dense_to_masks(stack), metadata={"cell_type": "cort"})
    write_train_csv(tmp_path / "train.csv", [image])
    return tmp_path


def test_a_folder_is_reported_with_its_ceilings(competition):
    found = inspect_data(competition)
    assert found.problems == ()
    assert found.text().startswith(f"{competition}: kaggle layout, 1 image, 1 annotated: 1 cort")
    assert found.text().endswith("no problems found")
    assert found.facts["ceilings"]["small_on_top"] > 0.9
    again = json.loads(json.dumps(found.to_dict()))
    assert again["per_cell_type"]["cort"]["overlapping"] == 2


def test_images_without_truth_have_no_ceilings(tmp_path, rng):
    write_png(tmp_path / "a.png", rng.integers(0, 255, (20, 30), np.uint8))
    found = inspect_data(tmp_path)
    assert found.problems[0].startswith(f"{tmp_path}: no image has truth, so that there is nothing")
    assert found.text() == f"{found.headline}\nproblem: {found.problems[0]}"
    assert found.to_dict()["ceilings"] == {}


def test_ids_without_an_image_and_images_without_an_id_are_told(competition):
    image = (competition / "train/a.png").read_bytes()
    (competition / "train/b.png").write_bytes(image)
    table = (competition / "train.csv").read_text()
    row = table.splitlines()[1].replace("a,", "c,", 1)
    (competition / "train.csv").write_text(f"{table}{row}\n")
    remarks = inspect_data(competition).remarks
    assert remarks[:2] == ("1 id without an image: c", "1 image without rows: b")


def test_every_broken_annotation_is_listed_and_the_rest_is_still_checked(competition):
    table = (competition / "train.csv").read_text()
    row = table.splitlines()[1]
    name, _, rest = row.split(",", 2)
    broken = [f"{name},{runs},{rest}" for runs in ("3 x", "1 2 3", "599 9")]
    (competition / "train.csv").write_text("\n".join([table.rstrip(), *broken, row]) + "\n")
    found = inspect_data(competition)
    assert [problem.split("train.csv ")[1] for problem in found.problems] == [
        "line 4: expected whole numbers of at most 18 digits, found '3 x'",
        "line 5: an odd count of numbers (3); they come in pairs",
        "line 6: run 599+9 ends outside a 30x20 image",
    ]
    assert found.facts["per_cell_type"]["cort"]["cells"] == 3
    assert "image a: drawn twice: 1 mask" in found.remarks
    with pytest.raises(RleError, match="line 4: expected whole numbers"):
        open_dataset(competition)


def test_tiny_cells_are_counted_in_the_table(competition):
    table = (competition / "train.csv").read_text()
    row = table.splitlines()[1].split(",", 2)
    (competition / "train.csv").write_text(f"{table}a,600 1,{row[2]}\n")
    header, facts = inspect_data(competition).table.splitlines()[:2]
    assert (header.split()[-1], facts.split()[-1]) == ("tiny", "1")


def test_a_submission_is_checked_by_the_competitions_rules(competition, tmp_path):
    square = np.zeros((1, 20, 30), bool)
    square[0, 2:9, 2:12] = True
    write_submission(tmp_path / "s.csv", [("a", dense_to_masks(square))])
    found = inspect_submission(tmp_path / "s.csv", competition / "train.csv")
    assert found.problems == ()
    assert found.headline.endswith("s.csv: 1 cell in 1 image")
    (tmp_path / "other.csv").write_text("id,predicted\nb,5 3\n")
    other = inspect_submission(tmp_path / "other.csv", competition / "train.csv")
    assert "image a has no row" in other.problems
    assert "image b is not one of the images" in other.problems
    without = inspect_submission(tmp_path / "s.csv")
    assert "image sizes are assumed to be 704x520" in " ".join(without.remarks)


def test_of_many_problems_the_first_are_shown_and_json_has_all(competition, tmp_path):
    rows = "".join(f"i{n},5 0\n" for n in range(50))
    (tmp_path / "s.csv").write_text(f"id,predicted\n{rows}")
    found = inspect_submission(tmp_path / "s.csv")
    assert len(found.problems) >= 50
    assert "more; --json lists all" in found.text()
    assert len(found.text().splitlines()) < 30
    assert len(found.to_dict()["problems"]) == len(found.problems)


def test_a_download_names_licence_and_source(competition):
    found = inspect_download("sartorius", competition)
    assert any("train/*.png: 1 files, expected 606" in problem for problem in found.problems)
    assert found.remarks[0].startswith("licence: ")
    with pytest.raises(ManifestError):
        inspect_download("no-such", competition)


def test_a_folder_that_cannot_be_opened_is_an_error(tmp_path):
    with pytest.raises(DataError):
        inspect_data(tmp_path)
