"""Layouts of folders: each opens by what it holds, and says what does not fit."""

import numpy as np
import pytest
import tifffile

from cellflow.data.check import check_dataset
from cellflow.data.entrance import NEEDS, describe, open_dataset
from cellflow.data.images import write_png
from cellflow.data.rle import masks_to_dense
from cellflow.errors import ConfigError, DataError, LabelError

PICTURE = np.arange(30, dtype=np.uint8).reshape(5, 6)
LABELS = np.zeros((5, 6), np.uint16)
LABELS[1:3, 1:3], LABELS[3:, 4:] = 7, 900
BOTH = (LABELS[None] == np.array([7, 900])[:, None, None]).tolist()


def tiff(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array)
    return path


def seg(path, labels, **more):
    np.save(path, {"masks": labels, **more}, allow_pickle=True)
    return path


@pytest.mark.parametrize(
    ("layout", "files"),
    [
        ("cellpose", {"a.tif": PICTURE, "a_masks.tif": LABELS}),
        ("cellpose", {"a_img.png": PICTURE, "a_masks.png": LABELS}),
        ("cellpose", {"a.png": PICTURE, "a_cp_masks.png": LABELS}),
        ("cellpose", {"a.tif": PICTURE, "masks/a_masks.tif": LABELS}),
        ("folders", {"images/a.png": PICTURE, "masks/a.png": LABELS}),
        ("folders", {"raw/a.tif": PICTURE, "labels/a_label.tif": LABELS}),
        ("usiigaci", {"train/a/raw.tif": PICTURE, "train/a/instances_ids.png": LABELS}),
        (
            "dsb2018",
            {
                "stage1_train/a/images/a.png": PICTURE,
                "stage1_train/a/masks/1.png": (LABELS == 7).astype(np.uint8) * 255,
                "stage1_train/a/masks/2.png": (LABELS == 900).astype(np.uint8) * 255,
            },
        ),
    ],
)
def test_a_layout_is_recognised_and_its_cells_are_read(tmp_path, layout, files):
    for name, array in files.items():
        if name.endswith(".png"):
            write_png(tmp_path / name, array)
        else:
            tiff(tmp_path / name, array)
    is_img = "a_img.png" in files
    for found in (open_dataset(tmp_path), open_dataset(tmp_path, layout)):
        assert found.layout == layout
        (entry,) = found.entries
        # Named as `predict` and Cellpose name the picture.
        assert entry.name == {"usiigaci": "train_a"}.get(layout, "a_img" if is_img else "a")
        sample = entry.load()
        assert (sample.image == PICTURE).all()
        assert masks_to_dense(sample.masks).tolist() == BOTH
    others = set(NEEDS) - {layout, "images"}
    for other in others:
        with pytest.raises(DataError, match=f"does not have the layout {other}, which needs"):
            open_dataset(tmp_path, other)


@pytest.mark.parametrize(
    "files",
    [
        ("a.tif", "a_masks.tif", "a_seg.npy"),
        ("a.tif", "a_masks.tif", "a_cp_masks.tif"),
        ("a.tif", "a_masks.tif", "masks/a_masks.tif"),
        ("images/a.tif", "masks/a.tif", "masks/a_cp_masks.tif"),
    ],
)
def test_two_label_files_of_one_picture_must_hold_the_same_cells(tmp_path, files):
    picture, truth, other = (tmp_path / name for name in files)
    tiff(picture, PICTURE)
    tiff(truth, LABELS)
    write = seg if other.suffix == ".npy" else tiff
    # The numbers of the cells do not matter.
    other.parent.mkdir(exist_ok=True)
    write(other, (LABELS > 0) + (LABELS == 7).astype(np.uint16))
    (entry,) = open_dataset(tmp_path).entries
    assert len(entry.load().masks) == 2
    for wrong in (LABELS * (LABELS == 7), (LABELS > 0).astype(np.uint16), LABELS[:, ::-1]):
        write(other, np.ascontiguousarray(wrong))
        dataset = open_dataset(tmp_path)
        with pytest.raises(LabelError, match=r"are both labels of image a and differ; keep the"):
            dataset.entries[0].load()
        assert any("are both labels" in line for line in check_dataset(dataset).problems)


def test_subfolders_keep_equal_names_apart(tmp_path):
    for plate in ("p1", "p2"):
        tiff(tmp_path / plate / "a.tif", PICTURE)
        tiff(tmp_path / plate / "a_masks.tif", LABELS)
    assert [entry.name for entry in open_dataset(tmp_path)] == ["p1_a", "p2_a"]


def test_pictures_without_truth_and_truth_without_picture_are_told(tmp_path):
    tiff(tmp_path / "a.tif", PICTURE)
    tiff(tmp_path / "a_masks.tif", LABELS)
    tiff(tmp_path / "b.tif", PICTURE)
    tiff(tmp_path / "c_masks.tif", LABELS)
    dataset = open_dataset(tmp_path)
    assert describe(dataset).endswith("cellpose layout, 2 images, 1 annotated")
    assert dataset.remarks == ("c_masks.tif has no picture",)


