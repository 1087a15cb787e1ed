"""Folds: which images are trained on and which are held out, in a file for several models."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from cellflow.atomic import write_json
from cellflow.data.coco_export import CocoNumbers, write_coco
from cellflow.data.dataset import Dataset, Entry
from cellflow.data.independence import (
    compares_fields,
    group_entries,
    hash_images,
    same_field,
    without_group,
)
from cellflow.data.near_duplicates import MOST_IMAGES
from cellflow.errors import ConfigError, DataError
from cellflow.jsontext import read_object
from cellflow.wording import counted

Item = TypeVar("Item")

FORMAT = 1
NO_LEAK = "no leak: training and validation share no pixels, no field, and no plate + well if known"
FIELDS_NOT_SOUGHT = (
    "no leak found: training and validation share no pixels, and no plate + well if known; with "
    f"more than {MOST_IMAGES} images, shared fields were not looked for"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """One split into training and validation images.

    Parameters
    ----------
    train, validation : tuple of str
        Names of the images, sorted.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Folds:
    """Folds of one data set.

    Parameters
    ----------
    how : str
        How they were made, in words.
    seed : int
    data_hash : str
        Of names and pixels of the images; `read_folds` refuses other data.
    folds : tuple of Fold
    """

    how: str
    seed: int
    data_hash: str
    folds: tuple[Fold, ...]


def make_folds(dataset: Dataset, n_folds: int, seed: int) -> Folds:
    """Split the annotated images into folds of about equal size, each held out once.

    Parameters
    ----------
    dataset : Dataset
    n_folds : int
        At least 2.
    seed : int

    Raises
    ------
    ConfigError
        Fewer than two folds.
    DataError
        There are fewer groups of images than folds.

    Notes
    -----
    Stratified by cell type. Images of one group (plate + well), with the same pixels, or, where
    groups are unknown, of the same field (`find_near_duplicates`) stay in one fold. The result
    depends on names, types, groups, pixels and the seed only.
    """
    if n_folds < 2:
        raise ConfigError(f"expected two folds or more, found {n_folds}")
    hashes = hash_images(dataset.annotated)
    groups = group_entries(dataset.annotated, hashes)
    if len(groups) < n_folds:
        raise DataError(
            f"{dataset.root}: {len(groups)} independent groups of images "
            f"are too few for {n_folds} folds"
        )
    held_out = spread_groups(_shuffled(groups, seed), lambda entry: entry.cell_type, n_folds)
    return _folds(dataset, held_out, hashes, seed, f"{n_folds} folds, {_rules(dataset)}")


def spread_groups(
    groups: Iterable[Sequence[Item]], kind_of: Callable[[Item], str | None], n_folds: int
) -> list[list[Item]]:
    """Distribute groups over folds, so that each has about as many images, and of each cell type.

    Parameters
    ----------
    groups : iterable of sequence
        Images that must stay together; of equally large groups the first is placed first.
    kind_of : callable
        Gives the cell type of an image; that of its first one stands for a group.
    n_folds : int
    """
    folds: list[list[Item]] = [[] for _ in range(n_folds)]
    counts: list[Counter[str | None]] = [Counter() for _ in range(n_folds)]
    # Large groups first, since they are the hardest to place.
    for group in sorted(groups, key=len, reverse=True):
        kind = kind_of(group[0])
        # The fold with the fewest of this type, then with the fewest images, then the first.
        target = min(range(n_folds), key=lambda k: (counts[k][kind], counts[k].total()))
        folds[target] += group
        counts[target].update(map(kind_of, group))
    return folds


