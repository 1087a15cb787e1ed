import numpy as np
import pytest
from cellflow_cli.show import command
from click.testing import CliRunner

from cellflow.data.images import write_png
from cellflow.data.label_images import write_label_tiff
from cellflow.errors import DataError


@pytest.fixture
def images(tmp_path):
    for name in ("a", "b"):
        write_png(tmp_path / "in" / f"{name}.png", np.eye(12, dtype=np.uint8))
    return tmp_path / "in"


def _run(*arguments):
    return CliRunner().invoke(command, [str(part) for part in arguments], catch_exceptions=False)


def test_pictures_are_drawn_and_counted_on_stdout(images, tmp_path):
    done = _run(images, "--out", tmp_path / "out", "--zoom", 3)
    assert done.stdout == f"{tmp_path / 'out'}: 2 pictures, 1 sheet\n"


def test_what_is_left_out_is_said_on_stderr(images, tmp_path):
    write_label_tiff(tmp_path / "labels" / "a.tif", np.eye(12, dtype=np.int32))
    done = _run(images, "--out", tmp_path / "out", "--masks", tmp_path / "labels", "--matches")
    assert "no masks for b; drawn without them" in done.stderr


def test_a_broken_image_ends_in_an_error_after_the_others_are_drawn(images, tmp_path):
    (images / "b.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="1 image could not be drawn"):
        _run(images, "--out", tmp_path / "out")
    assert (tmp_path / "out" / "a.png").exists()


def test_images_that_are_not_there_are_wrong_usage(tmp_path):
    assert _run(tmp_path / "nowhere", "--out", tmp_path / "out").exit_code == 2
