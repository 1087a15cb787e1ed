"""Preparations before the first image: how long a prediction will take, what to leave out."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cellflow.data.images import read_image
from cellflow.errors import ImageError
from cellflow.inference.cost import Cost, fit_to_budget, measure_cost
from cellflow.inference.diameter import SMALLEST_DIAMETER
from cellflow.inference.model import Model
from cellflow.network.devices import is_out_of_memory
from cellflow.records import Shape
from cellflow.telling import Say, ignore
from cellflow.wording import counted, duration_text

LONG = 10.0
"""The expected time is announced if it is more than this many seconds."""

N_SAMPLED = 8
"""Images, spread over the list, whose sizes are taken as typical of all."""


def plan_prediction(
    model: Model,
    images: Sequence[Path],
    earlier: Mapping[str, Any] | None,
    *,
    budget: float | None = None,
    say: Say = ignore,
) -> Model:
    """Compile the networks, estimate the time that images will take, and fit it to a budget.

    Parameters
    ----------
    model : Model
    images : sequence of path
        Those that are still to be predicted.
    earlier : mapping or None
        State that an interrupted run began with, as `state_of` gives it.
    budget : float, optional
        Seconds that all images may take.
    say : callable
        ``say(text)``: how the networks were prepared, what was left out, the expected time, and
        that a diameter is small.

    Returns
    -------
    Model
        With the passes that fit into the budget.

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
    _tell_of_enlarging(model, say)
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


def settle_precision(model: Model, images: Sequence[Path], say: Say = ignore) -> None:
    """Choose between 16 and 32 bits by the first usable image that is not blank.

    Parameters
    ----------
    model : Model
    images : sequence of path
        All images, done or not, of every shard, so that all parts of a run choose the same.
    say : callable
        ``say(text)``, if it is float32 although the device is quicker in 16 bits.
    """
    if model.is_settled:
        return
    for path in images:
        try:
            picture = read_image(path)
            # On a blank image the output is close to 0, so that rounding would look large.
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
    """Give the model with the views, scales and networks of the run that is continued."""
    settings = earlier.get("inference", {})
    views, scales = settings.get("views"), tuple(settings.get("scales", ()))
    same = model.with_passes(views=views, scales=scales, n_models=earlier.get("n_models"))
    if same.n_passes != model.n_passes:
        say(f"continuing with the original {_passes(same)}")
    return same


def _sample(images: Sequence[Path]) -> dict[Path, Shape]:
    """Give the sizes of a few images; unreadable ones are reported when their turn comes."""
    n_read = min(N_SAMPLED, len(images))
    shapes: dict[Path, Shape] = {}
    for k in range(n_read):
        path = images[k * len(images) // n_read]
        with suppress(ImageError):
            height, width = read_image(path).shape[-2:]
            shapes[path] = height, width
    return shapes


def _with_cells(cost: Cost, model: Model, images: Iterable[Path]) -> Cost:
    """Add the time from flow field to cells, measured on the first usable image."""
    for path in images:
        try:
            return cost.with_cells(model, read_image(path))
        except ImageError:
            continue
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
    return cost


def _tell_of_enlarging(model: Model, say: Say) -> None:
    """Say what it costs if the user's diameter is smaller than any that would be measured."""
    diameter = model.config.inference.diameter
    if diameter is None or diameter >= SMALLEST_DIAMETER:
        return
    scale = max(member.diam_mean for member in model.members) / diameter
    say(
        f"diameter {diameter:g} px enlarges the images {scale:.0f}-fold in height and width, to "
        f"{scale**2:.0f} times the pixels, time and memory; is it in pixels of the images?"
    )


def _tell(model: Model, n_images: int, seconds: float, say: Say) -> None:
    """Announce the expected time if it is long, or if each image takes several passes."""
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
