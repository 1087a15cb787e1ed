"""Label images and network outputs at the scale of the competition's images, drawn from a seed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

FLOW_SCALE = 5.0
"""Flow scale of Cellpose's network output; repeated here, so that scenes do not need cellflow."""


@dataclass(frozen=True)
class Scene:
    """Number, size and form of the cells in an image of `shape` (height, width) pixels."""

    shape: tuple[int, int]
    n_cells: int
    radius: float
    elongation: float
    wobble: float


SCENES = {
    "cort": Scene((520, 704), 30, 9.0, 1.3, 0.15),
    "astro": Scene((520, 704), 80, 22.0, 1.9, 0.35),
    "shsy5y": Scene((520, 704), 520, 9.0, 1.6, 0.2),
    "mid": Scene((2048, 2048), 5_000, 11.0, 1.5, 0.2),
    "big": Scene((8192, 8192), 60_000, 11.0, 1.5, 0.2),
}


def draw_labels(scene: Scene, seed: int = 0) -> NDArray[np.int32]:
    """Draw irregular ellipses on a jittered grid; later cells cover earlier ones."""
    rng = np.random.default_rng(seed)
    height, width = scene.shape
    labels = np.zeros(scene.shape, np.int32)
    n_columns = int(np.ceil(np.sqrt(scene.n_cells * width / height)))
    n_rows = int(np.ceil(scene.n_cells / n_columns))
    places = rng.permutation(n_rows * n_columns)[: scene.n_cells]
    for number, place in enumerate(places, 1):
        y = (place // n_columns + rng.uniform(0.2, 0.8)) * height / n_rows
        x = (place % n_columns + rng.uniform(0.2, 0.8)) * width / n_columns
        _draw_cell(labels, number, y, x, scene, rng)
    return labels


def _draw_cell(
    labels: NDArray[np.int32],
    number: int,
    y: float,
    x: float,
    scene: Scene,
    rng: np.random.Generator,
) -> None:
    radius = scene.radius * rng.lognormal(0, 0.25)
    stretch = np.sqrt(scene.elongation * rng.lognormal(0, 0.15))
    angle, phase = rng.uniform(0, 2 * np.pi, 2)
    reach = int(np.ceil(radius * stretch * (1 + scene.wobble))) + 1
    top, left = max(0, int(y) - reach), max(0, int(x) - reach)
    window = labels[top : int(y) + reach + 1, left : int(x) + reach + 1]
    rows, columns = np.indices(window.shape)
    dy, dx = rows + top - y, columns + left - x
    along = (dy * np.sin(angle) + dx * np.cos(angle)) / stretch
    across = (dy * np.cos(angle) - dx * np.sin(angle)) * stretch
    outline = radius * (1 + scene.wobble * np.sin(3 * np.arctan2(across, along) + phase))
    window[np.hypot(along, across) < outline] = number


def network_output(
    flows: NDArray[np.float32], labels: NDArray[np.int32], seed: int = 0, noise: float = 0.6
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Simulate the output of a network: scaled flows and logits, both with smooth noise."""
    rng = np.random.default_rng(seed)
    output = np.empty_like(flows)
    for channel in range(2):
        output[channel] = FLOW_SCALE * flows[channel] + _smooth_noise(labels.shape, noise, rng)
    inside = np.where(labels > 0, np.float32(4), np.float32(-4))
    cellprob = gaussian_filter(inside, 0.7) + _smooth_noise(labels.shape, noise, rng)
    return output, cellprob


def _smooth_noise(
    shape: tuple[int, ...], amplitude: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    noise = gaussian_filter(rng.standard_normal(shape, np.float32), 1.5)
    return noise * np.float32(amplitude / noise.std())
