"""Training examples: the same whoever makes them, with cells where the picture shows them."""

from dataclasses import replace

import numpy as np
import pytest

from cellflow.baselines.examples import ExampleSource
from cellflow.baselines.presets import preset
from cellflow.config import AugmentConfig
from cellflow.errors import DataError
from cellflow.training.batches import load_ahead


@pytest.fixture
def source(disc_entries):
    """Make a source; ``source(level="full", mosaic=1.0)`` sets the augmentation."""

    def make(n=3, is_flat=False, cache_megabytes=64, **augment):
        config = preset("unet")
        config = replace(
            config,
            training=replace(
                config.training, batch_size=2, crop_height=64, crop_width=64,
                cache_megabytes=cache_megabytes,
            ),
            augment=AugmentConfig(**{"level": "flip+resize", **augment}),
        )  # fmt: skip
        return ExampleSource(
            entries=disc_entries(n), kinds=[0, 1, 2][:n], config=config, is_flat=is_flat
        )

    return make


def same(one, other):
    return (
        np.array_equal(one.image, other.image)
        and np.array_equal(one.truth.masks, other.truth.masks)
        and one.kind == other.kind
    )


@pytest.mark.parametrize("level", ["none", "report", "full"])
def test_an_iteration_is_a_function_of_its_number(source, level):
    first, again = source(level=level), source(level=level)
    batches = [first.batch(k) for k in range(4)]
    stream = load_ahead(again.batch, 2, n_threads=2)
    for expected in batches[2:]:
        assert all(map(same, expected, next(stream)))
    stream.close()
    assert not all(map(same, batches[0], batches[1]))


def test_without_room_in_memory_the_examples_are_the_same(source):
    kept, read = source(), source(cache_megabytes=0)
    assert all(
        same(*pair) for k in range(3) for pair in zip(kept.batch(k), read.batch(k), strict=True)
    )
    assert read.in_memory.n_bytes == 0


def test_every_image_is_seen_once_before_one_is_seen_twice(source):
    kinds = [example.kind for k in range(3) for example in source().batch(k)]
    assert sorted(kinds[:3]) == sorted(kinds[3:]) == [0, 1, 2]


@pytest.mark.parametrize("level", ["flip+resize", "report", "full"])
def test_cells_lie_where_the_picture_is_bright(source, level):
    brighter = []
    for k in range(6):
        for example in source(level=level, cutout=0.0, noise=0.0).batch(k):
            cells = example.truth.masks.any(axis=0)
            around = ~cells & example.inside
            assert cells.any()
            brighter.append(example.image[0][cells].mean() > example.image[0][around].mean() + 0.5)
    assert all(brighter)


def test_a_mosaic_has_the_cells_of_four_pieces_that_end_at_the_seams(source):
    for example in source(mosaic=1.0).batch(0):
        assert example.image.shape == (1, 64, 64)
        assert len(example.truth.masks) > 3
        assert np.isfinite(example.truth.boxes).all()


def test_cells_that_a_hole_hides_are_not_asked_for(source):
    hidden = 0
    for k in range(8):
        plain = source(level="none").batch(k)
        for before, after in zip(
            plain, source(level="none", cutout=0.9, probability=1.0).batch(k), strict=True
        ):
            hole = after.weights == 0
            for mask in after.truth.masks > 0:
                assert (mask & hole).sum() <= 0.5 * mask.sum()
            hidden += len(before.truth.masks) - len(after.truth.masks)
    assert hidden > 0


def test_truth_that_is_flattened_does_not_overlap(source):
    for example in source(is_flat=True).batch(0):
        assert example.truth.masks.sum(axis=0).max() == 1


def test_an_image_without_truth_is_told(source, disc_entries):
    broken = source(n=1)
    broken.entries = [replace(disc_entries(1)[0], read_masks=None)]
    with pytest.raises(DataError, match="image disc1-0: has no truth"):
        broken.batch(0)
