"""What a run trains on: the rescaling of each image, by what the settings say."""

from dataclasses import replace

import pytest

from cellflow.config import Config, NetworkConfig, TrainingConfig
from cellflow.data.dataset import Dataset
from cellflow.training import materials
from cellflow.training.materials import gather_materials
from cellflow.training.split import Split


@pytest.fixture
def gathered(disc_entries, tmp_path, monkeypatch):
    """Gather two images of small cells and one of large ones, of types a, a and b."""

    def make(rescaling):
        small, large = disc_entries(2, radius=3), disc_entries(4, radius=7)[3:]
        entries = [replace(e, cell_type="ab"[k // 2]) for k, e in enumerate([*small, *large])]
        dataset = Dataset(root=tmp_path, layout="drawn", entries=tuple(entries))
        monkeypatch.setattr(materials, "open_annotated", lambda folder, layout: dataset)
        split = Split(train=[e.name for e in entries], validation=[], reason="none")
        config = Config(
            network=NetworkConfig(diam_mean=20.0), training=TrainingConfig(rescaling=rescaling)
        )
        return gather_materials(tmp_path, config, split), config

    return make


def test_each_image_is_rescaled_by_what_the_settings_say(gathered):
    def sizes(rescaling):
        return [round(20 / scale, 1) for scale in gathered(rescaling)[0].rescales]

    small, large = 6.1, 13.8  # diameters of the discs' areas of 29 and 149 pixels
    assert sizes("image") == [small, small, large]
    assert sizes("cell_type") == [small, small, large]
    assert sizes("dataset") == [small, small, small]


def test_a_setting_that_changes_the_result_and_cell_types_change_the_key_of_a_run(gathered):
    found, config = gathered("image")
    other = replace(config, training=replace(config.training, style=False))
    assert found.run_key(other) != found.run_key(config)
    typed = replace(found, train=tuple(
        replace(fact, entry=replace(fact.entry, cell_type="other")) for fact in found.train
    ))  # fmt: skip
    assert typed.run_key(config) != found.run_key(config)


def test_a_cell_type_is_rescaled_by_all_its_cells(gathered, disc_entries):
    found, config = gathered("cell_type")
    kinds = [replace(f.entry, cell_type="a") for f in found.train]
    facts = [replace(f, entry=e) for f, e in zip(found.train, kinds, strict=True)]
    scales = materials._rescales(facts, config, 99.0)
    assert len(set(scales)) == 1
    assert any(
        "resizes images by the diameter of their cell type" in line
        for line in found.describe(config)
    )


def test_a_name_in_two_folders_may_have_its_cell_type_in_one_of_them(gathered):
    found, config = gathered("image")
    fact = found.train[0]
    untyped = replace(fact, entry=replace(fact.entry, cell_type=None))
    typed = replace(found, extra=(fact,)).run_key(config)
    assert replace(found, extra=(untyped,)).run_key(config) != typed
    both = replace(found, extra=(fact, untyped)).run_key(config)
    assert replace(found, extra=(untyped, fact)).run_key(config) == both
