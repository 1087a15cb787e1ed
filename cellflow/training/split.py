"""Which images are trained on and which are held out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cellflow.data.dataset import Dataset, Entry
from cellflow.data.folds import make_holdout, read_folds
from cellflow.errors import ConfigError
from cellflow.hashing import hash_file
from cellflow.wording import some_of

HOLDOUT_SEED = 0
"""Fixed, so that runs with different training seeds are scored on the same images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The names of the images on each side.

    Parameters
    ----------
    train, validation : sequence of str
    reason : str
        How the split came about, for the record.
    kept_out : sequence of str
        Images of neither side that a later score needs: images of other folders must not show
        them either.
    """

    train: Sequence[str]
    validation: Sequence[str]
    reason: str
    kept_out: Sequence[str] = ()


def split_dataset(
    dataset: Dataset,
    share: float,
    folds_file: Path | str | None = None,
    fold: int | None = None,
    *,
    among: Sequence[str] | None = None,
) -> Split:
    """Take a fold of a file, or hold out a share of the annotated images.

    Parameters
    ----------
    dataset : Dataset
    share : float
        Of the images that is held out when there is no file; 0 = none.
    folds_file : path, optional
        Written by ``cellflow folds``.
    fold : int, optional
        Which fold of the file is held out, from 0, the default.
    among : sequence of str, optional
        Only these images are split, without a file.

    Raises
    ------
    ConfigError
        The file does not have that fold, or there is a fold without a file.
    DataError
        The file is broken, or for other images.

    Notes
    -----
    A data set too small to hold anything out is trained on whole; the reason says so.
    """
    if folds_file is not None:
        return _of_file(dataset, Path(folds_file), fold or 0)
    if fold is not None:
        raise ConfigError(f"--fold {fold}: needs a folds file; give --folds FILE too")
    if among is not None:
        chosen = set(among)
        dataset = replace(dataset, entries=tuple(e for e in dataset.entries if e.name in chosen))
    names = [entry.name for entry in dataset.annotated]
    if share == 0:
        return Split(train=names, validation=[], reason="none asked for")
    folds = make_holdout(dataset, share, HOLDOUT_SEED)
    held_out = folds.folds[0]
    if not held_out.validation or not held_out.train:
        return Split(train=names, validation=[], reason="too few images to hold any out")
    return Split(train=held_out.train, validation=held_out.validation, reason=folds.how)


def without_held_out(
    entries: Sequence[Entry], held_out: Sequence[Entry]
) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
    """Give the images of other folders, and the names of those that show what is held out.

    Notes
    -----
    An image shows it if it is of the same plate and well, or the same file.
    """
    groups = {entry.group for entry in held_out} - {None}
    files = {hash_file(entry.image_path) for entry in held_out}
    kept, overlapping = [], []
    for entry in entries:
        if entry.group in groups or (files and hash_file(entry.image_path) in files):
            overlapping.append(entry.name)
        else:
            kept.append(entry)
    return tuple(kept), tuple(overlapping)


def overlapping_text(names: Sequence[str]) -> str:
    """Say which images `without_held_out` left out; there is one at least."""
    return f"left out, since they match held-out images: {len(names)} ({some_of(names)})"


def _of_file(dataset: Dataset, path: Path, fold: int) -> Split:
    folds = read_folds(path, dataset)
    if not 0 <= fold < len(folds.folds):
        raise ConfigError(f"--fold {fold}: {path} has folds 0 to {len(folds.folds) - 1}")
    chosen = folds.folds[fold]
    return Split(
        train=chosen.train,
        validation=chosen.validation,
        reason=f"fold {fold} of {path.name} ({folds.how})",
    )
