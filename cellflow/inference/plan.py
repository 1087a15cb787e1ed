"""Before the first image: what it will cost, and what has to be left out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from cellflow.data.images import read_image
from cellflow.errors import ImageError
from cellflow.inference.cost import fit_to_budget, measure_cost
from cellflow.inference.model import Model
from cellflow.wording import counted, duration_text

Say = Callable[[str], None]

LONG = 10.0
"""Seconds of work from which its length is told."""

N_SAMPLED = 8
"""Images, spread over the list, whose sizes stand for those of all."""


def plan_prediction(
    model: Model,
    images: Sequence[Path],
    earlier: Mapping[str, Any] | None,
    *,
    budget: float | None = None,
    say: Say = lambda text: None,
) -> Model:
    """Prepare the networks, and tell what the images will cost.

    Parameters
    ----------
    model : Model
    images : sequence of path
        That are still to be done.
    earlier : mapping or None
        What an interrupted run began with, as `state_of` gives it.
    budget : float, optional
        Seconds that all images may take.
    say : callable
        Told how the networks were prepared, what was left out, and how long it will take.

    Returns
    -------
    Model
        With the passes that fit.

    Raises
    ------
    ConfigError
        The budget is too small.
    """
    if earlier is not None and budget is not None:
        model, budget = _continued(model, earlier, say), None
    pictures = _sample(images)
    if not pictures:
        return model
    for sentence in model.compile_networks():
        say(sentence)
    shapes = [(picture.shape[-2], picture.shape[-1]) for picture in pictures]
    cost = measure_cost(model, shapes)
    if budget is not None:
        cost = cost.with_cells(model, pictures[0])
        model, cost, left_out = fit_to_budget(model, cost, len(images), budget)
        if left_out is not None:
            say(left_out)
    _tell(model, len(images), len(images) * cost.seconds, say)
    return model


def settle_precision(model: Model, images: Sequence[Path], say: Say = lambda text: None) -> None:
    """Decide between bfloat16 and float32 by the first image that can be read.

    Parameters
    ----------
    model : Model
    images : sequence of path
        All of them, done or not and of every shard: so each part of a run decides alike.
    say : callable
        Told when it is float32 although the device has bfloat16.
    """
    if model.is_settled:
        return
    for path in images:
        try:
            said = model.settle_precision(read_image(path))
        except ImageError:
            continue
        for sentence in said:
            say(sentence)
        return


def _continued(model: Model, earlier: Mapping[str, Any], say: Say) -> Model:
    """Give the model with the passes that an earlier run with a budget began with."""
    settings = earlier.get("inference", {})
    views, scales = settings.get("views"), tuple(settings.get("scales", ()))
    same = model.with_passes(views=views, scales=scales, n_models=earlier.get("n_models"))
    if same.n_passes != model.n_passes:
        say(f"going on as begun, with {_passes(same)}")
    return same


def _sample(images: Sequence[Path]) -> list[NDArray[Any]]:
    """Read a few images; those that cannot be read are told of when their turn comes."""
    n_read = min(N_SAMPLED, len(images))
    pictures = []
    for k in range(n_read):
        try:
            pictures.append(read_image(images[k * len(images) // n_read]))
        except ImageError:
            continue
    return pictures


def _tell(model: Model, n_images: int, seconds: float, say: Say) -> None:
    """Say before long work how long it will take, and before any that is multiplied, by what."""
    parts = [counted(n_images, "image")]
    if model.n_passes > 1:
        parts.append(f"{_passes(model)} each")
    if seconds > LONG or model.n_passes > 1:
        say(", ".join([*parts, f"about {duration_text(seconds)}"]))


def _passes(model: Model) -> str:
    """Write ``16 passes (2 models, 8 views)``."""
    settings = model.config.inference
    counts = (
        ("model", len(model.members)),
        ("view", settings.views),
        ("scale", len(settings.scales)),
    )
    factors = ", ".join(counted(n, name) for name, n in counts if n > 1)
    return f"{model.n_passes} passes ({factors})" if factors else "1 pass"
