"""The competition's table: every column, and every way to break it."""

import csv
import pickle

import numpy as np
import pytest

from cellflow.data.images import write_png
from cellflow.data.kaggle import (
    COLUMNS,
    KaggleImage,
    open_kaggle,
    plate_and_well,
    read_train_csv,
    write_train_csv,
)
from cellflow.data.rle import masks_to_rle, rle_to_masks
from cellflow.errors import DataError, RleError

HEADER = ",".join(COLUMNS)
ROW = "12e4,1 2,4,3,cort,11h30m00s,2019-06-16,cort[oka-low]_E10-4_Vessel-714_Ph_3,0 days 11:30:00"


def table(tmp_path, text, name="train.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_every_column_arrives_and_the_id_stays_text(tmp_path):
    images = read_train_csv(table(tmp_path, f"{HEADER}\n{ROW}\n{ROW.replace('1 2', '2 3')}\n"))
    assert list(images) == ["12e4"]
    image = images["12e4"]
    assert masks_to_rle(image.masks) == ["1 2", "2 3"]
    assert image.masks.shape == (3, 4)
    assert (image.cell_type, image.group) == ("cort", "cort[oka-low]_E10")
    assert image.metadata["plate_time"] == "11h30m00s"


def test_a_table_survives_writing_and_reading(tmp_path):
    image = KaggleImage(
        name="é 1", masks=rle_to_masks(["1 2", "2 1"], (3, 4)), metadata={"cell_type": "astro"}
    )
    write_train_csv(tmp_path / "t.csv", [image])
    again = read_train_csv(tmp_path / "t.csv")["é 1"]
    assert masks_to_rle(again.masks) == ["1 2", "2 1"]
    assert again.cell_type == "astro"


def test_an_image_without_cells_has_one_row_with_an_empty_annotation(tmp_path):
    write_train_csv(tmp_path / "t.csv", [KaggleImage(name="a", masks=rle_to_masks([], (3, 4)))])
    image = read_train_csv(tmp_path / "t.csv")["a"]
    assert (len(image.masks), image.masks.shape) == (0, (3, 4))


@pytest.mark.parametrize("ends", ["\r\n", "\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_any_line_ends_and_a_byte_order_mark_are_read(tmp_path, ends, mark):
    assert read_train_csv(table(tmp_path, f"{mark}{HEADER}{ends}{ROW}{ends}"))["12e4"]


def test_empty_and_absent_metadata_is_unknown(tmp_path):
    images = read_train_csv(table(tmp_path, "id,annotation,width,height\na,1 2,4,3\n"))
    assert (images["a"].cell_type, images["a"].group) == (None, None)


def test_images_may_differ_in_size(tmp_path):
    images = read_train_csv(table(tmp_path, "id,annotation,width,height\na,1 2,4,3\nb,1 2,7,2\n"))
    assert [image.masks.shape for image in images.values()] == [(3, 4), (2, 7)]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", DataError, "missing column id, annotation, width, height; found an empty file"),
        (HEADER.replace(",", ";"), DataError, "one column, with semicolons in its name;"),
        (HEADER.replace(",", "\t"), DataError, "one column, with tabs in its name;"),
        ("id,width,height\n", DataError, "missing column annotation; found id, width, height"),
        (f"{HEADER}\n", DataError, "no rows below the header"),
        (f"{HEADER}\n{ROW}\n{ROW.replace('1 2', '1')}\n", RleError, "line 3: an odd count"),
        (f"{HEADER}\n{ROW.replace('1 2', '12 2')}\n", RleError, "line 2: run 12.2 ends outside"),
        (f"{HEADER}\n{ROW}\n{ROW.replace('1 2', '')}\n", RleError, "line 3: the run-length text"),
        (f"{HEADER}\n{ROW}\n{ROW.replace(',cort,', ',astro,')}\n", DataError,
         "line 3: image 12e4 is 'astro' here and 'cort' above"),
        (f"{HEADER}\n{ROW[4:]}\n", DataError, "line 2: the id is empty"),
        (f"{HEADER}\n{ROW}\n{ROW.replace(',4,3', ',5,3')}\n", DataError,
         "line 3: image 12e4 is 5x3 here and 4x3 above"),
        (f"{HEADER}\n{ROW.replace(',4,3', ',,3')}\n", DataError, "expected a width and height"),
        (f"{HEADER}\n{ROW.replace(',4,3', ',99999999999,3')}\n", DataError, "99999999999"),
        (f"{HEADER}\n12e4,1 2\n", DataError, "line 2: expected 9 fields, found fewer"),
        (f"{HEADER}\n{ROW},x\n", DataError, "line 2: expected 9 fields, found more than 9"),
    ],
)  # fmt: skip
def test_a_broken_table_is_refused_with_file_and_line(tmp_path, text, error, message):
    with pytest.raises(error, match=rf"train\.csv.*{message}"):
        read_train_csv(table(tmp_path, text))


def test_missing_and_binary_files_are_named(tmp_path):
    with pytest.raises(DataError, match="cannot read"):
        read_train_csv(tmp_path / "none.csv")
    (tmp_path / "b.csv").write_bytes(b"id,annotation,width,height\n\xff\xfe")
    with pytest.raises(DataError, match="not UTF-8"):
        read_train_csv(tmp_path / "b.csv")


def test_an_annotation_longer_than_csvs_limit_is_read(tmp_path):
    rows = "\n".join(["id,annotation,width,height", f"a,{long_annotation()},800,800"])
    assert read_train_csv(table(tmp_path, rows))["a"].masks.areas.tolist() == [160_000]


def long_annotation():
    return " ".join(f"{start} 1" for start in range(1, 320_001, 2))


def folder(tmp_path, ids=("a", "b")):
    for name in ids:
        write_png(tmp_path / "train" / f"{name}.png", np.zeros((3, 4), np.uint8))
    return tmp_path


def test_the_folder_gives_entries_that_load_anywhere(tmp_path):
    folder(tmp_path / "mit Leer zeichen é")
    root = tmp_path / "mit Leer zeichen é"
    table(root, f"{HEADER}\n{ROW.replace('12e4', 'a')}\n")
    dataset = open_kaggle(root)
    assert [entry.name for entry in dataset] == ["a", "b"]
    assert [entry.name for entry in dataset.annotated] == ["a"]
    assert dataset.remarks == ("1 image without rows: b",)
    sample = pickle.loads(pickle.dumps(dataset.entries[0])).load()
    assert len(sample.masks) == 1
    assert sample.group == "cort[oka-low]_E10"


def test_ids_without_an_image_are_named(tmp_path):
    folder(tmp_path, ["a"])
    table(tmp_path, f"{HEADER}\n{ROW}\n{ROW.replace('12e4', 'a')}\n")
    assert open_kaggle(tmp_path).remarks == ("1 id without an image: 12e4",)
    table(tmp_path, f"{HEADER}\n{ROW}\n")
    with pytest.raises(DataError, match="none of the 1 ids"):
        open_kaggle(tmp_path)


def test_two_images_of_one_id_are_refused(tmp_path):
    folder(tmp_path, ["a"])
    (tmp_path / "train" / "a.jpg").write_bytes(b"")
    table(tmp_path, f"{HEADER}\n{ROW.replace('12e4', 'a')}\n")
    with pytest.raises(DataError, match=r"a\.jpg and a\.png have the same id"):
        open_kaggle(tmp_path)


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "train").mkdir()
    table(tmp_path, f"{HEADER}\n{ROW}\n")
    with pytest.raises(DataError, match="no images"):
        open_kaggle(tmp_path)


