"""What ids stand for, from three kinds of files."""

import json

import pytest

from cellflow.data.image_names import NameFinder, read_image_names
from cellflow.errors import DataError


def write(tmp_path, text, name="names.json"):
    path = tmp_path / name
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


def test_a_coco_file_names_images_and_categories(tmp_path):
    content = {
        "info": "what ever",
        "images": [{"id": 1, "file_name": "train/a.b.png"}, {"id": "x", "file_name": "c.tif"}],
        "annotations": [],
        "categories": [{"id": 3, "name": "astro"}],
    }
    found = read_image_names(write(tmp_path, content))
    assert found.names == {"1": "a.b", "x": "c"}
    assert found.categories == {"3": "astro"}


def test_an_object_or_a_table_of_file_names_is_enough(tmp_path):
    assert read_image_names(write(tmp_path, {"7": "a.png"})).names == {"7": "a"}
    table = write(tmp_path, "id,file_name\n7,dir/a.png\n8,b\n", "names.csv")
    assert read_image_names(table).names == {"7": "a", "8": "b"}
    assert read_image_names(table).categories == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "expected a COCO file with images, found a list"),
        ({"images": []}, "names no image"),
        ({"images": [{"id": 1}]}, "expected file_name as a string or whole number, found None"),
        ({"images": [{"id": 1.5, "file_name": "a"}]}, r"expected id .* found 1\.5"),
        (
            {"images": [{"id": 1, "file_name": "a"}, {"id": "1", "file_name": "b"}]},
            "image id 1 appears twice",
        ),
    ],
)
def test_files_that_do_not_tell_are_refused(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read_image_names(write(tmp_path, content))


def test_names_of_more_digits_than_a_number_has_stay_text(tmp_path):
    digits = 5000 * "1"
    names = read_image_names(write(tmp_path, f"id,file_name\n{digits},a.png\n", "names.csv"))
    assert names.ids() == {"a": digits}
    assert NameFinder([digits, "007"], None).find(7, "here") == "007"


def test_ids_of_64_bits_are_numbers_and_larger_ones_texts(tmp_path):
    largest = 2**63 - 1
    table = f"id,file_name\n{largest},a.png\n{largest + 1},b.png\n"
    names = read_image_names(write(tmp_path, table, "names.csv"))
    assert names.ids() == {"a": largest, "b": str(largest + 1)}
