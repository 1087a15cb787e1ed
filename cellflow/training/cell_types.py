"""The cell-type head at the end of a training: styles of training images, and a linear fit."""

from collections.abc import Callable, Sequence

import numpy as np

from cellflow.data.dataset import Entry
from cellflow.inference.predict import Model
from cellflow.network.cell_type_head import FEWEST_GROUPS, CellTypeHead, fit_cell_type_head
from cellflow.training.budget import seconds_of

MOST_PER_TYPE = 24
"""Images of a type whose style is looked at; each costs a few tiles."""


def choose_images(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Choose the images that a head is fitted to, spread evenly over those of each type.

    Returns
    -------
    tuple of Entry
        None of unknown type; empty when fewer than two types have enough images.
    """
    of_type: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.cell_type is not None:
            of_type.setdefault(entry.cell_type, []).append(entry)
    enough = [own for own in of_type.values() if len(own) >= FEWEST_GROUPS]
    if len(enough) < 2:
        return ()
    chosen: list[Entry] = []
    for own in of_type.values():
        places = np.linspace(0, len(own) - 1, min(len(own), MOST_PER_TYPE)).round().astype(int)
        chosen += [own[place] for place in places]
    return tuple(chosen)


def estimate_seconds(model: Model, entries: Sequence[Entry]) -> float:
    """Time the style of one image, of which `learn_cell_types` needs those of all `entries`."""
    if not entries:
        return 0.0
    image = entries[0].load().image
    return len(entries) * seconds_of(lambda: model.style_of(image))


def learn_cell_types(
    model: Model, entries: Sequence[Entry], between_images: Callable[[], None] = lambda: None
) -> CellTypeHead | None:
    """Fit a head that tells the cell type of an image from the model's style vector.

    Parameters
    ----------
    model : Model
    entries : sequence of Entry
        Images that the model was trained on; see `choose_images`.
    between_images : callable
        Called before each image; may raise to leave.

    Returns
    -------
    CellTypeHead or None
        None where `fit_cell_type_head` gives none.

    Raises
    ------
    DataError
        An image cannot be read.

    Notes
    -----
    Fitted and cross-validated on the style of the middle of each image, for the time it takes; a
    prediction classifies the style of the whole image, over all its views.
    """
    styles = []
    for entry in entries:
        between_images()
        styles.append(model.style_of(entry.load().image))
    if not styles:
        return None
    return fit_cell_type_head(
        np.stack(styles),
        [entry.cell_type for entry in entries],
        [entry.group for entry in entries],
    )
