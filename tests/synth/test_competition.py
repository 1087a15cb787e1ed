import csv
import hashlib

import pytest

from cellflow.data.kaggle import COLUMNS, open_kaggle, plate_and_well, read_train_csv
from cellflow.data.submission import read_submission
from cellflow.errors import ConfigError, DataError
from cellflow.synth import competition
from cellflow.synth.competition import CYCLE, PER_WELL, SynthImage, write_competition
from cellflow.synth.samples import draw_field


@pytest.fixture
def quick(monkeypatch):
    """Make every field one of cortical cells, which are the fastest."""
    monkeypatch.setattr(competition, "draw_field", lambda _, rng: draw_field("cort", rng))


def _digest(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_folder_opens_as_the_competitions_with_every_column_filled(tmp_path):
    folder = write_competition(tmp_path / "é ü", 4, 5, n_test_images=1)
    dataset = open_kaggle(folder)
    assert len(dataset) == len(dataset.annotated) == 4
    assert dataset.remarks == ()
    assert sorted(entry.cell_type for entry in dataset) == sorted(CYCLE)
    with (folder / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert all(all(row.values()) for row in rows)
    assert {(row["width"], row["height"]) for row in rows} == {("704", "520")}
    for entry in dataset:
        sample = entry.load()
        assert sample.image.shape == sample.masks.shape == (520, 704)
    assert {entry.group for entry in dataset} == {plate_and_well(row["sample_id"]) for row in rows}


def test_the_test_images_have_their_truth_apart(tmp_path, quick):
    folder = write_competition(tmp_path / "x", 1, 0, n_test_images=2)
    truth = read_train_csv(folder / "test.csv")
    assert truth.keys() == {path.stem for path in (folder / "test").iterdir()}
    assert truth.keys().isdisjoint(read_train_csv(folder / "train.csv"))
    empty = read_submission(folder / "sample_submission.csv")
    assert empty.keys() == truth.keys()
    assert all(len(masks) == 0 for masks in empty.values())


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path, quick):
    first, again, other = (
        _digest(write_competition(tmp_path / name, 2, seed, n_test_images=1))
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again
    assert first.keys() != other.keys()


def test_more_images_do_not_change_the_first_ones(tmp_path, quick):
    small = _digest(write_competition(tmp_path / "x", 1, 1, n_test_images=1))
    large = _digest(write_competition(tmp_path / "x", 3, 1, n_test_images=2))
    pictures = {name for name in small if name.endswith(".png")}
    assert {name: large[name] for name in pictures} == {name: small[name] for name in pictures}
    assert len([name for name in large if name.endswith(".png")]) == 5


def test_a_folder_that_has_not_grown_to_the_end_has_no_table_of_fewer_images(tmp_path, quick):
    folder = write_competition(tmp_path / "x", 1, 1, n_test_images=1)

    def stop(done, numbers):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_competition(folder, 3, 1, n_test_images=1, report=stop)
    assert not list(folder.glob("*.csv"))
    assert len(open_kaggle(write_competition(folder, 3, 1, n_test_images=1)).annotated) == 3
    # Nothing is taken away where nothing is added.
    with pytest.raises(KeyboardInterrupt):
        write_competition(folder, 3, 1, n_test_images=1, report=stop)
    assert len(open_kaggle(folder).annotated) == 3


def test_without_test_images_there_is_no_test_table(tmp_path, quick):
    folder = write_competition(tmp_path / "x", 1, 0, n_test_images=0)
    assert not (folder / "test.csv").exists()
    assert (folder / "sample_submission.csv").read_text(encoding="utf-8") == "id,predicted\n"


@pytest.mark.parametrize(("n_images", "n_test", "seed"), [(2, 1, 7), (1, 0, 1)])
def test_a_folder_of_another_set_is_left_alone(tmp_path, quick, n_images, n_test, seed):
    folder = write_competition(tmp_path / "x", 2, 1, n_test_images=1)
    before = _digest(folder)
    with pytest.raises(DataError, match=r"holds 2 \+ 1 synthetic images of seed 1"):
        write_competition(folder, n_images, seed, n_test_images=n_test)
    assert _digest(folder) == before


def test_a_folder_with_anything_else_is_refused(tmp_path):
    (tmp_path / "train.csv").write_text("id\n", encoding="utf-8")
    with pytest.raises(DataError, match="is not empty"):
        write_competition(tmp_path, 1, 0)
    with pytest.raises(DataError, match="is not empty"):
        write_competition(tmp_path / "train.csv", 1, 0)


def test_a_damaged_record_is_refused(tmp_path):
    (tmp_path / "synth.json").write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match="is damaged"):
        write_competition(tmp_path, 1, 0)


@pytest.mark.parametrize(("n_images", "n_test", "seed"), [(0, 3, 0), (1, -1, 0), (1, 0, -4)])
def test_impossible_numbers_are_refused(tmp_path, n_images, n_test, seed):
    with pytest.raises(ConfigError, match="at least 1 training image"):
        write_competition(tmp_path / "x", n_images, seed, n_test_images=n_test)
    assert not (tmp_path / "x").exists()


def test_wells_hold_images_of_one_type_and_training_shares_none_with_test():
    wells: dict[str, list[str]] = {}
    plates = []
    for part in ("train", "test"):
        images = [SynthImage(seed=0, part=part, index=index) for index in range(900)]
        assert len({image.name for image in images}) == 900
        groups = [plate_and_well(image.metadata["sample_id"]) for image in images]
        plates.append(set(groups))
        for image, group in zip(images, groups, strict=True):
            wells.setdefault(group, []).append(image.cell_type)
    assert plates[0].isdisjoint(plates[1])
    assert all(len(types) <= PER_WELL and len(set(types)) == 1 for types in wells.values())


def test_progress_is_reported_to_the_end(tmp_path, quick):
    seen = []
    write_competition(tmp_path / "x", 2, 0, n_test_images=1, report=lambda *step: seen.append(step))
    assert seen == [(done, {"total": 3}) for done in (1, 2, 3)]
