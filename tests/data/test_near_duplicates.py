import numpy as np
import pytest

from cellflow.data.dataset import Dataset, Entry
from cellflow.data.entrance import open_dataset
from cellflow.data.folds import Fold, Folds, leak_report, make_folds
from cellflow.data.images import write_png
from cellflow.data.near_duplicates import find_near_duplicates


def cells_at(rng, n=60, shape=(260, 352)):
    """Small bright blobs at random places."""
    image = np.zeros(shape)
    for y, x in zip(
        rng.integers(4, shape[0] - 4, n), rng.integers(4, shape[1] - 4, n), strict=True
    ):
        image[y - 3 : y + 3, x - 3 : x + 3] += rng.uniform(40, 120)
    return image


def entries_of(folder, images):
    made = []
    for name, image in images.items():
        path = folder / f"{name}.png"
        write_png(path, image.clip(0, 255).astype(np.uint8))
        made.append(Entry(name=name, image_path=path, read_masks=lambda: None))
    return made


@pytest.fixture
def images(rng):
    """Six fields; "c" is "b" moved by (-9, 14), with other noise and a third of its cells gone."""
    fields = {name: cells_at(rng) for name in "abdefg"}
    later = np.roll(fields["b"], (-9, 14), (0, 1))
    later[:, :117] = 0
    shading = 60 * np.linspace(0, 1, 352)
    return {
        name: 70 + shading + field + rng.normal(0, 8, field.shape)
        for name, field in sorted({**fields, "c": later}.items())
    }


def test_the_same_field_is_found_though_moved_changed_and_noisy(images, tmp_path):
    assert find_near_duplicates(entries_of(tmp_path, images)) == [(1, 2)]


def test_common_shading_and_flat_images_are_no_pair(rng, tmp_path):
    shading = 60 + 120 * np.linspace(0, 1, 352) * np.ones((260, 1))
    flat = np.full((260, 352), 90.0)
    images = {
        "a": shading + rng.normal(0, 5, flat.shape),
        "b": shading + rng.normal(0, 5, flat.shape),
    }
    assert find_near_duplicates(entries_of(tmp_path, {**images, "c": flat, "d": flat + 1})) == []


def test_folds_keep_the_same_field_together_and_a_leak_is_reported(images, tmp_path):
    dataset = Dataset(root=tmp_path, layout="images", entries=tuple(entries_of(tmp_path, images)))
    for seed in range(4):
        folds = make_folds(dataset, 3, seed)
        assert leak_report(dataset, folds) == []
        assert all(("b" in fold.validation) == ("c" in fold.validation) for fold in folds.folds)
    split = Fold(train=("a", "c"), validation=("b",))
    leaking = Folds(how="", seed=0, data_hash="", folds=(split,))
    assert leak_report(dataset, leaking) == ["fold 0: b shows the same field as c"]


@pytest.mark.real_data
def test_one_pair_of_the_real_competition_images_shows_the_same_field(real_data):
    entries = open_dataset(real_data / "sartorius").annotated
    pairs = find_near_duplicates(entries)
    assert [{entries[i].name for i in pair} for pair in pairs] == [{"232c47d31333", "e33da393df22"}]


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["livecell", "usiigaci_phase", "dsb2018"])
def test_no_two_fields_of_other_data_are_taken_for_the_same(real_data, name):
    assert find_near_duplicates(open_dataset(real_data / name).annotated) == []
