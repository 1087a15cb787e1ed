"""Random outlines of cells and paths of neurites, as vertices (y, x) in pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Outline = NDArray[np.float64]
"""(K, 2) vertices (y, x), px; the last is joined to the first."""

GRAIN = 16
"""Vertices are rounded to sixteenths of a pixel, so that masks do not depend on the last bit of a
sine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arms:
    """Processes of a cell, which extend from its body.

    Parameters
    ----------
    angles : (A,) float64
        Directions, radians, from the x axis towards the y axis.
    lengths : (A,) float64
        Length beyond the body, in units of the body's radius.
    sharpness : (A,) float64
        Larger is thinner: an arm falls to 1/e of its length within 1 / sharpness radians.
    """

    angles: NDArray[np.float64]
    lengths: NDArray[np.float64]
    sharpness: NDArray[np.float64]


TIP_ANGLES = np.array([0, 0.004, 0.012, 0.03, 0.06, 0.1, 0.16, 0.25])
TIP_ANGLES = np.concatenate([-TIP_ANGLES[:0:-1], TIP_ANGLES])
"""Positions of extra vertices of the outline, radians from the axis of an arm."""
BLUNT = 0.02
"""Roundness of the tips, radians."""
PIECE = 5.0
"""Length of one straight segment of a neurite, px."""
NO_ARMS = Arms(angles=np.zeros(0), lengths=np.zeros(0), sharpness=np.zeros(0))


def cell_outline(
    rng: np.random.Generator,
    area: float,
    *,
    elongation: float = 1.0,
    roughness: float = 0.08,
    arms: Arms = NO_ARMS,
    bend: float = 0.0,
    warp: float = 0.0,
) -> Outline:
    """Draw the outline of one cell around the origin.

    Parameters
    ----------
    area : float
        px².
    elongation : float
        Long over short axis of the body, 1 or more.
    roughness : float
        Standard deviation of the radius, relative to it.
    arms : Arms
    bend : float
        Curvature of the whole cell: sideways shift over length.
    warp : float
        Amplitude of the waves that bend arms and edges, relative to the radius of the cell.

    Returns
    -------
    (K, 2) float64
        Turned by a random angle, with the given area.
    """
    # Extra vertices at the arms.
    tips = (arms.angles[:, None] + TIP_ANGLES[None]).ravel() % (2 * np.pi)
    angles = np.sort(np.concatenate([np.linspace(0, 2 * np.pi, 72, endpoint=False), tips]))
    stretch = np.sqrt(elongation)
    radius = 1 / np.hypot(np.cos(angles) / stretch, np.sin(angles) * stretch)
    for harmonic in range(2, 9):
        phase, size = rng.uniform(0, 2 * np.pi), rng.normal(0, roughness / harmonic)
        radius *= np.maximum(1 + size * np.cos(harmonic * angles + phase), 0.4)
    away = np.abs((angles - arms.angles[:, None] + np.pi) % (2 * np.pi) - np.pi)
    # Cusps: pointed tips and flared roots, like those of cells that pull at their substrate.
    cusps = np.exp(-arms.sharpness[:, None] * (np.hypot(away, BLUNT) - BLUNT))
    radius += (arms.lengths[:, None] * cusps).sum(axis=0)
    y, x = radius * np.sin(angles), radius * np.cos(angles)
    y = y + bend * x * np.abs(x) / max(float(np.abs(x).max()), 1e-9)
    outline = np.stack([y, x], axis=1)
    for axis in (0, 1):
        phase, waves = rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 1.6)
        outline[:, axis] += warp * np.sin(waves * outline[:, 1 - axis] + phase)
    outline *= np.sqrt(area / max(outline_area(outline), 1e-9))
    return turn(outline, rng.uniform(0, 2 * np.pi))


def draw_arms(
    rng: np.random.Generator,
    n_arms: int,
    lengths: tuple[float, float],
    sharpness: tuple[float, float],
    *,
    unrest: float = 0.7,
) -> Arms:
    """Draw arms, the first along the body's long axis.

    Parameters
    ----------
    lengths, sharpness : (low, high)
        See `Arms`; sharpness is uniform, small lengths are more frequent than large ones.
    unrest : float
        How much the directions deviate from evenly spaced ones; 0 = not at all.
    """
    even = np.arange(n_arms) * 2 * np.pi / max(n_arms, 1)
    angles = even + rng.normal(0, unrest / max(n_arms, 1), n_arms)
    return Arms(
        angles=angles,
        lengths=lengths[0] + (lengths[1] - lengths[0]) * rng.random(n_arms) ** 1.5,
        sharpness=rng.uniform(*sharpness, n_arms),
    )


def outline_area(outline: Outline) -> float:
    """Give the area inside a simple outline, px²."""
    y, x = outline[:, 0], outline[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def turn(outline: Outline, angle: float) -> Outline:
    """Turn an outline around the origin by `angle`, radians."""
    sine, cosine = np.sin(angle), np.cos(angle)
    turned: Outline = outline @ np.array([[cosine, -sine], [sine, cosine]])
    return turned


def place(outline: Outline, centre: NDArray[np.float64]) -> Outline:
    """Move an outline to `centre`, and round its vertices, see `GRAIN`."""
    placed: Outline = np.round((outline + centre) * GRAIN) / GRAIN
    return placed


def reach(outline: Outline, direction: NDArray[np.float64]) -> float:
    """Give how far an outline around the origin reaches in a direction (unit vector), px."""
    along = outline @ direction
    near = np.abs(outline @ np.array([direction[1], -direction[0]])) < 0.35 * np.ptp(along)
    return float(along[near].max(initial=1.0))


def bridge_path(
    rng: np.random.Generator, start: NDArray[np.float64], end: NDArray[np.float64], bow: float
) -> NDArray[np.float64]:
    """Draw a path from `start` to `end`, (y, x), curved sideways by `bow` times its length."""
    along = end - start
    aside = np.array([along[1], -along[0]])
    share = np.linspace(0, 1, 9)
    sway = bow * np.sin(np.pi * share) + 0.3 * bow * rng.normal() * np.sin(2 * np.pi * share)
    path: NDArray[np.float64] = start + share[:, None] * along + sway[:, None] * aside
    return path


def neurite_path(
    rng: np.random.Generator,
    start: NDArray[np.float64],
    angle: float,
    length: float,
    *,
    wander: float,
) -> NDArray[np.float64]:
    """Draw a path that roughly keeps its direction.

    Parameters
    ----------
    start : (2,) float64
        (y, x), px.
    angle : float
        Initial direction, radians.
    length : float
        px.
    wander : float
        Scale of the random change of direction at each vertex, radians.

    Returns
    -------
    (P, 2) float64
        At least two vertices (y, x).
    """
    n_steps = max(int(length / PIECE), 1)
    # A slowly changing curvature gives arcs instead of a jagged line.
    turns = np.convolve(rng.normal(0, wander, n_steps + 4), np.full(5, 0.45), "valid")
    angles = angle + np.cumsum(turns)
    steps = PIECE * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    # Neurites are not perfectly smooth.
    path = start + np.cumsum(steps, axis=0) + rng.normal(0, 0.35, (n_steps, 2))
    return np.concatenate([start[None], path])
