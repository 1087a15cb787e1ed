"""COCO and LIVECell: polygons, run lengths in both writings, and back."""

import json

import numpy as np
import pytest

from cellflow.data.coco import open_coco
from cellflow.data.coco_export import write_coco
from cellflow.data.coco_rle import decode_counts, encode_counts
from cellflow.data.entrance import open_dataset
from cellflow.data.images import write_png
from cellflow.data.rle import dense_to_masks, masks_to_dense
from cellflow.errors import DataError, LabelError, RleError
from cellflow.records import Sample

SQUARE = [1, 1, 4, 1, 4, 3, 1, 3]


def coco(tmp_path, *segmentations, images=("a.png",), name="c.json", **more):
    """A folder with pictures of 5 x 6 pixels and a COCO file; annotations are of the first."""
    for picture in images:
        write_png(tmp_path / "images" / picture, np.zeros((5, 6), np.uint8))
    content = {
        "images": [
            {"id": n, "file_name": picture, "height": 5, "width": 6}
            for n, picture in enumerate(images)
        ],
        "annotations": [
            {"id": n, "image_id": 0, "category_id": 1, "segmentation": one, "iscrowd": 0, **more}
            for n, one in enumerate(segmentations)
        ],
        "categories": [{"id": 1, "name": "cell"}],
    }
    path = tmp_path / name
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def masks_of(dataset):
    return masks_to_dense(dataset.entries[0].load().masks)


def test_polygons_with_several_parts_are_one_cell(tmp_path):
    (cell,) = masks_of(
        open_coco(coco(tmp_path, [[0, 0, 2, 0, 2, 2, 0, 2], [4, 3, 6, 3, 6, 5, 4, 5]]))
    )
    assert np.argwhere(cell).tolist() == [
        [0, 0], [0, 1], [1, 0], [1, 1], [3, 4], [3, 5], [4, 4], [4, 5],
    ]  # fmt: skip


def test_run_lengths_are_column_major_in_both_writings(tmp_path):
    mask = np.zeros((5, 6), bool)
    mask[1:4, 2] = mask[2, 3:5] = True
    # Down the columns: 11 off, 3 on, 3 off, 1 on, 4 off, 1 on, 7 off.
    counts = [11, 3, 3, 1, 4, 1, 7]
    plain = {"size": [5, 6], "counts": counts}
    packed = {"size": [5, 6], "counts": encode_counts(np.array(counts))}
    for cell in masks_of(open_coco(coco(tmp_path, plain, packed))):
        assert (cell == mask).all()


def test_counts_survive_packing(rng):
    counts = rng.integers(0, 100_000, 300)
    assert (decode_counts(encode_counts(counts)) == counts).all()


@pytest.mark.parametrize(
    ("segmentation", "error", "message"),
    [
        ({"size": [6, 5], "counts": [30]}, LabelError, r"annotation 0: has size \[6, 5\]"),
        ({"size": [5, 6], "counts": [31]}, RleError, "annotation 0"),
        ({"size": [5, 6], "counts": [5, -1, 26]}, RleError, "annotation 0"),
        ({"size": [5, 6], "counts": "\x10"}, RleError, "annotation 0"),
        # Their sum in 64 bits is 30: where runs begin and end would be anywhere in memory.
        ({"size": [5, 6], "counts": [*3 * [2**62], 2**62 + 30]}, RleError, "annotation 0: a count"),
        ({"size": None, "counts": [30]}, LabelError, "annotation 0: has size None"),
        ({"size": [5, 6], "counts": [1, [2]]}, RleError, "annotation 0: counts must be"),
        ([[1, 1, 4]], LabelError, "expected polygons as lists of x, y pairs"),
        ([[1, 1, 10**400, 1, 4, 4]], LabelError, "expected polygons as lists of x, y pairs"),
    ],
)
def test_a_broken_segmentation_is_named(tmp_path, segmentation, error, message):
    with pytest.raises(error, match=message):
        open_coco(coco(tmp_path, segmentation))


def test_broken_segmentations_are_collected_where_all_are_wanted(tmp_path):
    faults = []
    path = coco(tmp_path, [SQUARE], {"size": [5, 7], "counts": [35]}, [[1.0, 2.0, 3.0]])
    dataset = open_coco(path, faults)
    assert len(masks_of(dataset)) == 1
    assert [fault.split("c.json: ")[1][:14] for fault in faults] == [
        "annotation 1: ",
        "annotation 2: ",
    ]


