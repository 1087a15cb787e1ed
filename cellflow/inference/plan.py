"""Before the first image: what it will cost, and what has to be left out."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cellflow.data.images import read_image
from cellflow.errors import ImageError
from cellflow.inference.cost import Cost, fit_to_budget, measure_cost
from cellflow.inference.model import Model
from cellflow.network.devices import is_out_of_memory
from cellflow.records import Shape
from cellflow.telling import Say
from cellflow.wording import counted, duration_text

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
    shapes = _sample(images)
    if not shapes:
        return model
    for sentence in model.compile_networks():
        say(sentence)
    cost = measure_cost(model, list(shapes.values()))
    if budget is not None:
        cost = _with_cells(cost, model, shapes)
        model, cost, left_out = fit_to_budget(model, cost, len(images), budget)
        if left_out is not None:
            say(left_out)
    _tell(model, len(images), len(images) * cost.seconds, say)
    return model


def settle_precision(model: Model, images: Sequence[Path], say: Say = lambda text: None) -> None:
    """Decide between bfloat16 and float32 by the first image that can be used and shows something.

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
            picture = read_image(path)
            # Of an empty well the network says next to nothing, of which rounding is a large part.
            if picture.min() == picture.max():
                continue
            said = model.settle_precision(picture)
        except ImageError:
            continue
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
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


def _sample(images: Sequence[Path]) -> dict[Path, Shape]:
    """Give the sizes of a few images; those without are told of when their turn comes."""
    n_read = min(N_SAMPLED, len(images))
    shapes: dict[Path, Shape] = {}
    for k in range(n_read):
        path = images[k * len(images) // n_read]
        with suppress(ImageError):
            height, width = read_image(path).shape[-2:]
            shapes[path] = height, width
    return shapes


def _with_cells(cost: Cost, model: Model, images: Iterable[Path]) -> Cost:
    """Add the way to the cells, by the first image that the networks can take."""
    for path in images:
        try:
            return cost.with_cells(model, read_image(path))
        except ImageError:
            continue
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
    return cost


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