def make_holdout(dataset: Dataset, share: float, seed: int) -> Folds:
    """Hold out one share of the annotated images, as a single fold.

    Parameters
    ----------
    share : float
        Of each cell type's images, above 0 and below 1. Groups of images are taken in random order
        as long as at least half of each fits; if none does and the type has two groups, the
        smallest is held out.
    dataset, seed
        As for `make_folds`; so are the rules.

    Raises
    ------
    ConfigError
        `share` is not between 0 and 1, or so large that no image is left to train on.
    """
    if not 0 < share < 1:
        raise ConfigError(f"expected a share between 0 and 1, found {share}")
    hashes = hash_images(dataset.annotated)
    of_type: dict[str | None, list[list[Entry]]] = {}
    for group in _shuffled(group_entries(dataset.annotated, hashes), seed):
        of_type.setdefault(group[0].cell_type, []).append(group)
    held_out = [entry for groups in of_type.values() for entry in _share_of(groups, share)]
    if len(held_out) == len(dataset.annotated):
        raise ConfigError(
            f"a share of {share:g} leaves none of {counted(len(held_out), 'image')} to train on"
        )
    return _folds(dataset, [held_out], hashes, seed, f"{share:.0%} held out, {_rules(dataset)}")


def write_folds(path: Path | str, folds: Folds) -> None:
    """Write folds as JSON."""
    write_json(path, {"format": FORMAT, **asdict(folds)})


def require_same(path: Path, folds: Folds) -> None:
    """Refuse to replace a file that does not hold these very folds, since runs may use it.

    Raises
    ------
    DataError
        It holds others, or is no folds file.
    """
    try:
        is_same = read_folds(path) == folds
    except DataError:
        is_same = False
    if not is_same:
        raise DataError(
            f"--out {path}: has other content, which runs may depend on; choose another name, or "
            "--overwrite"
        )


def read_folds(path: Path | str, dataset: Dataset | None = None) -> Folds:
    """Read folds, and check that they are of this data set.

    Raises
    ------
    DataError
        The file is broken or of a newer cellflow, the images are not those that the folds were
        made for, a fold names another image, or one is on both of its sides.
    """
    path = Path(path)
    content = read_object(path, DataError, "make the folds again", newest=FORMAT)
    try:
        folds = Folds(
            how=content["how"],
            seed=content["seed"],
            data_hash=content["data_hash"],
            folds=tuple(
                Fold(train=_names(fold["train"]), validation=_names(fold["validation"]))
                for fold in content["folds"]
            ),
        )
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: not a folds file: {error}") from error
    for number, fold in enumerate(folds.folds):
        if both := sorted(set(fold.train) & set(fold.validation)):
            raise DataError(
                f"{path}: fold {number} has {both[0]} both in training and in validation"
            )
    if dataset is not None and folds.data_hash != _data_hash(hash_images(dataset.annotated)):
        raise DataError(
            f"{path} was made for other images than those in {dataset.root}; "
            "make the folds again, or give the folder they were made for"
        )
    known = None if dataset is None else {entry.name for entry in dataset.annotated}
    for number, fold in enumerate(folds.folds):
        if known is not None and (unknown := sorted({*fold.train, *fold.validation} - known)):
            raise DataError(
                f"{path}: fold {number} has {unknown[0]}, which is not an annotated image"
            )
    return folds


def _names(listed: Sequence[object]) -> tuple[str, ...]:
    names = tuple(name for name in listed if isinstance(name, str))
    if len(names) < len(listed):
        raise TypeError("expected image names as strings")
    return names


def no_leak(dataset: Dataset) -> str:
    """Say what an empty `leak_report` means for this data set."""
    return NO_LEAK if compares_fields(dataset.annotated) else FIELDS_NOT_SOUGHT


def leak_report(dataset: Dataset, folds: Folds) -> list[str]:
    """Give one sentence for every held-out image that training sees; [] if there is none."""
    entries = dataset.by_name
    hashes = hash_images(dataset.annotated)
    neighbours_of: defaultdict[str, set[str]] = defaultdict(set)
    for pair in same_field(dataset.annotated):
        names = {dataset.annotated[index].name for index in pair}
        for name in names:
            neighbours_of[name] |= names - {name}
    leaks = []
    for number, fold in enumerate(folds.folds):
        train = set(fold.train)
        by_hash = {hashes[name]: name for name in reversed(fold.train)}
        by_group = {entries[name].group: name for name in reversed(fold.train)}
        for name in fold.validation:
            group = entries[name].group
            twin, neighbours = by_hash.get(hashes[name]), neighbours_of[name] & train
            if twin is not None:
                leaks.append(f"fold {number}: {name} has the same pixels as {twin}")
            elif neighbours:
                leaks.append(f"fold {number}: {name} shows the same field as {min(neighbours)}")
            elif group is not None and group in by_group:
                leaks.append(
                    f"fold {number}: {name} is of the same plate and well as {by_group[group]} "
                    f"({group})"
                )
    return leaks


