"""The numbers of a run, one line an epoch, written as they come: ``metrics.csv``, its curves."""

import csv
import io
import math
import os
from dataclasses import dataclass, fields
from pathlib import Path

from cellflow.atomic import write_text
from cellflow.errors import DataError
from cellflow.interval import Interval
from cellflow.pictures.curves import draw_curves


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRow:
    """What is written of one epoch.

    Parameters
    ----------
    epoch : int
        Epochs done, from 1.
    step : int
        Optimiser steps done.
    seconds : float
        Since the start, over all sittings.
    learning_rate : float
    loss, flow_loss, cellprob_loss : float
        Means over the epoch's steps. `loss` is the sum of the others; models without flows have
        only `loss`.
    validation_map, validation_low, validation_high : float or None
        mAP of the held-out images with its 95 % interval, where validated.
    images_per_second, waiting_share : float or None
        Of the epoch's steps; see `Throughput`.
    """

    epoch: int
    step: int
    seconds: float
    learning_rate: float
    loss: float
    flow_loss: float | None = None
    cellprob_loss: float | None = None
    validation_map: float | None = None
    validation_low: float | None = None
    validation_high: float | None = None
    images_per_second: float | None = None
    waiting_share: float | None = None

    @property
    def validation(self) -> Interval | None:
        """The validation score, where there is one."""
        if self.validation_map is None:
            return None
        low, high = self.validation_low, self.validation_high
        nan = float("nan")
        return Interval(
            estimate=self.validation_map,
            low=nan if low is None else low,
            high=nan if high is None else high,
        )


COLUMNS = tuple(field.name for field in fields(EpochRow))


class History:
    """The rows of a run, in memory and in a file.

    Parameters
    ----------
    path : Path
        ``metrics.csv``.
    epochs_done : int
        Rows of later epochs, which a killed run wrote after its last checkpoint, are dropped.
    writes : bool
        Whether this process writes the file and the curves; among several only one does.
    """

    def __init__(self, path: Path, epochs_done: int = 0, *, writes: bool = True) -> None:
        self.path, self._writes = path, writes
        self.rows = [row for row in read_rows(path) if row.epoch <= epochs_done]
        if writes:
            write_text(path, "".join(_line(row) for row in (None, *self.rows)))

    @property
    def last_validated(self) -> int:
        """Epochs done at the last validation; 0 before the first."""
        return max((row.epoch for row in self.rows if row.validation is not None), default=0)

    def add(self, row: EpochRow) -> None:
        """Append a row, and flush it to the disk.

        Raises
        ------
        DataError
            The file cannot be written.
        """
        self.rows.append(row)
        if not self._writes:
            return
        try:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(_line(row))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DataError(f"cannot write {self.path}: {error.strerror}") from error

    def draw(self, folder: Path) -> None:
        """Write ``loss.png`` and, when there was a validation, ``score.png``."""
        if not self._writes:
            return
        epochs = [float(row.epoch) for row in self.rows]
        parts: dict[str, list[float | None]] = {
            "loss": [row.loss for row in self.rows],
            "flows": [row.flow_loss for row in self.rows],
            "cell probability": [row.cellprob_loss for row in self.rows],
        }
        # A model without flows has one loss alone; nan breaks a line.
        losses = {
            name: (epochs, [math.nan if value is None else value for value in values])
            for name, values in parts.items()
            if any(value is not None for value in values)
        }
        draw_curves(folder / "loss.png", "Training loss", losses, "epoch", "loss")
        validated = [(row.epoch, row.validation) for row in self.rows]
        scores = [(float(epoch), score) for epoch, score in validated if score is not None]
        if scores:
            name = "held-out images"
            draw_curves(
                folder / "score.png",
                "mAP of the held-out images, 95 % interval",
                {name: ([epoch for epoch, _ in scores], [s.estimate for _, s in scores])},
                "epoch",
                "mAP",
                bands={name: ([s.low for _, s in scores], [s.high for _, s in scores])},
            )


def _line(row: EpochRow | None) -> str:
    text = io.StringIO()
    values = COLUMNS if row is None else [_text(getattr(row, name)) for name in COLUMNS]
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()


def _text(value: float | None) -> str:
    # repr of a float reads back as the same float.
    return "" if value is None else repr(value)


def read_rows(path: Path) -> list[EpochRow]:
    """Read what is whole of a ``metrics.csv``; a line that a crash cut short ends the reading."""
    if not path.is_file():
        return []
    rows, text = [], path.read_text(encoding="utf-8", errors="replace")
    # Only the last line can be cut short; it may look whole, but has no end.
    for line in csv.DictReader(text[: text.rfind("\n") + 1].splitlines()):
        try:
            numbers = {name: float(line[name]) for name in COLUMNS if line[name]}
            whole = {name: int(numbers.pop(name)) for name in ("epoch", "step")}
            rows.append(EpochRow(**whole, **numbers))  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError, OverflowError):
            break
    return rows


def read_validations(
    path: Path, steps: int, seconds: float
) -> tuple[tuple[int, float, float], ...]:
    """Read the `Trained.curve` of a last stage, to which steps and seconds before it are added."""
    return tuple(
        (steps + row.step, seconds + row.seconds, row.validation_map)
        for row in read_rows(path)
        if row.validation_map is not None
    )
