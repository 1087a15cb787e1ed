import numpy as np
import pytest

from cellflow.synth.raster import draw_discs, draw_lines, fill_outline


def test_a_triangle_holds_the_pixels_whose_centres_lie_inside():
    triangle = np.array([(-0.5, -0.5), (-0.5, 4.5), (4.5, -0.5)])
    drawn = np.array(
        [
            [1, 1, 1, 1, 0],
            [1, 1, 1, 0, 0],
            [1, 1, 0, 0, 0],
            [1, 0, 0, 0, 0],
            [0, 0, 0, 0, 0],
        ],
        bool,
    )
    # A centre exactly on the slanting edge belongs to the outside, as on any right edge.
    np.testing.assert_array_equal(fill_outline(triangle, 0, 0, (5, 5)), drawn)


def test_two_outlines_with_a_common_edge_share_no_pixel_and_leave_none_out():
    left = np.array([(-1.0, -1.0), (-1.0, 3.0), (6.0, 5.0), (6.0, -1.0)])
    right = np.array([(-1.0, 3.0), (-1.0, 9.0), (6.0, 9.0), (6.0, 5.0)])
    both = fill_outline(left, 0, 0, (6, 9)).astype(int) + fill_outline(right, 0, 0, (6, 9))
    assert (both == 1).all()


def test_an_outline_that_crosses_itself_leaves_out_what_it_goes_around_twice():
    twice = np.array([(0, 0), (0, 8), (8, 8), (8, 2), (4, 2), (4, 6), (2, 6), (2, 0)]) - 0.5
    crossing = np.concatenate([twice, np.array([(3, 0), (3, 4), (0, 4)]) - 0.5])
    assert fill_outline(crossing, 0, 0, (8, 8)).sum() < fill_outline(twice, 0, 0, (8, 8)).sum()


def test_a_window_shows_its_part_of_the_outline_and_cuts_the_rest():
    square = np.array([(2.5, 2.5), (2.5, 30.0), (30.0, 30.0), (30.0, 2.5)])
    window = fill_outline(square, 2, 2, (3, 3))
    np.testing.assert_array_equal(window, [[0, 0, 0], [0, 1, 1], [0, 1, 1]])


@pytest.mark.parametrize("outline", [np.zeros((0, 2)), np.zeros((1, 2)), np.full((5, 2), 3.0)])
def test_an_outline_without_area_holds_nothing(outline):
    assert not fill_outline(outline, 0, 0, (6, 6)).any()


def test_a_line_is_highest_on_its_axis_and_crossing_lines_do_not_add_up():
    layer = np.zeros((9, 9), np.float32)
    points = np.array([(4.0, 0.0), (4.0, 8.0), (0.0, 4.0), (8.0, 4.0)])
    draw_lines(points, np.ones(4), np.full(4, 0.5), np.array([0, 2, 4]), layer)
    assert layer.max() == layer[4, 4] == np.float32(0.5)
    assert layer[3, 1] == pytest.approx(0.5 * np.exp(-1))
    assert layer[0, 0] == 0


def test_discs_add_up_and_may_leave_the_image():
    layer = np.zeros((5, 5), np.float32)
    centres = np.array([(2.0, 2.0), (2.0, 2.0), (-1.0, -1.0), (40.0, 2.0)])
    draw_discs(centres, np.full(4, 2.0), np.array([1.0, 1.0, 1.0, 1.0]), layer)
    assert layer[2, 2] == 2.0
    assert layer[0, 0] == pytest.approx(0.5)
    assert layer[4, 4] == 0
