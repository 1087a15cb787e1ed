"""Which images must stay on one side of a split, since they show the same cells."""

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from cellflow.data.dataset import Entry
from cellflow.data.near_duplicates import MOST_IMAGES, find_near_duplicates
from cellflow.errors import DataError
from cellflow.hashing import hash_file


def independent_groups(entries: Sequence[Entry]) -> list[tuple[str, ...]]:
    """Give the names of the images that must stay on one side of a split, group by group.

    Parameters
    ----------
    entries : sequence of Entry
        At least one.

    Raises
    ------
    DataError
        There is none, or a file cannot be read.

    Notes
    -----
    The rules are those of `make_folds`; an image that shares nothing is a group of its own.
    """
    groups = group_entries(entries, hash_images(entries))
    return [tuple(entry.name for entry in group) for group in groups]


def group_entries(entries: Sequence[Entry], hashes: dict[str, str]) -> list[list[Entry]]:
    """Put images that share a plate + well, pixels or field into one group, also through others.

    Parameters
    ----------
    entries : sequence of Entry
        At least one.
    hashes : dict of str to str
        As `hash_images` gives them.

    Raises
    ------
    DataError
        There is no entry, or a file cannot be read.
    """
    if not entries:
        raise DataError("no annotated image to split")
    keys: dict[str, int] = {}
    links: list[tuple[int, int]] = []
    for index, entry in enumerate(entries):
        shared = [f"pixels {hashes[entry.name]}"]
        if entry.group is not None:
            shared.append(f"group {entry.group}")
        links += [(index, keys.setdefault(key, len(keys))) for key in shared]
    for number, pair in enumerate(same_field(entries)):
        key = keys.setdefault(f"field {number}", len(keys))
        links += [(index, key) for index in pair]
    # Older scipy reads wider numbers wrongly, without an error.
    rows, columns = np.array(links, np.int32).T
    # A graph whose nodes are the images and, behind them, what they can share.
    n_nodes = len(entries) + len(keys)
    graph = csr_array(
        (np.ones(len(links)), (rows, columns + np.int32(len(entries)))), (n_nodes, n_nodes)
    )
    component = connected_components(graph, directed=False)[1][: len(entries)]
    groups = [[entries[i] for i in np.flatnonzero(component == c)] for c in np.unique(component)]
    return sorted(groups, key=lambda group: group[0].name)


def same_field(entries: Sequence[Entry]) -> list[tuple[int, int]]:
    """Give the pairs of images of unknown plate + well that show the same field.

    Returns
    -------
    list of (int, int)
        Indices into `entries`. Empty where more than `MOST_IMAGES` would have to be compared.
    """
    if not compares_fields(entries):
        return []
    chosen = without_group(entries)
    pairs = find_near_duplicates([entries[index] for index in chosen])
    return [(chosen[first], chosen[second]) for first, second in pairs]


def compares_fields(entries: Sequence[Entry]) -> bool:
    """Tell whether `same_field` compares the images, or there are too many of them."""
    return len(without_group(entries)) <= MOST_IMAGES


def without_group(entries: Sequence[Entry]) -> list[int]:
    """Give the indices of the images whose plate + well is unknown."""
    return [index for index, entry in enumerate(entries) if entry.group is None]


def hash_images(entries: Iterable[Entry]) -> dict[str, str]:
    """Give a hash of each image's file content by name.

    Raises
    ------
    DataError
        A file cannot be read.
    """
    return {entry.name: hash_file(entry.image_path) for entry in entries}
