"""Rendering of a scene as a phase-contrast microscope would show it.

How it works: cells, lines and discs add up to a phase map (thickness times refractive index). The
microscope shows its sine, so that very thick, rounded cells are bright inside. The phase ring
removes the slowly varying part, which causes bright halos and makes the middle of large flat cells
as grey as the background. Oblique light, noise and conversion to 8 bits follow.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from cellflow.synth.raster import draw_discs, draw_lines, fill_outline
from cellflow.synth.scene import Cell, Scene

GROUND = 128
"""Grey level of the background, as in the competition's images."""
FINEST, INNER, OUTER = 0.45, 1.05, 2.8
"""Blur of the optics, and of the two bands that the phase ring removes, px. With these values a dot
looks as in the competition's images: -51, -10, 6, 1, 0 grey levels at 0, 1, 2, 3, 4 px."""
FINE_GAIN, WIDE_GAIN = 240.0, 34.0
"""Grey levels per radian, in the band finest–inner and in the band inner–outer."""
OBLIQUE = 12.0
"""Grey levels per (radian per px), along the direction of the oblique light."""


def render(scene: Scene, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Render a scene.

    Returns
    -------
    (H, W) uint8
        Grey, background about 128.
    """
    phase = _phase_map(scene, rng)
    signal = np.sin(np.minimum(phase, np.float32(4.4)))
    finest = gaussian_filter(signal, FINEST)
    inner = gaussian_filter(signal, INNER)
    outer = gaussian_filter(inner, np.sqrt(OUTER**2 - INNER**2))
    grey = -FINE_GAIN * (finest - inner) - WIDE_GAIN * (inner - outer)
    grey *= rng.uniform(0.85, 1.2)
    angle = rng.uniform(0, 2 * np.pi)
    lean_y, lean_x = np.gradient(finest)
    grey += OBLIQUE * rng.uniform(0.3, 1.3) * (np.sin(angle) * lean_y + np.cos(angle) * lean_x)
    grey += _out_of_focus(scene) + _ground(scene.shape, rng)
    picture: NDArray[np.uint8] = np.clip(np.rint(grey + GROUND), 3, 255).astype(np.uint8)
    return picture


def _phase_map(scene: Scene, rng: np.random.Generator) -> NDArray[np.float32]:
    """Add up the phase of everything in focus, radians."""
    phase = np.zeros(scene.shape, np.float32)
    # Texture at two scales, shared by all cells; each cell scales it by its own strength.
    fine = gaussian_filter(rng.standard_normal(scene.shape, np.float32), 0.7) * 2.5
    coarse = gaussian_filter(rng.standard_normal(scene.shape, np.float32), 1.8) * 6.4
    grain = 0.7 * fine + 0.7 * coarse
    for cell in scene.cells:
        cover, body = _body(cell)
        phase[cell.window] += body + cell.look.texture * cover * grain[cell.window]
    lines = np.zeros(scene.shape, np.float32)
    if scene.lines:
        points, radii, heights = (np.concatenate(part) for part in zip(*scene.lines, strict=True))
        offsets = np.cumsum([0, *(len(path) for path, _, _ in scene.lines)])
        draw_lines(points, radii, heights, offsets, lines)
    phase += lines
    for centres, radii, heights in scene.discs:
        draw_discs(centres, radii, heights, phase)
    return phase


def _body(cell: Cell) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give a cell's coverage of each pixel of its window, and its phase there, radians.

    Both are computed on a grid twice as fine, for anti-aliased edges.
    """
    height, width = cell.inside.shape
    fine = fill_outline(
        2 * cell.outline + 0.5, 2 * cell.top, 2 * cell.left, (2 * height, 2 * width)
    )
    depth = distance_transform_edt(np.pad(fine, 1))[1:-1, 1:-1].astype(np.float32) / 2
    body = cell.look.height * (1 - np.exp(-depth / np.float32(cell.look.rim)))
    return _halve(fine.astype(np.float32)), _halve(body)


def _halve(fine: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average blocks of 2 x 2."""
    halved: NDArray[np.float32] = (
        fine[::2, ::2] + fine[1::2, ::2] + fine[::2, 1::2] + fine[1::2, 1::2]
    ) / 4
    return halved


def _out_of_focus(scene: Scene) -> NDArray[np.float32]:
    """Give the grey levels of objects above or below the focus."""
    layer = np.zeros(scene.shape, np.float32)
    for centres, radii, heights in scene.blurred:
        draw_discs(centres, radii, heights, layer)
    near, far = gaussian_filter(layer, 2.5), gaussian_filter(layer, 9.0)
    blurred: NDArray[np.float32] = 30 * (near - far)
    return blurred


def _ground(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Give camera noise, slightly correlated, and some remaining uneven illumination."""
    noise = gaussian_filter(rng.standard_normal(shape, np.float32), 0.55) * 2.0
    grey = noise * np.float32(rng.uniform(0.9, 1.5))
    y, x = np.linspace(-1, 1, shape[0])[:, None], np.linspace(-1, 1, shape[1])[None]
    slope_y, slope_x, bowl = rng.normal(0, 0.35, 3)
    ground: NDArray[np.float32] = grey + slope_y * y + slope_x * x + bowl * (y * y + x * x - 0.67)
    return ground.astype(np.float32)
