"""Folds: every image held out once, wells and copies together, the same for all models."""

import json
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellflow.data import folds as folds_room
from cellflow.data import independence
from cellflow.data.coco import open_coco
from cellflow.data.dataset import Dataset, Entry
from cellflow.data.folds import (
    Fold,
    Folds,
    describe_folds,
    export_folds,
    leak_report,
    make_folds,
    make_holdout,
    no_leak,
    read_folds,
    write_folds,
)
from cellflow.data.images import write_png
from cellflow.data.rle import dense_to_masks
from cellflow.errors import ConfigError, DataError


def masks():
    stack = np.zeros((2, 4, 5), bool)
    stack[0, 1:3, 1:4] = stack[1, 2:, 3:] = True
    return dense_to_masks(stack)


def dataset(folder, kinds, groups=None, pixels=None):
    """One image an element; `pixels` tells which images are copies of each other."""
    entries = []
    for number, kind in enumerate(kinds):
        value = number if pixels is None else pixels[number]
        path = folder / f"i{number:03d}.png"
        write_png(path, np.full((4, 5), value, np.uint8))
        group = None if groups is None else groups[number]
        entries.append(
            Entry(
                name=path.stem, image_path=path, read_masks=masks, cell_type=kind,
                group=None if group is None else str(group),
            )
        )  # fmt: skip
    return Dataset(root=folder, layout="kaggle", entries=tuple(entries))


def test_each_image_is_held_out_once_and_types_are_spread(tmp_path):
    data = dataset(tmp_path, ["cort"] * 10 + ["astro"] * 5)
    folds = make_folds(data, 5, seed=0)
    assert sorted(n for fold in folds.folds for n in fold.validation) == [e.name for e in data]
    kinds = {entry.name: entry.cell_type for entry in data}
    for fold in folds.folds:
        assert Counter(kinds[name] for name in fold.validation) == {"cort": 2, "astro": 1}
        assert not set(fold.train) & set(fold.validation)
        assert len(fold.train) + len(fold.validation) == 15


@settings(max_examples=25)
@given(
    groups=st.lists(st.one_of(st.none(), st.integers(0, 5)), min_size=8, max_size=14),
    pixels=st.lists(st.integers(0, 9), min_size=14, max_size=14),
    seed=st.integers(0, 5),
)
def test_wells_and_copies_never_lie_on_both_sides(tmp_path_factory, groups, pixels, seed):
    data = dataset(tmp_path_factory.mktemp("d"), ["cort"] * len(groups), groups, pixels)
    try:
        folds = make_folds(data, 2, seed)
    except DataError:
        # All hang together.
        return
    assert leak_report(data, folds) == []
    assert leak_report(data, make_holdout(data, 0.3, seed)) == []


def test_leaks_of_folds_from_elsewhere_are_told(tmp_path):
    data = dataset(tmp_path, ["cort"] * 4, [1, 1, 2, 3], [0, 1, 2, 2])
    fold = Fold(train=("i000", "i002"), validation=("i001", "i003"))
    folds = Folds(how="by hand", seed=0, data_hash="", folds=(fold,))
    assert leak_report(data, folds) == [
        "fold 0: i001 is of the same plate and well as i000 (1)",
        "fold 0: i003 has the same pixels as i002",
    ]


