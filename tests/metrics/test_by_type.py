"""Images are sorted by cell type; those without one belong to none."""

from cellflow.metrics.by_type import indices_by_type


def test_types_are_in_alphabetical_order_and_images_without_one_are_in_none():
    kinds = ["shsy5y", None, "astro", "", "shsy5y"]
    assert list(indices_by_type(kinds).items()) == [("astro", [2]), ("shsy5y", [0, 4])]


def test_without_types_there_is_nothing():
    assert indices_by_type([None, None]) == indices_by_type([]) == {}
