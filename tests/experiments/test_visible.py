"""What the data can tell apart, beside the numbers of others."""

import math

from cellflow.experiments.plan import Reported
from cellflow.experiments.results import Difference
from cellflow.experiments.visible import visibility
from cellflow.interval import Interval


def difference(estimate, error, n_images=32, p_value=0.01):
    interval = Interval(estimate=estimate, low=estimate - 2 * error, high=estimate + 2 * error)
    return Difference(
        interval=interval,
        standard_error=error,
        freedom=math.inf,
        n_groups=n_images,
        p_value=p_value,
        n_images=n_images,
    )


def test_the_smallest_visible_difference_shrinks_with_the_root_of_the_images():
    (line,) = [one for one in visibility([("b", difference(0.0, 0.01))], []) if "80 %" in one]
    sizes = {n: 2.8016 * 0.01 * math.sqrt(32 / n) for n in (32, 119, 240, 606)}
    told = ", ".join(f"{size:.3f} with {n}" for n, size in sizes.items())
    assert told in line


def test_who_is_beyond_chance_is_said_by_interval_and_p_for_all_comparisons():
    lines = visibility([("b", difference(0.05, 0.01)), ("c", difference(0.0, 0.01))], [])
    assert lines[0] == "'b' is above the first variant beyond chance on these images."
    three = [(name, difference(0.05, 0.01, p_value=0.02)) for name in "bcd"]
    assert (
        visibility(three, [])[0]
        == "On these images no variant can be distinguished from the first one."
    )
    assert visibility(three[:2], [])[1].startswith("'c' is above the first variant beyond chance")
    assert not any("'c'" in line for line in lines)
    (alone,) = [
        one for one in visibility([("c", difference(0, 0.01))], []) if "distinguished" in one
    ]
    assert alone == "On these images no variant can be distinguished from the first one."


def test_the_numbers_of_others_stand_beside_with_whether_these_images_could_show_them():
    reported = [
        Reported(name="Mask R-CNN", score=0.307, note="public"),
        Reported(name="Cellpose", score=0.300, minutes=30.0),
        Reported(name="none", score=0.210),
    ]
    lines = visibility([("b", difference(0.0, 0.01))], reported)
    assert "Mask R-CNN 0.307 (public); Cellpose 0.3 (30 min); none 0.21" in lines[-3]
    assert "Cellpose − Mask R-CNN is -0.007: 32 images such as these could not show" in lines[-2]
    assert "none − Mask R-CNN is -0.097: 32 images such as these could show" in lines[-1]


def test_a_single_group_of_images_tells_nothing():
    nan = math.nan
    blind = Difference(
        interval=Interval(estimate=0.1, low=nan, high=nan),
        standard_error=nan,
        freedom=0.0,
        n_groups=1,
        p_value=0.25,
        n_images=3,
    )
    assert visibility([("b", blind)], []) == [
        "On these images no variant can be distinguished from the first one."
    ]
    assert visibility([], []) == []