def test_leaks_are_found_among_many_images_at_once(monkeypatch, tmp_path):
    n = 4000
    entries = tuple(
        Entry(name=f"i{k:05d}", image_path=tmp_path, read_masks=masks, group=str(k // 2))
        for k in range(n)
    )
    data = Dataset(root=tmp_path, layout="kaggle", entries=entries)
    monkeypatch.setattr(folds_room, "hash_images", lambda some: {e.name: e.name for e in some})
    names = [entry.name for entry in entries]
    folds = Folds(
        how="by hand",
        seed=0,
        data_hash="",
        folds=(Fold(train=tuple(names[::2]), validation=tuple(names[1::2])),) * 5,
    )
    started = time.process_time()
    leaks = leak_report(data, folds)
    # Pair by pair, this took 20 s.
    assert time.process_time() - started < 5
    assert len(leaks) == 5 * n // 2
    assert leaks[0] == "fold 0: i00001 is of the same plate and well as i00000 (0)"


def test_the_seed_decides_and_the_order_of_files_does_not(tmp_path):
    data = dataset(tmp_path, ["cort", "astro"] * 8)
    assert make_folds(data, 4, 1) == make_folds(data, 4, 1)
    assert make_folds(data, 4, 1).folds != make_folds(data, 4, 2).folds


def test_a_share_is_held_out_of_every_type(tmp_path):
    data = dataset(tmp_path, ["cort"] * 10 + ["astro"] * 3 + ["shsy5y"])
    (fold,) = make_holdout(data, 0.2, seed=3).folds
    kinds = {entry.name: entry.cell_type for entry in data}
    # The only image of a type stays in training.
    assert Counter(kinds[name] for name in fold.validation) == {"cort": 2, "astro": 1}


def test_a_share_does_not_favour_large_groups_and_the_seed_decides(tmp_path):
    groups = [0] * 8 + list(range(1, 33))
    data = dataset(tmp_path, ["cort"] * 40, groups)
    chosen = [make_holdout(data, 0.2, seed).folds[0].validation for seed in range(20)]
    assert {len(names) for names in chosen} <= {8, 9, 10, 11, 12}
    with_large = sum("i000" in names for names in chosen)
    assert 0 < with_large < 20
    assert len(set(chosen)) > 10


def test_when_no_group_fits_the_smallest_is_held_out(tmp_path):
    data = dataset(tmp_path, ["cort"] * 9, [0] * 5 + [1] * 4)
    for seed in range(4):
        assert len(make_holdout(data, 0.2, seed).folds[0].validation) == 4


def test_a_share_that_leaves_nothing_to_train_on_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"0\.9 leaves none of 2 images to train on"):
        make_holdout(dataset(tmp_path, ["cort"] * 2), 0.9, 0)


@pytest.mark.parametrize("share", [0, 1, -0.2, 1.5])
def test_a_share_is_between_0_and_1(tmp_path, share):
    with pytest.raises(ConfigError, match="expected a share between 0 and 1"):
        make_holdout(dataset(tmp_path, ["cort"] * 3), share, 0)


def test_too_many_folds_are_refused(tmp_path):
    data = dataset(tmp_path, ["cort"] * 4, [1, 1, 2, 2])
    with pytest.raises(DataError, match="2 independent groups of images are too few for 3 folds"):
        make_folds(data, 3, 0)
    with pytest.raises(ConfigError, match="two folds or more, found 1"):
        make_folds(data, 1, 0)


def test_a_file_of_folds_is_for_its_own_images_only(tmp_path):
    data = dataset(tmp_path / "a", ["cort"] * 6)
    folds = make_folds(data, 3, 0)
    write_folds(tmp_path / "f.json", folds)
    assert read_folds(tmp_path / "f.json", data) == folds
    other = dataset(tmp_path / "b", ["cort"] * 6, pixels=[9, 8, 7, 6, 5, 4])
    with pytest.raises(DataError, match=r"f\.json was made for other images than those in"):
        read_folds(tmp_path / "f.json", other)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"folds": 3}'),
        '{"format": 1, "how": "", "seed": 0, "data_hash": "", "folds": '
        '[{"train": [["a"], 1], "validation": []}]}',
    ],
)
def test_a_broken_file_of_folds_is_named(tmp_path, text):
    (tmp_path / "f.json").write_text(text)
    with pytest.raises(DataError, match=r"f\.json: (broken|not a folds file)"):
        read_folds(tmp_path / "f.json")
    with pytest.raises(DataError, match="cannot read"):
        read_folds(tmp_path / "none.json")


def test_an_image_on_both_sides_of_a_fold_is_refused(tmp_path):
    data = dataset(tmp_path, ["cort"] * 4)
    folds = make_folds(data, 2, 0)
    both = Fold(train=folds.folds[0].train, validation=folds.folds[0].train[:1])
    write_folds(tmp_path / "f.json", replace(folds, folds=(folds.folds[1], both)))
    with pytest.raises(
        DataError, match=f"fold 1 has {both.validation[0]} both in training and in validation"
    ):
        read_folds(tmp_path / "f.json", data)


