"""How long a prediction will take, and which passes to leave out so that it fits a time budget."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellflow.errors import ConfigError
from cellflow.inference.member import Member
from cellflow.inference.model import Model
from cellflow.records import Shape
from cellflow.wording import counted, duration_text

BUDGET_SHARE = 0.9
"""Share of a budget that is planned; the rest is for reading, writing and everything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Mean time per image.

    Parameters
    ----------
    views : int
    per_view : tuple of tuple of float
        Seconds for one view, per network and scale.
    first_look : float
        Seconds to measure the diameter; 0 if it is known.
    cells : float
        Seconds from the flow field to cells.
    """

    views: int
    per_view: tuple[tuple[float, ...], ...]
    first_look: float
    cells: float = 0.0

    @property
    def seconds(self) -> float:
        """Total seconds per image."""
        passes = self.views * sum(map(sum, self.per_view))
        return self.first_look + passes + self.cells

    def with_cells(self, model: Model, image: NDArray[Any]) -> "Cost":
        """Give a copy with the time from flow field to cells, measured on `image`."""
        alone = model.alone()
        field, started = alone.flow_field(image), 0.0
        for _ in range(2):
            started = time.perf_counter()
            alone.cells_of(field)
        return replace(self, cells=time.perf_counter() - started)


def measure_cost(model: Model, shapes: Sequence[Shape]) -> Cost:
    """Time one batch of tiles per network, and multiply by the tiles of images of `shapes`.

    Parameters
    ----------
    model : Model
    shapes : sequence of (H, W)
        Pixels; at least one.

    Notes
    -----
    If the diameter is measured in each image, it is assumed to be the one that the network expects.
    """
    settings = model.config.inference
    per_view, first_look = [], 0.0
    for member in model.members:
        diameter = model.diameter_of(member)
        grid = member.runner.plan(member.shape_seen(shapes[0], diameter))
        per_pixel = member.runner.seconds_per_tile(grid) / (grid.tile[0] * grid.tile[1])
        per_view.append(
            tuple(
                per_pixel * _tile_pixels(member, shapes, diameter / scale)
                for scale in settings.scales
            )
        )
        if model.diameter is None and member is model.members[0]:
            guess = settings.diameter or member.diam_mean
            start = guess if model.diameter_policy == "estimated" else diameter
            first_look = per_pixel * _tile_pixels(member, shapes, start)
    return Cost(views=settings.views, per_view=tuple(per_view), first_look=first_look)


def fit_to_budget(
    model: Model, cost: Cost, n_images: int, budget: float
) -> tuple[Model, Cost, str | None]:
    """Leave out views, then scales, then models, until all images fit into a budget.

    Parameters
    ----------
    model : Model
    cost : Cost
        Of the model.
    n_images : int
    budget : float
        Seconds.

    Returns
    -------
    Model, Cost
        The reduced model, and its cost.
    str or None
        What was left out, for the user; None if nothing was.

    Raises
    ------
    ConfigError
        Even a single pass through one network takes longer than the budget.

    Notes
    -----
    The number of views is halved until it is 1; then scales are dropped, farthest from 1 first;
    then models, last first.
    """
    allowed = BUDGET_SHARE * budget
    whole = model
    while n_images * cost.seconds > allowed:
        settings = model.config.inference
        if settings.views > 1:
            model = model.with_passes(views=settings.views // 2)
            cost = replace(cost, views=cost.views // 2)
        elif len(settings.scales) > 1:
            farthest = int(np.argmax(np.abs(np.log(settings.scales))))
            kept = [k for k in range(len(settings.scales)) if k != farthest]
            model = model.with_passes(scales=tuple(settings.scales[k] for k in kept))
            rows = tuple(tuple(row[k] for k in kept) for row in cost.per_view)
            cost = replace(cost, per_view=rows)
        elif len(model.members) > 1:
            model = model.with_passes(n_models=len(model.members) - 1)
            cost = replace(cost, per_view=cost.per_view[:-1])
        else:
            raise ConfigError(
                f"--budget {duration_text(budget)}: a single pass over "
                f"{counted(n_images, 'image')} takes "
                f"about {duration_text(n_images * cost.seconds / BUDGET_SHARE)}"
            )
    if model is whole:
        return model, cost, None
    return model, cost, _left_out(whole, model, budget)


def _left_out(whole: Model, model: Model, budget: float) -> str:
    before, after = whole.config.inference, model.config.inference
    parts = []
    if after.views < before.views:
        parts.append(f"{after.views} of {before.views} views")
    if len(after.scales) < len(before.scales):
        kept = ", ".join(f"{scale:g}" for scale in after.scales)
        parts.append(f"{len(after.scales)} of {len(before.scales)} scales ({kept})")
    if len(model.members) < len(whole.members):
        names = ", ".join(member.name for member in whole.members[len(model.members) :])
        parts.append(f"{len(model.members)} of {len(whole.members)} models (without {names})")
    return f"to fit {duration_text(budget)} only {', '.join(parts)} will be used"


def _tile_pixels(member: Member, shapes: Sequence[Shape], diameter: float) -> float:
    """Give the number of pixels in all tiles of an image, averaged over `shapes`."""
    grids = [member.runner.plan(member.shape_seen(shape, diameter)) for shape in shapes]
    pixels = [len(grid.corners) * grid.tile[0] * grid.tile[1] for grid in grids]
    return float(np.mean(pixels))