def test_ten_thousand_images_open(tmp_path):
    (tmp_path / "train").mkdir()
    for number in range(10_000):
        (tmp_path / "train" / f"{number}.png").touch()
    table(tmp_path, f"{HEADER}\n{ROW.replace('12e4', '77')}\n")
    assert len(open_kaggle(tmp_path)) == 10_000


def test_a_sample_id_of_another_form_has_no_group():
    assert plate_and_well("something else") is None
    assert plate_and_well("") is None


@pytest.mark.real_data
def test_the_real_folder_opens_whole(real_data):
    dataset = open_kaggle(real_data / "sartorius")
    assert len(dataset) == 32
    assert sum(len(entry.read_masks()) for entry in dataset) == 2747


def test_written_tables_have_unix_line_ends(tmp_path):
    write_train_csv(tmp_path / "t.csv", [])
    assert (tmp_path / "t.csv").read_bytes() == (HEADER + "\n").encode()
    assert next(csv.reader([HEADER])) == list(COLUMNS)


@pytest.mark.parametrize("weight", ["heavy", "nan", "inf", "-1"])
def test_a_weight_is_a_number_of_0_or_more(tmp_path, weight):
    table(tmp_path, f"{HEADER}\n{ROW}\n")
    write_png(tmp_path / "train" / "12e4.png", np.zeros((3, 4), np.uint8))
    table(tmp_path, f"id,weight\n12e4,{weight}\n", "weights.csv")
    with pytest.raises(DataError, match=f"weights.csv line 2: expected a number of 0.*{weight}"):
        open_kaggle(tmp_path)
    table(tmp_path, "id,weight\n12e4,0.5\n", "weights.csv")
    assert open_kaggle(tmp_path).entries[0].weight == 0.5