def test_crowds_and_empty_annotations_are_left_out_and_told(tmp_path):
    runs = {"size": [5, 6], "counts": [11, 3, 16]}
    path = coco(tmp_path, [SQUARE], runs, runs, iscrowd=1)
    with pytest.raises(DataError, match=r"no cell is there: c\.json: left out: 3 crowd annot"):
        open_coco(path)
    path.write_text(path.read_text().replace('"iscrowd": 1', '"iscrowd": 0', 1))
    dataset = open_coco(path)
    assert len(masks_of(dataset)) == 1
    assert dataset.remarks == ("c.json: left out: 2 crowd annotations",)
    dataset = open_coco(coco(tmp_path, [SQUARE], []))
    assert len(masks_of(dataset)) == 1
    assert dataset.remarks == ("c.json: left out: 1 annotation without a pixel",)


def test_missing_pictures_are_told_and_none_at_all_is_an_error(tmp_path):
    path = coco(tmp_path, [SQUARE], images=("a.png", "b.png"))
    (tmp_path / "images/b.png").unlink()
    assert open_coco(path).remarks == ("1 image of the COCO files not found: b",)
    (tmp_path / "images/a.png").unlink()
    with pytest.raises(DataError, match="none of 2 images of the COCO files was found"):
        open_coco(path)


def test_a_picture_whose_name_no_file_can_have_is_not_there(tmp_path):
    path = coco(tmp_path, [SQUARE], images=("a.png", "b.png"))
    path.write_text(path.read_text().replace("b.png", 300 * "b" + ".png"))
    assert open_coco(path).remarks == (f"1 image of the COCO files not found: {300 * 'b'}",)


def test_an_image_in_two_files_is_refused(tmp_path):
    coco(tmp_path, [SQUARE])
    coco(tmp_path, [SQUARE], name="d.json")
    with pytest.raises(DataError, match="image a is in two COCO files"):
        open_coco(tmp_path)


def test_files_that_are_taken_together_are_named_since_one_may_be_for_testing(tmp_path):
    coco(tmp_path, [SQUARE], name="train.json")
    coco(tmp_path, [SQUARE], images=("b.png", "c.png"), name="test.json")
    assert open_coco(tmp_path).remarks == (
        "2 COCO files are read together: test.json (2 images), train.json (1 image); "
        "name one to open it alone",
    )
    assert open_coco(tmp_path / "test.json").remarks == ()


def test_two_images_of_one_id_are_refused(tmp_path):
    path = coco(tmp_path, [SQUARE], images=("a.png", "b.png"))
    path.write_text(path.read_text().replace('"id": 1, "file_name"', '"id": 0, "file_name"'))
    with pytest.raises(DataError, match=r"c\.json: image id 0 appears twice"):
        open_coco(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [', "not valid JSON"),
        ('{"images": ' + 100_000 * "[", "not valid JSON"),
        ('{"images": [{"id": 1}], "annotations": []}', "not a COCO file: 'file_name' is missing"),
        ('{"images": [{"file_name": 3, "id": 1}], "annotations": []}', "not a COCO file"),
        ('{"images": [{"file_name": "a", "id": 1, "height": "x"}], "annotations": []}', "'x'"),
        ('{"images": 3, "annotations": []}', "not a COCO file"),
        (
            '{"images": [], "annotations": [{"image_id": 3, "id": 7}]}',
            "annotation 7 belongs to the unk",
        ),
        ('{"images": [], "annotations": [], "categories": ["cell"]}', "its categories"),
        ('{"images": [], "annotations": [], "categories": [{"id": [1]}]}', "its categories"),
    ],
)
def test_a_broken_file_is_named(tmp_path, text, message):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(DataError, match=message) as error:
        open_coco(tmp_path / "c.json")
    assert "c.json" in str(error.value)


@pytest.mark.parametrize("height", ["-5", "0", "Infinity", "1000000000000"])
def test_a_size_that_no_image_has_is_refused(tmp_path, height):
    path = coco(tmp_path, [SQUARE])
    path.write_text(path.read_text().replace('"height": 5', f'"height": {height}'))
    with pytest.raises(DataError, match=r"c\.json: image 0: expected a height and width in pixels"):
        open_coco(path)


