"""Which images are trained on and which are held out."""

from dataclasses import dataclass
from pathlib import Path

from cellflow.config import TrainingConfig
from cellflow.data.dataset import Dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The names of the images on each side.

    Parameters
    ----------
    train, validation : sequence of str
    reason : str
        How the split came about, for the record.
    """

    train: tuple[str, ...] | list[str]
    validation: tuple[str, ...] | list[str]
    reason: str


def split_dataset(
    dataset: Dataset, config: TrainingConfig, folds_file: Path | None = None, fold: int = 0
) -> Split:
    names = [e.name for e in dataset.annotated]
    n = round(len(names) * config.validation_share)
    return Split(train=names[n:], validation=names[:n], reason="stub")
