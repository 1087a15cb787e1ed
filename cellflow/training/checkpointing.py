"""When a run is saved: at least once a minute, and at the end of an epoch if that is cheap."""

import time

from cellflow.training.checkpoint import Position, load_checkpoint, save_checkpoint
from cellflow.training.loop import Run
from cellflow.training.run_folder import RunFolder

SECONDS_BETWEEN_CHECKPOINTS = 60.0
"""At most; a killed run loses this much training, and one step more."""

CHECKPOINT_SHARE = 0.05
"""Share of the time that checkpoints at the ends of epochs may take; short epochs go without."""


class Checkpointing:
    """Saves a run, and loads it again.

    Parameters
    ----------
    folder : RunFolder
    run : Run
        Its first process writes; in the others the methods do nothing.
    run_key : str
        As for `save_checkpoint`.
    """

    def __init__(self, folder: RunFolder, run: Run, run_key: str) -> None:
        self._folder, self._run, self._key = folder, run, run_key
        self._saved_at, self._save_seconds = time.monotonic(), 0.0

    def save(self) -> None:
        """Write a checkpoint now."""
        run = self._run
        if not run.ranks.is_first:
            return
        position, before = run.settle(), time.monotonic()
        save_checkpoint(
            self._folder.last,
            run.network,
            run.optimizer,
            position,
            self._key,
            run.average,
            run.scaler,
        )
        self._folder.keep_best(position.best_epoch)
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - before

    def save_when_due(self) -> None:
        """Write a checkpoint when the last one is a minute old."""
        if self._age >= SECONDS_BETWEEN_CHECKPOINTS:
            self.save()

    def save_where_cheap(self) -> None:
        """Write a checkpoint unless the last one is so recent that writing takes too much time."""
        if self._age >= min(SECONDS_BETWEEN_CHECKPOINTS, self._save_seconds / CHECKPOINT_SHARE):
            self.save()

    def load(self) -> Position:
        """Read the checkpoint into the parts of the run; give its position.

        Raises
        ------
        ModelError
            As `load_checkpoint`.
        """
        run = self._run
        return load_checkpoint(
            self._folder.last,
            run.network,
            run.optimizer,
            self._key,
            run.average,
            run.scaler,
            kind=Position,
        )

    @property
    def _age(self) -> float:
        return time.monotonic() - self._saved_at