def describe_folds(dataset: Dataset, folds: Folds) -> list[str]:
    """Give one line a fold: how many images of each cell type are held out."""
    kinds = {entry.name: entry.cell_type or "unknown" for entry in dataset.annotated}
    lines = [f"{folds.how}, seed {folds.seed}"]
    for number, fold in enumerate(folds.folds):
        counts = Counter(kinds[name] for name in fold.validation)
        parts = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        lines.append(
            f"fold {number}: {len(fold.train)} training, "
            f"{len(fold.validation)} validation ({parts})"
        )
    return lines


def export_folds(dataset: Dataset, folds: Folds, folder: Path) -> list[Path]:
    """Write every fold's two sides as COCO, ``fold0_train.json`` and ``fold0_validation.json``.

    Notes
    -----
    File names in them are relative to the data set's folder, those of images elsewhere absolute.
    Overlaps are kept. An image has one id, and a cell type one number, in all of the files.
    """
    entries = dataset.by_name
    numbers = CocoNumbers.of(entries, [entry.cell_type for entry in entries.values()])
    written = []
    for number, fold in enumerate(folds.folds):
        for side, names in (("train", fold.train), ("validation", fold.validation)):
            path = folder / f"fold{number}_{side}.json"
            samples = ((_relative(entries[name], dataset), entries[name].load()) for name in names)
            write_coco(path, samples, numbers)
            written.append(path)
    return written


def _relative(entry: Entry, dataset: Dataset) -> str:
    path = entry.image_path
    if not path.is_relative_to(dataset.root):
        return path.resolve().as_posix()
    return path.relative_to(dataset.root).as_posix()


def _data_hash(hashes: dict[str, str]) -> str:
    digest = hashlib.sha256()
    for name in sorted(hashes):
        digest.update(f"{name} {hashes[name]}\n".encode())
    return digest.hexdigest()


def _shuffled(groups: list[list[Entry]], seed: int) -> list[list[Entry]]:
    return [groups[index] for index in np.random.default_rng(seed).permutation(len(groups))]


def _share_of(groups: list[list[Entry]], share: float) -> list[Entry]:
    """Take groups of one cell type in their order, as long as at least half of each fits."""
    total = sum(len(group) for group in groups)
    taken: list[Entry] = []
    for group in groups:
        if len(taken) + len(group) / 2 <= share * total:
            taken += group
    if not taken and len(groups) > 1:
        taken = min(groups, key=len)
    return taken


def _rules(dataset: Dataset) -> str:
    grouped = any(entry.group is not None for entry in dataset.annotated)
    wells = "plate + well kept together" if grouped else "no groups known (such as plate + well)"
    if not without_group(dataset.annotated):
        kept = "identical images"
    elif compares_fields(dataset.annotated):
        kept = "identical images and those of the same field"
    else:
        kept = f"identical images (over {MOST_IMAGES}, too many to look for the same field)"
    return f"stratified by cell type, {wells}, {kept} kept together"


def _folds(
    dataset: Dataset,
    held_out: Sequence[Sequence[Entry]],
    hashes: dict[str, str],
    seed: int,
    how: str,
) -> Folds:
    names = [entry.name for entry in dataset.annotated]
    folds = []
    for entries in held_out:
        out = {entry.name for entry in entries}
        train = tuple(name for name in names if name not in out)
        folds.append(Fold(train=train, validation=tuple(sorted(out))))
    return Folds(how=how, seed=seed, data_hash=_data_hash(hashes), folds=tuple(folds))
