import numpy as np
import pytest

from cellflow.dynamics import traps
from cellflow.dynamics.follow import NO_TRAPS, find_traps, masked_field, walk

SINK = np.array([[[0.5, 0.6], [0.4, -0.5]], [[-0.6, 0.5], [-0.5, -0.4]]], np.float32)
SPIRAL = np.array([[[0.1, 0.5], [0.5, -0.1]], [[-0.5, 0.1], [-0.1, -0.5]]], np.float32)


@pytest.mark.parametrize("corners", [SINK, SPIRAL])
def test_a_sink_has_a_trap_around_its_resting_point(corners):
    trap = np.zeros(traps.N_NUMBERS, np.float32)
    assert traps.fit_trap(corners, 1e-4, trap)
    y, x = trap[:2].astype(float)
    weights = np.outer([1 - y, y], [1 - x, x])
    np.testing.assert_allclose((weights[..., None] * corners).sum((0, 1)), 0, atol=1e-6)
    assert trap[6] > 0


@pytest.mark.parametrize("corners", [SINK, SPIRAL])
def test_a_trap_maps_into_itself_and_lies_in_its_square(corners):
    trap = np.zeros(traps.N_NUMBERS, np.float32)
    traps.fit_trap(corners, 1e-4, trap)
    inverse = trap[2:6].reshape(2, 2).astype(float)
    angles = np.linspace(0, 2 * np.pi, 100)
    ring = np.linalg.solve(inverse, np.sqrt(trap[6]) * np.array([np.cos(angles), np.sin(angles)]))
    points = ring + trap[:2, None]
    assert (points > 0).all()
    assert (points < 1).all()
    y, x = points
    weights = np.array([[(1 - y) * (1 - x), (1 - y) * x], [y * (1 - x), y * x]])
    moved = points + np.einsum("ijn,ijc->cn", weights, corners)
    assert (np.linalg.norm(inverse @ (moved - trap[:2, None]), axis=0) ** 2 < trap[6]).all()


@pytest.mark.parametrize(
    "corners",
    [
        pytest.param(-SINK, id="source"),
        pytest.param(4 * SINK, id="overshooting"),
        pytest.param(np.ones((2, 2, 2), np.float32), id="passing through"),
        pytest.param(np.zeros((2, 2, 2), np.float32), id="standing still"),
        pytest.param(SINK * np.array([1, -1], np.float32), id="saddle"),
    ],
)
def test_where_walks_may_leave_there_is_no_trap(corners):
    assert not traps.fit_trap(corners, 1e-4, np.zeros(traps.N_NUMBERS, np.float32))


@pytest.mark.parametrize(
    "matrix", [[0.5, 0.2, 0.1, -0.3], [0.1, 0.6, -0.5, 0.2], [0.3, 0, 0, 0.3], [0.2, 0, 0, 0.9]]
)
def test_in_the_basis_the_matrix_shrinks_by_its_largest_eigenvalue(matrix):
    shrink, p, q, r, s = traps.shrinking_basis(*matrix)
    basis = np.array([[p, q], [r, s]])
    inside = np.linalg.solve(basis, np.reshape(matrix, (2, 2)) @ basis)
    assert np.linalg.norm(inside, 2) <= shrink + 1e-9
    if matrix[0] != matrix[3]:
        assert shrink == pytest.approx(abs(np.linalg.eigvals(np.reshape(matrix, (2, 2)))).max())


@pytest.mark.parametrize("strength", [0.3, 0.7, 1.2])
def test_traps_change_no_end_pixel(strength, rng):
    shape = (24, 30)
    flows = (strength * rng.standard_normal((2, *shape))).astype(np.float32)
    cellprob = rng.standard_normal(shape).astype(np.float32) + 1.5
    field, pixels = masked_field(flows, cellprob, 0.0)
    trap_at, found = find_traps(flows, field, pixels)
    assert len(found) > 1
    assert (trap_at > 0).sum() == len(found) - 1
    free = walk(field, pixels, *NO_TRAPS, n_steps=100, tolerance=0.0)
    trapped = walk(field, pixels, trap_at, found, n_steps=100, tolerance=0.0)
    np.testing.assert_array_equal(free.astype(int), trapped.astype(int))
    assert (free != trapped).any()


def test_an_image_of_one_row_has_no_trap():
    flows = np.ones((2, 1, 5), np.float32)
    field, pixels = masked_field(flows, np.ones((1, 5), np.float32), 0.0)
    assert len(find_traps(flows, field, pixels)[1]) == 1


@pytest.mark.needs_jit
def test_the_kernel_does_what_its_python_does(rng):
    flows = rng.standard_normal((2, 20, 20)).astype(np.float32)
    cellprob = rng.standard_normal((20, 20)).astype(np.float32) + 1.5
    field, pixels = masked_field(flows, cellprob, 0.0)
    compiled = traps.list_traps(flows, field, pixels, 0, pixels.shape[1], 1e-5)
    plain = traps.list_traps.py_func(flows, field, pixels, 0, pixels.shape[1], 1e-5)
    assert len(compiled[0]) > 0
    np.testing.assert_array_equal(compiled[0], plain[0])
    np.testing.assert_allclose(compiled[1], plain[1], rtol=1e-5)