def test_capitals_in_the_suffix_do_not_matter(tmp_path):
    path = coco(tmp_path, [SQUARE], name="C.JSON")
    assert len(open_dataset(path)) == len(open_dataset(tmp_path)) == 1
    assert len(open_dataset(tmp_path).annotated) == 1


def test_other_json_files_are_not_coco(tmp_path):
    (tmp_path / "settings.json").write_text('{"a": 1}')
    (tmp_path / "commented.json").write_text('// not JSON\n{"a": 1}')
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    assert open_coco(tmp_path) is None


def test_pictures_of_the_same_name_are_told_apart_by_their_folder(tmp_path):
    path = coco(tmp_path, [SQUARE])
    write_png(tmp_path / "other" / "a.png", np.zeros((5, 6), np.uint8))
    with pytest.raises(DataError, match=r"image a\.png could be .*images/a\.png or .*other/a\.png"):
        open_coco(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    content["images"][0]["file_name"] = "other/a.png"
    path.write_text(json.dumps(content), encoding="utf-8-sig")
    assert open_coco(path).entries[0].image_path == tmp_path / "other" / "a.png"


def test_missing_categories_are_no_cell_type(tmp_path):
    path = coco(tmp_path, [SQUARE])
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "categories": None}), encoding="utf-8")
    assert open_coco(path).entries[0].cell_type is None


def test_livecells_file_names_tell_type_and_well(tmp_path):
    names = ("BV2_Phase_A4_1_00d00h00m_1.tif", "BV2_Phase_A4_2_03d12h00m_4.tif",
             "SkBr3_Phase_E3_1_00d00h00m_1.tif", "other_A4.png")  # fmt: skip
    entries = open_coco(coco(tmp_path, [SQUARE], images=names)).entries
    assert [entry.cell_type for entry in entries] == ["bv2", "bv2", "skbr3", None]
    assert [entry.group for entry in entries] == ["BV2_A4", "BV2_A4", "SkBr3_E3", None]


def test_what_is_written_opens_again_with_overlaps_and_types(tmp_path, rng):
    stack = rng.random((3, 5, 6)) < 0.4
    sample = Sample(
        name="é 1", image=np.zeros((5, 6)), masks=dense_to_masks(stack), cell_type="astro"
    )
    write_png(tmp_path / "é 1.png", np.zeros((5, 6), np.uint8))
    write_coco(tmp_path / "c.json", [("é 1.png", sample)])
    dataset = open_coco(tmp_path)
    assert (masks_of(dataset) == stack).all()
    assert dataset.entries[0].cell_type == "astro"
    content = json.loads((tmp_path / "c.json").read_text())
    assert [category["name"] for category in content["categories"]] == ["shsy5y", "astro", "cort"]
    for annotation, mask in zip(content["annotations"], stack, strict=True):
        y, x = np.nonzero(mask)
        box = [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]
        assert annotation["bbox"] == [int(number) for number in box]
        assert annotation["area"] == mask.sum()


def sample(name, kind=None):
    masks = dense_to_masks(np.ones((1, 2, 3), bool))
    return f"in/{name}.png", Sample(name=name, image=np.zeros((2, 3)), masks=masks, cell_type=kind)


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        ("cab", [3, 1, 2]),
        # COCO's own images are called by their ids, and some tools take the id from the name.
        (["000000000139", "7"], [139, 7]),
        (["7", "007"], [2, 1]),
        (["7", "a"], [1, 2]),
        (["7", "9" * 30], [1, 2]),
    ],
)
def test_ids_are_whole_numbers_and_never_those_of_other_names(tmp_path, names, ids):
    write_coco(tmp_path / "c.json", map(sample, names))
    content = json.loads((tmp_path / "c.json").read_text())
    assert [image["id"] for image in content["images"]] == ids
    assert [annotation["image_id"] for annotation in content["annotations"]] == ids
    assert [image["file_name"] for image in content["images"]] == [f"in/{n}.png" for n in names]


def test_an_image_cannot_be_written_twice(tmp_path):
    with pytest.raises(DataError, match="image a appears twice"):
        write_coco(tmp_path / "c.json", map(sample, "aa"))


@pytest.mark.real_data
def test_livecell_opens_with_its_cell_types(real_data):
    dataset = open_coco(real_data / "livecell")
    assert sum(len(entry.read_masks()) for entry in dataset) == 3489
    assert all(entry.cell_type for entry in dataset)
