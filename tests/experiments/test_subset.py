"""Some of the training images: nested, stratified, and the same for whoever asks."""

from pathlib import Path

import pytest

from cellflow.data.dataset import Entry
from cellflow.errors import ConfigError
from cellflow.experiments.subset import check_subset, chosen_images, nested_order

ENTRIES = [
    Entry(name=f"{kind}{k}", image_path=Path("x.png"), cell_type=kind)
    for kind, n in (("astro", 4), ("cort", 8), ("shsy5y", 4))
    for k in range(n)
]


def test_every_beginning_has_the_shares_of_the_cell_types():
    order = nested_order(ENTRIES, 3)
    assert sorted(order) == sorted(entry.name for entry in ENTRIES)
    for n in range(1, len(order) + 1):
        for kind, whole in (("astro", 4), ("cort", 8), ("shsy5y", 4)):
            count = sum(name.startswith(kind) for name in order[:n])
            assert abs(count - n * whole / len(order)) < 1


def test_the_order_depends_on_the_seed_and_not_on_the_order_of_the_entries():
    assert nested_order(ENTRIES, 3) == nested_order(ENTRIES[::-1], 3)
    assert nested_order(ENTRIES, 3) != nested_order(ENTRIES, 4)


def test_fewer_images_are_part_of_more():
    smaller, larger = (chosen_images(ENTRIES, {"n_images": n}, 0) for n in (5, 9))
    assert len(smaller) == 5
    assert set(smaller) < set(larger)
    assert chosen_images(ENTRIES, {"image_share": 0.5}, 0) == chosen_images(
        ENTRIES, {"n_images": 8}, 0
    )


def test_all_seeds_see_the_same_images_unless_told_otherwise():
    same = [chosen_images(ENTRIES, {"n_images": 5}, seed) for seed in (0, 1)]
    assert same[0] == same[1]
    own = {"n_images": 5, "subset_seed": "seed"}
    assert chosen_images(ENTRIES, own, 0) != chosen_images(ENTRIES, own, 1)
    other = {"n_images": 5, "subset_seed": 1}
    assert chosen_images(ENTRIES, other, 0) == chosen_images(ENTRIES, own, 1)


def test_without_a_number_all_are_chosen_and_more_than_all_are_refused():
    assert len(chosen_images(ENTRIES, {"init": "scratch"}, 0)) == 16
    with pytest.raises(ConfigError, match="n_images = 17, but there are 16"):
        chosen_images(ENTRIES, {"n_images": 17}, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_images": 0}, "n_images: expected a whole number, 1 or more, found 0"),
        ({"n_images": True}, "n_images: expected a whole number"),
        ({"image_share": 1.5}, "image_share: expected above 0, at most 1, found 1.5"),
        ({"image_share": 0.5, "n_images": 2}, "give one of them"),
        ({"subset_seed": 1}, "goes with n_images or image_share"),
        ({"n_images": 2, "subset_seed": "x"}, 'expected a whole number or "seed"'),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        check_subset(options)
