import numpy as np
import pytest

from cellflow.data.images import read_image, write_png
from cellflow.data.kaggle import KaggleImage, write_train_csv
from cellflow.data.label_images import write_label_tiff
from cellflow.data.rle import labels_to_masks
from cellflow.data.submission import write_submission
from cellflow.errors import ConfigError, DataError
from cellflow.pictures.gallery import PER_SHEET
from cellflow.pictures.show import show_images

LABELS = np.zeros((20, 30), np.int32)
LABELS[4:9, 4:9], LABELS[10:16, 12:20] = 1, 2
MASKS = labels_to_masks(LABELS)
CAPTION = 32


@pytest.fixture
def images(tmp_path):
    """A folder of three images of noise: a, b, é."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "some images"
    for name in ("a", "b", "é"):
        write_png(folder / f"{name}.png", rng.integers(0, 255, (20, 30), np.uint8))
    return folder


def _panels(path):
    return (read_image(path).shape[-1] + 8) // (60 + 8)


def _drawn(out):
    return sorted(str(path.relative_to(out)) for path in out.rglob("*.png"))


def test_images_without_any_masks_are_shown_alone(images, tmp_path):
    result = show_images([images], tmp_path / "out")
    assert _drawn(tmp_path / "out") == ["a.png", "b.png", "gallery/cells_1.png", "é.png"]
    assert _panels(tmp_path / "out" / "a.png") == 1
    assert (result.n_pictures, result.n_sheets) == (3, 1)
    assert result.remarks == result.failures == []


def test_a_submission_is_drawn_beside_and_what_it_lacks_is_said(images, tmp_path):
    table = tmp_path / "submission.csv"
    write_submission(table, [("a", MASKS), ("b", MASKS), ("zz", MASKS)])
    result = show_images([images], tmp_path / "out", masks=[table])
    assert _panels(tmp_path / "out" / "a.png") == 2
    assert _panels(tmp_path / "out" / "é.png") == 1
    assert result.remarks == [
        f"{table}: no masks for é; drawn without them",
        f"{table}: no image for zz; left out",
    ]


def test_truth_and_prediction_stand_side_by_side_with_a_sheet_per_cell_type(images, tmp_path):
    truth, predicted = tmp_path / "train.csv", tmp_path / "submission.csv"
    kinds = {"a": "cort", "b": "../astro", "é": "cort"}
    write_train_csv(
        truth,
        [
            KaggleImage(name=name, masks=MASKS, metadata={"cell_type": kind})
            for name, kind in kinds.items()
        ],
    )
    write_submission(predicted, [(name, MASKS) for name in kinds])
    show_images([images], tmp_path / "out", masks=[predicted, truth], colouring="matches", zoom=2)
    assert _panels(tmp_path / "out" / "a.png") == 3
    assert _drawn(tmp_path / "out" / "gallery") == [".._astro_1.png", "cort_1.png"]


def test_cell_types_that_are_alike_as_file_names_keep_their_sheets(images, tmp_path):
    kinds = {"a": "x/y", "b": "x_y", "é": "x/y"}
    truth = tmp_path / "train.csv"
    write_train_csv(
        truth,
        [
            KaggleImage(name=name, masks=MASKS, metadata={"cell_type": kind})
            for name, kind in kinds.items()
        ],
    )
    shown = show_images([images], tmp_path / "out", masks=[truth])
    assert _drawn(tmp_path / "out" / "gallery") == ["x_y_1.png", "x_y_2.png"]
    assert shown.n_sheets == 2


@pytest.mark.parametrize("ending", ["", "_masks", "_cp_masks"])
def test_a_folder_of_label_images_is_taken(images, tmp_path, ending):
    for name in ("a", "b", "é"):
        write_label_tiff(tmp_path / "labels" / f"{name}{ending}.tif", LABELS)
    result = show_images([images], tmp_path / "out", masks=[tmp_path / "labels"])
    assert _panels(tmp_path / "out" / "é.png") == 2
    assert result.remarks == []


def test_one_image_file_and_a_competition_folder_work(images, tmp_path):
    show_images([images / "a.png"], tmp_path / "one")
    assert _drawn(tmp_path / "one") == ["a.png", "gallery/cells_1.png"]
    for path in images.iterdir():
        write_png(tmp_path / "data" / "train" / path.name, read_image(path))
    metadata = {"cell_type": "cort"}
    rows = [KaggleImage(name=name, masks=MASKS, metadata=metadata) for name in ("a", "b", "é")]
    write_train_csv(tmp_path / "data" / "train.csv", rows)
    show_images([tmp_path / "data"], tmp_path / "whole")
    assert _panels(tmp_path / "whole" / "b.png") == 2
    assert (tmp_path / "whole" / "gallery" / "cort_1.png").exists()


def test_a_broken_image_is_named_and_the_others_are_drawn(images, tmp_path):
    (images / "b.png").write_bytes((images / "b.png").read_bytes()[:60])
    table = tmp_path / "submission.csv"
    write_submission(table, [("a", MASKS), ("b", MASKS), ("é", MASKS)])
    result = show_images([images], tmp_path / "out", masks=[table])
    assert (result.n_pictures, len(result.failures)) == (2, 1)
    assert "image b: " in result.failures[0]
    assert not (tmp_path / "out" / "b.png").exists()


def test_masks_of_another_size_are_a_failure_of_that_image(images, tmp_path):
    for name, labels in (("a", LABELS), ("b", LABELS[:10]), ("é", LABELS)):
        write_label_tiff(tmp_path / "labels" / f"{name}.tif", labels)
    result = show_images([images], tmp_path / "out", masks=[tmp_path / "labels"])
    assert result.n_pictures == 2
    assert "image b: the cells are for 10x30 pixels, the image is 20x30" in result.failures[0]


def test_many_images_go_on_several_sheets(tmp_path):
    for index in range(PER_SHEET + 1):
        write_png(tmp_path / "in" / f"{index:03}.png", np.full((8, 8), index, np.uint8))
    seen = []
    result = show_images(
        [tmp_path / "in"], tmp_path / "out", report=lambda *step: seen.append(step)
    )
    assert result.n_sheets == 2
    assert seen[-1] == (PER_SHEET + 1, {"total": PER_SHEET + 1})


def test_wrong_masks_are_refused_with_a_reason(images, tmp_path):
    table = tmp_path / "submission.csv"
    write_submission(table, [("zz", MASKS)])
    out = tmp_path / "out"
    with pytest.raises(
        DataError, match="its 1 image, such as zz, none is of the 3 to show, such as a"
    ):
        show_images([images], out, masks=[table])
    write_submission(table, [("a", MASKS)])
    with pytest.raises(DataError, match="a second source of predicted masks"):
        show_images([images], out, masks=[table, table])
    table.write_text("id,area\na,4\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"expected the columns .* found area, id"):
        show_images([images], out, masks=[table])
    with pytest.raises(DataError, match=r"expected a submission\.csv"):
        show_images([images], out, masks=[images / "a.png"])
    assert not out.exists()


def test_wrong_images_are_refused_with_a_reason(images, tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        show_images([tmp_path / "nowhere"], tmp_path / "out")
    with pytest.raises(DataError, match="two images are named a"):
        show_images([images, images / "a.png"], tmp_path / "out")
    before = (images / "a.png").read_bytes()
    with pytest.raises(ConfigError, match=r"a\.png: is an input of this command"):
        show_images([images], images)
    assert (images / "a.png").read_bytes() == before
    with pytest.raises(DataError, match="no images to show"):
        show_images([], tmp_path / "out")
