"""One synthetic image with its truth: compose a field, annotate it, render it."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cellflow.errors import ConfigError
from cellflow.records import CellMasks
from cellflow.synth.annotate import HANDS, annotate
from cellflow.synth.astro import compose_astro
from cellflow.synth.cort import compose_cort
from cellflow.synth.render import render
from cellflow.synth.scene import Scene
from cellflow.synth.shsy5y import compose_shsy5y

COMPOSERS: dict[str, Callable[[np.random.Generator], Scene]] = {
    "cort": compose_cort,
    "shsy5y": compose_shsy5y,
    "astro": compose_astro,
}


def draw_field(cell_type: str, rng: np.random.Generator) -> tuple[NDArray[np.uint8], CellMasks]:
    """Make one annotated image that looks like the competition's.

    Parameters
    ----------
    cell_type : str
        cort, shsy5y or astro.
    rng : numpy.random.Generator
        The only source of randomness.

    Returns
    -------
    image : (520, 704) uint8
    masks : CellMasks
        At least one; they overlap, as annotators draw them.

    Raises
    ------
    ConfigError
        An unknown cell type.

    Notes
    -----
    If the simulated annotator drew nothing, another field is composed with the same generator.
    """
    if cell_type not in COMPOSERS:
        raise ConfigError(f"cell type: expected {', '.join(COMPOSERS)}, found {cell_type!r}")
    while True:
        scene = COMPOSERS[cell_type](rng)
        masks = annotate(scene, HANDS[cell_type], rng)
        if len(masks):
            return render(scene, rng), masks
