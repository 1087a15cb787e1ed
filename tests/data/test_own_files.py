"""What people drew or corrected is no prediction's to replace."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellflow.data.cell_tables import CELL_COLUMNS, COUNT_COLUMNS
from cellflow.data.entrance import open_dataset
from cellflow.data.exports import Found, export
from cellflow.data.images import write_png
from cellflow.data.outputs import Outputs
from cellflow.data.own_files import is_own
from cellflow.errors import ConfigError, DataError
from cellflow.records import Prediction

LABELS = np.kron(np.array([[1, 0], [0, 2]], np.int32), np.ones((6, 6), np.int32))


def found(name="a"):
    scores = np.ones(2, np.float32)
    return Found(
        prediction=Prediction(name=name, labels=LABELS, scores=scores),
        image_path=Path(f"{name}.png"),
    )


@pytest.fixture(params=["tif", "seg", "roi"])
def written(request, tmp_path):
    """A file that a prediction wrote into a folder, and the folder's format."""
    export(tmp_path / "out", [found()], request.param)
    (path,) = (tmp_path / "out").iterdir()
    return path, request.param


def change(path):
    """Write a file anew as another program does, which knows nothing of our mark."""
    if path.suffix == ".tif":
        tifffile.imwrite(path, tifffile.imread(path))
    elif path.suffix == ".npy":
        entries = np.load(path, allow_pickle=True).item()
        keys = ("outlines", "masks", "chan_choose", "ismanual", "filename", "flows", "diameter")
        np.save(path, np.array({key: entries[key] for key in keys}, object), allow_pickle=True)
    else:
        with zipfile.ZipFile(path) as archive:
            regions = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in regions.items():
                archive.writestr(name, content)


def test_a_file_that_is_corrected_while_the_others_are_written_is_kept(written):
    path, folder_format = written

    def load():
        yield found("b")
        change(path)
        yield found("a")

    with pytest.raises(DataError, match=rf"{path.name}: changed while the prediction ran"):
        Outputs([path.parent], folder_format).write(load)
    assert not is_own(path)
    assert Outputs([path.parent], folder_format, overwrite=True).write(load) == 4


def test_a_file_is_ours_until_another_program_writes_it(written):
    path, _ = written
    assert is_own(path)
    change(path)
    assert not is_own(path)


@pytest.mark.parametrize("kind", ["tif", "seg"])
def test_predictions_that_nobody_changed_are_named_where_they_count_as_truth(tmp_path, kind):
    export(tmp_path, [found("a"), found("b")], kind)
    for name in "ab":
        write_png(tmp_path / f"{name}.png", LABELS.astype(np.uint8))
    change(tmp_path / ("a_masks.tif" if kind == "tif" else "a_seg.npy"))
    (remark,) = open_dataset(tmp_path).remarks
    assert remark == "truth of 1 image is a prediction of cellflow that was not changed since: b"


def test_masks_that_a_script_changed_in_place_are_not_ours(tmp_path):
    export(tmp_path, [found()], "seg")
    path = tmp_path / "a_seg.npy"
    entries = np.load(path, allow_pickle=True).item()
    entries["masks"][0, 0] = 2
    np.save(path, np.array(entries, object), allow_pickle=True)
    assert not is_own(path)


def test_a_corrected_file_is_kept_unless_overwriting_is_asked_for(written):
    path, kind = written
    images = [path.parent / "a.png", path.parent / "b.png"]
    said = []
    assert Outputs([path.parent], kind).leave_out_kept(images, said.append) == images
    change(path)
    Outputs([path.parent], kind).check(images)
    assert Outputs([path.parent], kind).leave_out_kept(images, said.append) == images[1:]
    assert said == [
        f"{path.parent}: holds 1 file not written by a prediction, or corrected since "
        f"({path.name}); kept, unless --overwrite is given"
    ]
    assert Outputs([path.parent], kind, overwrite=True).leave_out_kept(images, print) == images


def test_a_corrected_file_is_not_kept_behind_the_back_of_other_outputs(written, tmp_path):
    path, kind = written
    images = [path.parent / "a.png", path.parent / "b.png"]
    change(path)
    for others in ({"cells": tmp_path / "c.csv"}, {"counts": tmp_path / "c.csv"}):
        outputs = Outputs([path.parent], kind, **others)
        with pytest.raises(ConfigError, match=rf"--out .*\({path.name}\).* give this --out alone"):
            outputs.check(images)
        outputs.check(images[1:])
    with pytest.raises(ConfigError, match="whose cells the other outputs would not have"):
        Outputs([tmp_path / "s.csv", path.parent], kind).check(images)
    Outputs([tmp_path / "s.csv", path.parent], kind, overwrite=True).check(images)


@pytest.mark.parametrize(
    ("name", "text", "may_go"),
    [
        ("train.csv", "id,annotation,width,height,cell_type\n", False),
        ("notes.csv", "my notes\n", False),
        ("old.csv", "id,predicted\na,1 2\n", True),
        ("bom.csv", "\ufeffid,predicted\r\n", True),
        ("new.csv", "", True),
        ("blank.csv", "\n\nmine\n", False),
        ("cells.csv", ",".join(CELL_COLUMNS) + "\na,1\n", True),
        ("folds.json", '{"format": 1}', False),
        ("results.json", '\n[{"image_id": 1}]', True),
    ],
)
def test_of_tables_and_lists_only_predictions_are_replaced(tmp_path, name, text, may_go):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    if may_go:
        Outputs([path]).check([Path("a.png")])
        return
    with pytest.raises(ConfigError, match="was not written by a prediction"):
        Outputs([path]).check([Path("a.png")])
    Outputs([path], overwrite=True).check([Path("a.png")])
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("table", ["cells", "counts"])
def test_tables_take_the_place_of_such_tables_alone(tmp_path, table):
    path = tmp_path / "t.csv"
    path.write_text("id,annotation\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"t\.csv: was not written by a prediction; choose"):
        Outputs([tmp_path / "s.csv"], **{table: path}).check([Path("a.png")])
    path.write_text(",".join(COUNT_COLUMNS) + "\n", encoding="utf-8")
    Outputs([tmp_path / "s.csv"], **{table: path}).check([Path("a.png")])


def test_what_only_looks_like_ours_by_its_name_is_not(tmp_path):
    for name in ("a_seg.npy", "a_masks.tif", "a_rois.zip"):
        (tmp_path / name).write_bytes(b"something else")
        assert not is_own(tmp_path / name)
        (tmp_path / name).write_bytes(b"")
        assert is_own(tmp_path / name)
    np.save(tmp_path / "b_seg.npy", np.array(["masks"], object), allow_pickle=True)
    assert not is_own(tmp_path / "b_seg.npy")
