"""Nested subsets of the training images, for learning curves.

The choice depends on the images' names, their cell types and a seed of its own, so every variant
and, unless configured otherwise, every seed of training sees the same images.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cellflow.data.dataset import Entry
from cellflow.errors import ConfigError

SUBSET_OPTIONS = ("n_images", "image_share", "subset_seed")
"""Options that every family has. ``subset_seed = "seed"`` uses the seed of the training, so that
the spread over seeds includes the choice of images."""


def check_subset(options: Mapping[str, Any]) -> None:
    """Check the options of a subset.

    Raises
    ------
    ConfigError
        A value has the wrong type, both sizes are given, or a seed without a size.
    """
    number, share = options.get("n_images"), options.get("image_share")
    if number is not None and share is not None:
        raise ConfigError("n_images and image_share say the same; give one of them")
    if number is not None and (type(number) is not int or number < 1):
        raise ConfigError(f"n_images: expected a whole number, 1 or more, found {number!r}")
    if share is not None and not (isinstance(share, int | float) and 0 < share <= 1):
        raise ConfigError(f"image_share: expected above 0, at most 1, found {share!r}")
    if "subset_seed" in options:
        seed = options["subset_seed"]
        if number is None and share is None:
            raise ConfigError("subset_seed: goes with n_images or image_share")
        if seed != "seed" and (type(seed) is not int or seed < 0):
            raise ConfigError(f'subset_seed: expected a whole number or "seed", found {seed!r}')


def chosen_images(entries: Sequence[Entry], options: Mapping[str, Any], seed: int) -> list[str]:
    """Give the names of the images to train on, sorted.

    Parameters
    ----------
    entries : sequence of Entry
        The training side of a fold.
    options : mapping
        Checked ones, of `SUBSET_OPTIONS` or more.
    seed : int
        Of the training.

    Raises
    ------
    ConfigError
        There are fewer images than requested.
    """
    number, share = options.get("n_images"), options.get("image_share")
    if share is not None:
        number = max(1, round(share * len(entries)))
    if number is None:
        return sorted(entry.name for entry in entries)
    if number > len(entries):
        raise ConfigError(f"n_images = {number}, but there are {len(entries)} to train on")
    own = options.get("subset_seed", 0)
    return sorted(nested_order(entries, seed if own == "seed" else own)[:number])


def nested_order(entries: Sequence[Entry], seed: int) -> list[str]:
    """Order images so that every prefix has the overall shares of cell types, as nearly as it can.

    Parameters
    ----------
    entries : sequence of Entry
    seed : int

    Returns
    -------
    list of str
        All names; independent of the order of `entries`.
    """
    of_kind: dict[str, list[str]] = {}
    for entry in sorted(entries, key=lambda entry: entry.name):
        of_kind.setdefault(entry.cell_type or "", []).append(entry.name)
    rng = np.random.default_rng(seed)
    places = [
        ((rank + 0.5) / len(names), kind, name)
        for kind, names in sorted(of_kind.items())
        for rank, name in enumerate(rng.permutation(names).tolist())
    ]
    return [name for _, _, name in sorted(places)]