def test_label_images_without_a_picture_are_told_in_folders_too(tmp_path):
    write_png(tmp_path / "images/a.png", PICTURE)
    for name in ("a", "b_mask_1", "c", "d", "e"):
        write_png(tmp_path / f"masks/{name}.png", LABELS)
    assert open_dataset(tmp_path).remarks == (
        "4 label files have no picture: b_mask_1.png, c.png, d.png, e.png",
    )


def test_images_alone_open_without_truth(tmp_path):
    write_png(tmp_path / "ä b.png", PICTURE)
    dataset = open_dataset(tmp_path)
    assert (dataset.layout, len(dataset.annotated)) == ("images", 0)
    assert dataset.entries[0].load().masks is None


def test_truth_of_another_size_is_refused_with_the_images_name(tmp_path):
    tiff(tmp_path / "a.tif", PICTURE)
    tiff(tmp_path / "a_masks.tif", LABELS[:4])
    with pytest.raises(DataError, match=r"image a: masks are for 4x6, the image is 5x6"):
        open_dataset(tmp_path).entries[0].load()


def test_mask_pictures_that_do_not_fit_are_named(tmp_path):
    write_png(tmp_path / "a/images/a.png", PICTURE)
    (tmp_path / "a/masks").mkdir()
    (entry,) = open_dataset(tmp_path).entries
    with pytest.raises(LabelError, match="masks: no mask pictures"):
        entry.load()
    write_png(tmp_path / "a/masks/1.png", np.zeros((5, 6), np.uint8))
    with pytest.raises(LabelError, match=r"1\.png: the mask is empty"):
        entry.load()
    write_png(tmp_path / "a/masks/1.png", np.ones((5, 6), np.uint8))
    write_png(tmp_path / "a/masks/2.png", np.ones((4, 6), np.uint8))
    with pytest.raises(LabelError, match=r"2\.png: the mask has shape \(4, 6\)"):
        entry.load()
    coloured = np.zeros((5, 6, 3), np.uint8)
    coloured[1, 2, 1] = coloured[3, 3, 0] = 255
    write_png(tmp_path / "a/masks/2.png", coloured)
    with pytest.raises(LabelError, match=r"2\.png: expected a black-and-white mask"):
        entry.load()
    write_png(tmp_path / "a/masks/2.png", np.ones((5, 6, 3), np.uint8))
    assert len(entry.load().masks) == 2


def test_nothing_to_open_is_one_clear_error(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        open_dataset(tmp_path / "none")
    with pytest.raises(DataError, match="the folder is empty"):
        open_dataset(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataError, match=r"no images with truth found\. Layouts: kaggle: train.csv"):
        open_dataset(tmp_path)
    with pytest.raises(ConfigError, match="unknown layout 'coko'; known: kaggle, coco"):
        open_dataset(tmp_path, "coko")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match=r"expected a folder, or a COCO \.json file"):
        open_dataset(tmp_path / "a.txt")


@pytest.mark.parametrize("masks", [LABELS.astype(np.uint16), LABELS.astype(np.int32) - 1])
def test_seg_files_of_old_and_new_versions_are_read(tmp_path, masks):
    write_png(tmp_path / "a.png", PICTURE)
    seg(tmp_path / "a_seg.npy", masks, outlines=masks, flows=[masks], filename="a.png")
    assert masks_to_dense(open_dataset(tmp_path).entries[0].load().masks).tolist() == BOTH


class Evil:
    def __reduce__(self):
        return (print, ("ran",))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY junk",
        "evil",
        {"outlines": 1},
        {"masks": 3},
        np.array(3, object),
        {"masks": np.array([[0, 2**32 + 5], [0, 0]])},
    ],
)
def test_a_seg_file_is_never_run_and_a_broken_one_is_named(tmp_path, content, capsys):
    write_png(tmp_path / "a.png", PICTURE)
    path = tmp_path / "a_seg.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "evil":
        seg(path, LABELS, other=Evil())
    else:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(LabelError, match=r"a_seg\.npy: "):
        open_dataset(tmp_path).entries[0].load()
    assert "ran" not in capsys.readouterr().out


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("folder", "layout", "n_images", "n_cells"),
    [
        ("dsb2018", "dsb2018", None, 1448),
        ("livecell", "coco", None, 3489),
        ("neurips_cellseg", "folders", None, 237),
        ("cellpose_cyto_samples", "cellpose", None, 2670),
        ("sartorius", "kaggle", 32, 2747),
        ("usiigaci_phase", "usiigaci", 6, 66 + 39 + 114 + 81 + 61 + 49),
    ],
)
def test_real_folders_open_with_the_cells_that_their_readme_counts(
    real_data, folder, layout, n_images, n_cells
):
    dataset = open_dataset(real_data / folder)
    assert dataset.layout == layout
    assert n_images is None or len(dataset) == n_images
    assert sum(len(entry.read_masks()) for entry in dataset.annotated) == n_cells
