"""Where a run writes: ``runs/train-001`` or the named folder, and what lies in it.

::

    run.json               data, folds, settings and initial weights, written before the start
    metrics.csv            one line an epoch, as it comes
    loss.png score.png     its curves
    checkpoints/last.pt    to continue from
    checkpoints/best-0040  the weights of the best validation, as a Cellpose file
    checkpoints/lock       held by the process that trains
    stages/                trainings that came before, each a run (see `training.stages`)
    overlays/              held-out images, truth beside prediction
    config.json …          the model folder, when training is done (see `network.model_folder`)
    tuning/ flow-cache/    of a tuning afterwards
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellflow.atomic import PARTIAL, remove_partial, write_json
from cellflow.errors import ConfigError, DataError, ModelError
from cellflow.jsontext import Fields, read_object
from cellflow.network.cell_type_head import CELL_TYPES
from cellflow.network.model_folder import (
    BASELINE,
    CARD,
    CELLPOSE_FILE,
    CONFIDENCE,
    CONFIG,
    FLOW_CACHE,
    RECORD,
    TUNING,
)
from cellflow.network.thresholds import THRESHOLDS
from cellflow.network.weights_file import WEIGHTS
from cellflow.telling import Say, ignore
from cellflow.training.run_lock import locked

ADVICE = "restore the file, or start a new run"
"""What to do about a record that is broken."""

RUNS, STAGES = Path("runs"), "stages"
_FOLDERS = ("checkpoints", "overlays")
_MODEL_FILES = (CONFIG, BASELINE, THRESHOLDS, WEIGHTS, CELLPOSE_FILE, CARD, CELL_TYPES, CONFIDENCE)
_FILES = ("metrics.csv", "loss.png", "score.png", *_MODEL_FILES)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """The paths of one run."""

    path: Path

    @property
    def metrics(self) -> Path:
        """One line an epoch."""
        return self.path / "metrics.csv"

    @property
    def last(self) -> Path:
        """The checkpoint to continue from."""
        return self.path / "checkpoints" / "last.pt"

    def best(self, epoch: int) -> Path:
        """Give the file of the weights after `epoch` epochs, when they were the best."""
        return self.path / "checkpoints" / f"best-{epoch:04d}"

    def keep_best(self, epoch: int) -> None:
        """Remove the weights of validations that were the best before.

        Notes
        -----
        To be called when `last` says that `epoch` is the best: a run that is killed before
        continues from a checkpoint that needs the earlier ones.
        """
        for path in self.last.parent.glob("best-*"):
            if path != self.best(epoch):
                path.unlink(missing_ok=True)

    @property
    def overlays(self) -> Path:
        """Pictures of the held-out images."""
        return self.path / "overlays"

    @property
    def is_known(self) -> bool:
        """Whether the folder is that of a run, be it one that is still to come (see `empty`)."""
        return (self.path / RECORD).is_file()

    @property
    def is_begun(self) -> bool:
        """Whether there is a run: its record is written before anything else."""
        return self.is_known and (self.path / RECORD).read_bytes().strip() != b"{}"

    @property
    def is_finished(self) -> bool:
        """Whether the model folder is written."""
        return (self.path / CONFIG).is_file()

    @contextmanager
    def occupied(self, say: Say = ignore) -> Iterator[None]:
        """Keep other processes out, and remove what a killed one was just writing.

        Raises
        ------
        DataError
            Another process trains here.
        """
        with locked(self.last.parent, say):
            for folder in (self.path, *(self.path / name for name in _FOLDERS)):
                remove_partial(folder)
            yield

    def clear(self) -> None:
        """Remove the run: the files that a run writes, no others.

        Notes
        -----
        The record stays for the next one to replace it: if this process is killed in between, the
        folder still belongs to a run.

        Raises
        ------
        DataError
            A file cannot be removed.
        """
        try:
            for folder in (self.overlays, self.path / TUNING, self.path / FLOW_CACHE):
                shutil.rmtree(folder, ignore_errors=not folder.exists())
            for path in [self.last, *self.last.parent.glob("best-*")]:
                path.unlink(missing_ok=True)
            for name in _FILES:
                (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise DataError(f"cannot replace the run in {self.path}: {error.strerror}") from error

    def remove_stages(self) -> None:
        """Remove the trainings that came before a run that is replaced.

        Notes
        -----
        As with `clear` files of others stay, and the lock.

        Raises
        ------
        DataError
            A file cannot be removed, or another process trains there.
        """
        for record in sorted(self.path.glob(f"{STAGES}/*/{RECORD}")):
            stage = RunFolder(path=record.parent)
            with stage.occupied():
                stage.clear()
                record.unlink()

    def empty(self, say: Say) -> None:
        """Remove run and stages, for stages that are to come before the run that replaces it.

        Raises
        ------
        DataError
            A file cannot be removed, or another process trains there.
        """
        with self.occupied(say):
            # In this order: what a kill leaves has no finished stages, so nothing goes on with it.
            self.remove_stages()
            self.clear()
            self.write_record({})

    def require_other_weights(self, init: str | Path, *, but_stages: bool = False) -> None:
        """Refuse to begin with weights that an overwriting of this run removes.

        Raises
        ------
        ConfigError
            The path `init` lies in the folder; with `but_stages` outside the stages, which stay.
        """
        place, folder = Path(init).resolve(), self.path.resolve()
        stays = but_stages and place.is_relative_to(folder / STAGES)
        if place.is_relative_to(folder) and not stays:
            raise ConfigError(
                f"--init {init}: lies in --out {self.path}, which --overwrite clears; choose "
                "another --out"
            )

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Write ``run.json``."""
        write_json(self.path / RECORD, record)

    def read_record(self) -> dict[str, Any]:
        """Read ``run.json``.

        Raises
        ------
        ModelError
            It is missing or broken.
        """
        return read_object(self.path / RECORD, ModelError, ADVICE)

    def read_fields(self) -> Fields:
        """Read ``run.json`` to take its values out; raises as `read_record`."""
        path = self.path / RECORD
        return Fields(path=path, values=self.read_record(), refusal=ModelError, advice=ADVICE)


