import numpy as np
import pytest

from cellflow.dynamics.follow import follow_flows
from cellflow.dynamics.segment import flows_to_labels
from cellflow.errors import ConfigError, LabelError


def test_pixels_walk_to_where_the_flow_stops():
    flows = np.zeros((2, 3, 6), np.float32)
    flows[1, 1, :3] = 1
    cellprob = np.full((3, 6), -1.0)
    cellprob[1, :4] = 1
    ends, pixels = follow_flows(flows, cellprob, n_steps=10)
    assert pixels.tolist() == [[1, 1, 1, 1], [0, 1, 2, 3]]
    assert ends.tolist() == [[1, 1, 1, 1], [3, 3, 3, 3]]
    assert (ends.dtype, pixels.dtype) == (np.float32, np.int32)


def test_no_walk_leaves_the_image():
    flows = np.full((2, 4, 5), 3.0, np.float32)
    for sign, corner in ((1, [3, 4]), (-1, [0, 0])):
        ends, _ = follow_flows(sign * flows, np.ones((4, 5)), n_steps=9)
        assert (ends == np.reshape(corner, (2, 1))).all()


def test_without_cell_pixels_there_is_no_walk():
    for shape in ((4, 5), (1, 1), (0, 5), (0, 0)):
        ends, pixels = follow_flows(np.zeros((2, *shape)), np.full(shape, -1.0))
        assert ends.shape == pixels.shape == (2, 0)


def test_one_pixel_stays_where_it_is():
    ends, pixels = follow_flows(np.ones((2, 1, 1)), np.ones((1, 1)))
    assert ends.tolist() == pixels.tolist() == [[0], [0]]


def test_layout_and_float64_change_nothing(rng):
    flows = rng.standard_normal((2, 9, 7)).astype(np.float32)
    cellprob = rng.standard_normal((9, 7)).astype(np.float32)
    expected = follow_flows(flows, cellprob, tolerance=0)[0]
    for convert in (np.float64, np.asfortranarray, lambda a: np.repeat(a, 2, -1)[..., ::2]):
        ends = follow_flows(convert(flows), convert(cellprob), tolerance=0)[0]
        np.testing.assert_array_equal(ends, expected)


def test_the_tolerance_bounds_what_is_cut_off_outside_traps():
    # Towards x = 3 by half the rest each step, on a line that no trap covers: the border.
    flows = np.zeros((2, 2, 8), np.float32)
    flows[1] = 0.5 * (3 - np.arange(8))
    ends, _ = follow_flows(flows, np.ones((2, 8)), tolerance=1e-3)
    assert abs(ends[1] - 3).max() < 2e-3


@pytest.mark.parametrize(
    ("flows", "cellprob"),
    [
        (np.zeros((3, 4, 5)), np.zeros((4, 5))),
        (np.zeros((2, 4, 5)), np.zeros((5, 4))),
        (np.zeros((4, 5)), np.zeros((4, 5))),
        (np.zeros((2, 1, 4, 5)), np.zeros((1, 4, 5))),
    ],
)
def test_sizes_that_do_not_fit_are_refused(flows, cellprob):
    with pytest.raises(LabelError, match=r"expected flows \(2, H, W\) and cellprob \(H, W\)"):
        follow_flows(flows, cellprob)


@pytest.mark.parametrize("walk", [follow_flows, flows_to_labels])
@pytest.mark.parametrize("n_steps", [-1, 0, 2.5, np.nan])
def test_steps_are_counted(walk, n_steps):
    with pytest.raises(ConfigError, match=f"n_steps: expected a whole .* above 0, found {n_steps}"):
        walk(np.zeros((2, 4, 5)), np.ones((4, 5)), n_steps=n_steps)


def test_flows_that_are_not_finite_are_refused_inside_cells_only():
    flows = np.zeros((2, 2, 3))
    flows[0, 0, 0] = np.nan
    flows[1, 1, 1] = np.inf
    cellprob = np.ones((2, 3))
    with pytest.raises(LabelError, match="2 cell pixels have a flow that is NaN or infinite"):
        follow_flows(flows, cellprob)
    cellprob[0, 0] = cellprob[1, 1] = -1
    follow_flows(flows, cellprob)


def test_a_pixel_of_unknown_probability_is_no_cell():
    assert follow_flows(np.zeros((2, 1, 2)), np.array([[np.nan, 1]]))[1].tolist() == [[0], [1]]


@pytest.mark.parametrize("walk", [follow_flows, flows_to_labels])
@pytest.mark.parametrize("tolerance", [-1e-3, np.nan])
def test_a_tolerance_below_0_is_refused(walk, tolerance):
    with pytest.raises(ConfigError, match=f"tolerance: expected 0 or more .* found {tolerance}"):
        walk(np.zeros((2, 4, 5)), np.ones((4, 5)), tolerance=tolerance)


@pytest.mark.reference
@pytest.mark.needs_jit
@pytest.mark.parametrize("n_steps", [1, 13, 200])
def test_exact_ends_are_cellposes_bit_for_bit(n_steps, rng):
    from cellpose import dynamics

    flows = rng.standard_normal((2, 60, 70)).astype(np.float32)
    cellprob = rng.standard_normal((60, 70)).astype(np.float32)
    inside = cellprob > 0
    theirs = dynamics.follow_flows(flows * inside, np.nonzero(inside), niter=n_steps)
    ours, pixels = follow_flows(flows, cellprob, n_steps=n_steps, tolerance=0)
    np.testing.assert_array_equal(pixels, np.nonzero(inside))
    np.testing.assert_array_equal(ours, theirs)
