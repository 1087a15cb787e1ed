"""Which images are trained on and which are held out."""

from dataclasses import dataclass
from pathlib import Path

from cellflow.config import TrainingConfig
from cellflow.data.dataset import Dataset
from cellflow.data.folds import make_holdout, read_folds
from cellflow.errors import ConfigError


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
    """Take one fold of a file, or hold out ``training.validation_share`` of the images.

    Raises
    ------
    ConfigError
        The file has no such fold.
    DataError
        The folds file is broken, or was made for other images.
    """
    if folds_file is not None:
        folds = read_folds(folds_file, dataset)
        if not 0 <= fold < len(folds.folds):
            raise ConfigError(f"{folds_file} has folds 0 to {len(folds.folds) - 1}, not {fold}")
        chosen = folds.folds[fold]
        reason = f"fold {fold} of {Path(folds_file).name} ({folds.how}, seed {folds.seed})"
        return Split(train=chosen.train, validation=chosen.validation, reason=reason)
    names = tuple(entry.name for entry in dataset.annotated)
    if config.validation_share == 0:
        return Split(train=names, validation=(), reason="nothing held out, as asked for")
    folds = make_holdout(dataset, config.validation_share, config.seed)
    [chosen] = folds.folds
    reason = f"{folds.how}, seed {folds.seed}"
    return Split(train=chosen.train, validation=chosen.validation, reason=reason)