def test_a_fold_of_an_image_that_is_not_there_is_refused(tmp_path):
    data = dataset(tmp_path, ["cort"] * 4)
    folds = make_folds(data, 2, 0)
    more = replace(folds.folds[1], validation=(*folds.folds[1].validation, "other"))
    write_folds(tmp_path / "f.json", replace(folds, folds=(folds.folds[0], more)))
    with pytest.raises(DataError, match="fold 1 has other, which is not an annotated image"):
        read_folds(tmp_path / "f.json", data)


def test_folds_of_a_newer_version_are_refused(tmp_path):
    (tmp_path / "f.json").write_text('{"format": 2, "parts": []}')
    with pytest.raises(DataError, match=r"written by a newer cellflow.*; make the folds again"):
        read_folds(tmp_path / "f.json")


def test_a_folder_without_truth_cannot_be_split(tmp_path):
    data = Dataset(root=tmp_path, layout="images", entries=())
    with pytest.raises(DataError, match="no annotated image to split"):
        make_folds(data, 2, 0)
    with pytest.raises(DataError, match="no annotated image to split"):
        make_holdout(data, 0.2, 0)


def test_each_side_is_exported_with_overlaps_and_three_categories(tmp_path):
    data = dataset(tmp_path, ["cort", "astro"] * 3)
    folds = make_folds(data, 2, 0)
    paths = export_folds(data, folds, tmp_path / "out")
    assert [path.name for path in paths] == [
        "fold0_train.json", "fold0_validation.json", "fold1_train.json", "fold1_validation.json",
    ]  # fmt: skip
    content = json.loads(paths[1].read_text())
    names = [Path(image["file_name"]).stem for image in content["images"]]
    assert names == list(folds.folds[0].validation)
    assert len(content["categories"]) == 3
    # Beside the pictures it opens as any COCO file does.
    (tmp_path / "again.json").write_bytes(paths[1].read_bytes())
    again = open_coco(tmp_path / "again.json")
    assert [entry.name for entry in again] == list(folds.folds[0].validation)
    assert again.entries[0].load().masks.areas.tolist() == masks().areas.tolist()


def test_ids_and_category_numbers_are_the_same_in_all_files_of_a_data_set(tmp_path):
    data = dataset(tmp_path, ["a172", "a172", "bt474", "bt474", "huh7", "huh7"])
    # One side lacks a type that the other has.
    names = [entry.name for entry in data]
    folds = replace(make_folds(data, 2, 0), folds=(Fold(train=names[:4], validation=names[2:]),))
    train, validation = (
        json.loads(path.read_text()) for path in export_folds(data, folds, tmp_path / "out")
    )
    assert train["categories"] == validation["categories"]
    assert [one["name"] for one in train["categories"]] == ["a172", "bt474", "huh7"]
    assert [image["id"] for image in train["images"]] == [1, 2, 3, 4]
    assert [image["id"] for image in validation["images"]] == [3, 4, 5, 6]


def test_images_outside_the_folder_are_exported_by_their_whole_path(tmp_path):
    data = replace(dataset(tmp_path / "pictures", ["cort"] * 4), root=tmp_path / "annotations")
    paths = export_folds(data, make_folds(data, 2, 0), tmp_path / "out")
    again = open_coco(paths[0])
    assert [entry.image_path.parent for entry in again] == [tmp_path / "pictures"] * 2


def test_the_description_counts_types(tmp_path):
    data = dataset(tmp_path, ["cort", "astro"] * 2, [1, 2, 3, 4])
    lines = describe_folds(data, make_folds(data, 2, 5))
    assert lines[0] == (
        "2 folds, stratified by cell type, plate + well kept together, "
        "identical images kept together, seed 5"
    )
    assert lines[1] == "fold 0: 2 training, 2 validation (1 astro, 1 cort)"
    data = dataset(tmp_path, ["cort", "astro"] * 2)
    assert (
        "no groups known (such as plate + well)" in describe_folds(data, make_folds(data, 2, 5))[0]
    )


def test_that_fields_were_not_looked_for_is_said(tmp_path, monkeypatch):
    entries = tuple(Entry(name=f"i{k}", image_path=tmp_path, read_masks=list) for k in range(4))
    data = Dataset(root=tmp_path, layout="folder", entries=entries)
    assert no_leak(data).startswith("no leak: training and validation share no pixels, no field")
    monkeypatch.setattr(independence, "MOST_IMAGES", 3)
    assert "shared fields were not looked for" in no_leak(data)
