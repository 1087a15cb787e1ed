"""metrics.csv: appended, read back exactly, mended after a crash."""

import pytest

from cellflow.errors import DataError
from cellflow.training.history import COLUMNS, EpochRow, History


def row(epoch, **more):
    return EpochRow(
        epoch=epoch, step=4 * epoch, seconds=1.5, learning_rate=0.1 / 3,
        loss=0.7, flow_loss=0.3, cellprob_loss=0.4, **more,
    )  # fmt: skip


def scored(epoch):
    return row(epoch, validation_map=0.25, validation_low=0.1, validation_high=0.4)


def test_what_is_added_is_read_back_exactly(tmp_path):
    history = History(tmp_path / "metrics.csv")
    history.add(row(1))
    history.add(scored(2))
    again = History(tmp_path / "metrics.csv", epochs_done=2)
    assert again.rows == [row(1), scored(2)]
    text = (tmp_path / "metrics.csv").read_text(encoding="utf-8")
    assert text.splitlines()[0] == ",".join(COLUMNS)
    assert text.splitlines()[1].endswith("0.4,,,,,")


def test_rows_after_the_checkpoint_are_dropped(tmp_path):
    history = History(tmp_path / "metrics.csv")
    for epoch in (1, 2, 3):
        history.add(row(epoch))
    assert [r.epoch for r in History(tmp_path / "metrics.csv", epochs_done=2).rows] == [1, 2]


@pytest.mark.parametrize("cut", ["2,8,1.", "2,8,1.5,0.03,0.7,0.3", "2,8,1.5,0.03,0.7,0.3,0.4,,,,,"])
def test_a_line_that_a_crash_cut_short_is_dropped(tmp_path, cut):
    path = tmp_path / "metrics.csv"
    History(path).add(row(1))
    with path.open("a", encoding="utf-8") as file:
        file.write(cut)
    assert History(path, epochs_done=5).rows == [row(1)]
    assert path.read_text(encoding="utf-8").count("\n") == 2


def test_a_new_run_starts_an_empty_file(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("something else\n", encoding="utf-8")
    assert History(path).rows == []


def test_the_validation_comes_back_as_an_interval():
    assert row(1).validation is None
    assert str(scored(1).validation) == "0.250 [0.100, 0.400]"


def test_curves_are_drawn_with_and_without_validation(tmp_path):
    history = History(tmp_path / "metrics.csv")
    history.add(row(1))
    history.draw(tmp_path)
    assert (tmp_path / "loss.png").is_file()
    assert not (tmp_path / "score.png").exists()
    history.add(scored(2))
    history.draw(tmp_path)
    assert (tmp_path / "score.png").is_file()


def test_a_file_that_cannot_be_written_is_one_clear_line(tmp_path):
    history = History(tmp_path / "metrics.csv")
    (tmp_path / "metrics.csv").unlink()
    (tmp_path / "metrics.csv").mkdir()
    with pytest.raises(DataError, match=r"cannot write .*metrics\.csv"):
        history.add(row(1))
