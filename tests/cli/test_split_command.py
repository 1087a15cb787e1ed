import numpy as np
import tifffile


def test_a_series_becomes_frames_and_one_line_says_so(cellflow, tmp_path):
    series = np.zeros((3, 8, 9), np.uint8)
    tifffile.imwrite(tmp_path / "ä b.tif", series, imagej=True, metadata={"axes": "TYX"})
    done = cellflow("split", tmp_path / "ä b.tif", "--out", tmp_path / "frames")
    assert (done.code, done.errors) == (0, [])
    assert done.out == f"{tmp_path / 'frames'}: 3 planes, ä b_t0.tif to ä b_t2.tif\n"


def test_frames_that_are_there_are_kept(cellflow, tmp_path):
    series = np.zeros((3, 8, 9), np.uint8)
    tifffile.imwrite(tmp_path / "x.tif", series, imagej=True, metadata={"axes": "TYX"})
    (tmp_path / "x_t1.tif").write_text("drawn on")
    done = cellflow("split", tmp_path / "x.tif", "--out", tmp_path)
    assert (done.code, len(done.errors)) == (1, 1)
    assert "holds 1 file of these names already (x_t1.tif)" in done.errors[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.tif", "x_t1.tif"]
    assert cellflow("split", tmp_path / "x.tif", "--out", tmp_path, "--overwrite").code == 0


def test_a_folder_is_wrong_usage(cellflow, tmp_path):
    assert cellflow("split", tmp_path, "--out", tmp_path / "frames").code == 2
