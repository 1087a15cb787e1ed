"""Detectors that stop at a largest number of objects."""

from cellflow.comparison.count_limits import count_limit_remarks


def remarks(counts, kinds):
    names = [f"i{k}" for k in range(len(counts))]
    return count_limit_remarks(
        "rcnn", dict(zip(names, counts, strict=True)), dict(zip(names, kinds, strict=True))
    )


def test_three_images_with_the_same_largest_count_are_a_limit():
    first, second = remarks([60, 60, 60, 3], ["cort"] * 4)
    assert first == (
        "rcnn has exactly 60 cells on 3 images (3 of cort): a limit of its detector, not a finding"
    )
    assert second == (
        "no conclusion about cort from 4 images: rcnn stops at exactly 60 cells on 3 of them"
    )


def test_two_images_are_enough_at_a_usual_limit_only():
    assert remarks([100, 100, 3], ["cort"] * 3)
    assert not remarks([101, 101, 3], ["cort"] * 3)


def test_equal_counts_of_few_cells_or_different_large_ones_are_no_limit():
    assert not remarks([12, 12, 12, 12], ["cort"] * 4)
    assert not remarks([100, 101, 102, 400], ["cort"] * 4)


def test_a_type_of_which_most_images_are_below_the_limit_is_still_spoken_of():
    found = remarks([100, 100, 3, 4, 5, 100], ["a", "a", "a", "a", "a", "b"])
    assert [one for one in found if one.startswith("no conclusion")] == [
        "no conclusion about b from 1 image: rcnn stops at exactly 100 cells on 1 of them"
    ]


def test_images_of_unknown_type_are_dense_ones():
    assert "no conclusion about dense images" in remarks([100] * 3, [None] * 3)[1]