def new_run_folder(out: Path | None, train_dir: Path) -> RunFolder:
    """Make the folder of a run, or take the one that is there.

    Parameters
    ----------
    out : Path or None
        None = the next free ``runs/train-NNN`` of the working folder.
    train_dir : Path
        The data; nothing is ever written there.

    Raises
    ------
    ConfigError
        `out` lies inside the data, or holds something that is no run.
    DataError
        The folder cannot be made.
    """
    if out is None:
        return _next_numbered(train_dir)
    _require_outside(out, train_dir)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is a file; expected a folder")
    folder = RunFolder(path=out)
    if out.is_dir() and not folder.is_known:
        # A run that was killed before it had written its record.
        own = {"checkpoints", STAGES}
        others = [path.name for path in out.iterdir() if not path.name.startswith(PARTIAL)]
        if set(others) - own:
            raise ConfigError(f"--out {out}: holds other files; choose an empty folder")
    _make(out)
    return folder


def existing_run_folder(out: Path | None) -> RunFolder:
    """Give the folder of a run to continue; None = the newest ``runs/train-NNN``.

    Raises
    ------
    ModelError
        There is none.
    """
    if out is not None:
        folder = RunFolder(path=out)
        if not folder.is_begun:
            raise ModelError(f"{out}: no training run to continue there; start without --resume")
        return folder
    records = sorted(RUNS.glob(f"train-*/{RECORD}"), key=lambda path: path.stat().st_mtime)
    runs = [run for path in records if (run := RunFolder(path=path.parent)).is_begun]
    if not runs:
        raise ModelError(f"no training run in {RUNS}/ to continue; start without --resume")
    return runs[-1]


def _next_numbered(train_dir: Path) -> RunFolder:
    _require_outside(RUNS, train_dir)
    taken = [path.name.removeprefix("train-") for path in RUNS.glob("train-*")]
    number = max((int(text) for text in taken if text.isdecimal()), default=0)
    while True:
        number += 1
        path = RUNS / f"train-{number:03d}"
        try:
            _make(path, is_new=True)
        except FileExistsError:  # of a run that began meanwhile
            continue
        return RunFolder(path=path)


def _require_outside(out: Path, train_dir: Path) -> None:
    if out.resolve().is_relative_to(train_dir.resolve()):
        raise ConfigError(
            f"--out {out}: lies inside the data folder {train_dir}, which is never written to; "
            "choose a folder outside, or run from another one"
        )


def _make(path: Path, *, is_new: bool = False) -> None:
    try:
        path.mkdir(parents=True, exist_ok=not is_new)
    except OSError as error:
        if is_new and isinstance(error, FileExistsError):
            raise
        raise DataError(f"cannot make the folder {path}: {error.strerror}") from error
