"""Tuning finds what is wrong with a model, says honestly what that gains, and writes it down."""

import json
from dataclasses import replace

import numpy as np
import pytest
from played_models import Played, write_images

from cellflow.config import Config
from cellflow.errors import DataError, ModelError
from cellflow.inference.confidence import read_confidence
from cellflow.network.model_folder import read_model_folder
from cellflow.network.thresholds import CellSettings, read_thresholds
from cellflow.tuning import nested
from cellflow.tuning.result import summarize
from cellflow.tuning.tune import tune


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """One model, tuned on eight images of each type: its folder, the result, what was said."""
    folder, said = tmp_path_factory.mktemp("tuned"), []
    data = write_images(folder)
    with pytest.MonkeyPatch.context() as patch:
        path = Played(folder, data, patch)("m", range(16))
        return path, tune([path], data, say=said.append), said


def test_the_boundary_of_one_type_is_corrected_and_the_other_left_alone(tuned):
    _, result, said = tuned
    astro, cort, both = (result.types[kind] for kind in ("astro", "cort", "all"))
    assert (astro.n_images, cort.n_images, both.n_images) == (8, 8, 16)
    assert astro.bias_before.offset.low > 0.7
    assert abs(astro.bias_after.offset.estimate) < 0.2
    assert astro.settings.boundary_shift == -1.0
    assert astro.gain.low > 0.1
    assert cort.settings.boundary_shift == 0
    assert cort.gain.estimate == pytest.approx(0.0, abs=0.01)
    assert abs(both.optimism.estimate) < 0.02
    assert result.told["wrong"] == 0
    assert result.told["right"] > 0.8
    assert "network output is kept in" in said[1]


def test_what_is_chosen_is_written_and_applied(tuned):
    path, result, _ = tuned
    thresholds = read_thresholds(path)
    assert thresholds.tuned
    assert thresholds.of_type("astro") == result.types["astro"].settings
    assert thresholds.of_type("cort") == result.types["cort"].settings
    provenance = thresholds.provenance
    assert provenance.n_images == 16
    assert provenance.scores["nested"] == result.types["all"].nested
    folder = read_model_folder(path)
    assert folder.cell_type_head.record["images"] == {"astro": 8, "cort": 8}
    assert read_confidence(path).record["images_sha256"] == provenance.images_sha256
    card = (path / "README.md").read_text(encoding="utf-8")
    assert card.count("## Tuned thresholds") == 1
    assert f"| astro | 8 | {result.types['astro'].default.estimate:.3f} |" in card
    numbers = json.loads((path / "tuning" / "tuning.json").read_text())
    assert numbers["types"]["astro"]["settings"]["boundary_shift"] == -1.0
    pictures = {picture.stem for picture in (path / "tuning").glob("*.png")}
    assert pictures == {
        "cellprob_threshold", "boundary_shift", "flow_threshold", "min_size", "score_threshold",
    }  # fmt: skip


def test_the_confidence_is_calibrated_on_other_images(tuned):
    _, result, _ = tuned
    assert result.raw.n_cells == result.calibrated.n_cells > 300
    assert 0.8 < result.calibrated.share_right < 1
    assert result.calibrated.calibration_error < 0.05
    assert result.calibrated.auc > 0.9


def test_a_calibration_that_is_worse_on_other_images_is_not_taken(data, played, monkeypatch):
    def worse(*given):
        result = summarize(*given)
        types = {
            name: replace(one, settings=replace(one.settings, score_threshold=0.0))
            for name, one in result.types.items()
        }
        calibrated = replace(result.calibrated, brier=result.raw.brier + 0.1)
        return replace(result, types=types, calibrated=calibrated)

    path = played("m", range(16))
    assert tune([path], data).is_calibration_taken
    assert (path / "confidence.json").exists()
    monkeypatch.setattr("cellflow.tuning.tune.summarize", worse)
    result = tune([path], data)
    assert not result.is_calibration_taken
    assert not (path / "confidence.json").exists()
    assert "not taken" in result.table()
    assert "it is left as it was" in (path / "README.md").read_text(encoding="utf-8")
    numbers = json.loads((path / "tuning" / "tuning.json").read_text())
    assert numbers["is_calibration_taken"] is False
    one = replace(result.types["all"].settings, score_threshold=0.5)
    types = {**result.types, "all": replace(result.types["all"], settings=one)}
    assert replace(result, types=types).is_calibration_taken


def test_cells_that_are_all_right_calibrate_nothing(data, played):
    path = played("m", [1, 3, 5, 7])  # of cort alone, without specks
    result = tune([path], data)
    assert result.raw.share_right == 1
    assert not result.is_calibration_taken
    assert not (path / "confidence.json").exists()
    n = result.raw.n_cells
    why = f"of {n} cells that the settings in use find {n} are right and 0 wrong"
    assert f"confidence not calibrated: {why};\n10 or more of each" in result.table()
    assert "nan" not in result.table()
    assert f"not calibrated: {why}; 10 or" in (path / "README.md").read_text(encoding="utf-8")
    assert json.loads((path / "tuning" / "tuning.json").read_text())["obstacle"].startswith(why)


def test_a_few_wrong_cells_are_too_few_to_calibrate_by(data, played, monkeypatch):
    path = played("m", range(16))
    assert tune([path], data, dry_run=True).is_calibration_taken
    monkeypatch.setattr(nested, "FEWEST_CELLS", 200)
    result = tune([path], data)
    assert result.obstacle.endswith("wrong; 200 or more of each are needed")
    assert not result.is_calibration_taken
    assert read_confidence(path) is None


@pytest.mark.parametrize(
    ("n_right", "n_wrong", "words"),
    [
        (0, 0, "the settings in use find no cell"),
        (15, 0, "of 15 cells that the settings in use find 15 are right and 0 wrong; 10 or more"),
        (0, 40, "of 40 cells that the settings in use find 0 are right and 40 wrong; 10 or more"),
        (90, 9, "of 99 cells that the settings in use find 90 are right and 9 wrong; 10 or more"),
    ],
)
def test_what_keeps_a_calibration_from_being_judged_is_said(n_right, n_wrong, words):
    is_right = np.repeat([True, False], [n_right, n_wrong])
    assert nested.calibration_obstacle(is_right).startswith(words)
    assert nested.calibration_obstacle(np.repeat([True, False], 10)) == ""


def test_the_table_says_all_of_it(tuned):
    text = tuned[1].table()
    assert max(map(len, text.splitlines())) <= 100
    for part in ("honest", "own settings", "boundary", "calibration error", "predicted from"):
        assert part in text, part


def test_models_of_several_folds_are_looked_at_on_their_own_images(data, played):
    first, second = played("m0", range(16)), played("m1", range(16, 32))
    result = tune([first, second], data)
    assert result.types["all"].n_images == 32
    assert read_thresholds(first) == read_thresholds(second)
    # Each looks at its 16 held-out images once, and at its training images for the cell types.
    assert [model.n_looks for model in played.models.values()] == [32, 32]


def test_an_image_that_two_models_see_counts_once(data, played):
    first, second = played("m0", range(16)), played("m1", range(16))
    result = tune([first, second], data)
    assert result.types["all"].n_images == 16
    assert any(
        "16 held-out images in 16 independent groups, seen 32 times by several models" in remark
        for remark in result.remarks
    )
    assert read_thresholds(first).provenance.n_images == 16


def test_one_model_twice_is_refused(data, played):
    path = played("m", range(16))
    with pytest.raises(ModelError, match="is given twice; its held-out images would count"):
        tune([path, path], data)


def test_a_second_tuning_uses_the_cache_and_starts_from_the_training_settings(data, played):
    path = played("m", range(16))
    first = tune([path], data)
    n_looks = played.models[path].n_looks
    second = tune([path], data)
    assert played.models[path].n_looks == n_looks
    assert second.to_dict() == first.to_dict()
    assert (path / "README.md").read_text(encoding="utf-8").count("## Tuned thresholds") == 1


def test_a_dry_run_leaves_the_model_as_it_is(data, played, tmp_path):
    path = played("m", range(16))
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    result = tune([path], data, cache=tmp_path / "cache", dry_run=True)
    assert result.types["astro"].gain.low > 0.1
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    tune([path], data, dry_run=True)  # Nor does it keep what the network gave there.
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


def test_a_good_model_keeps_its_defaults(data, played):
    cort_only = [k for k in range(32) if k % 2 == 1]
    path = played("m", cort_only)
    result = tune([path], data)
    assert read_thresholds(path).default == CellSettings()
    assert read_thresholds(path).per_cell_type == {}
    assert result.types["all"].gain.estimate == pytest.approx(0, abs=1e-9)
    assert not result.types["all"].is_tuned


def test_a_diameter_is_swept_where_it_is_asked_for(data, played):
    path = played("m", range(16))

    def change(config: Config) -> Config:
        return replace(config, tuning=replace(config.tuning, diameter_factors=(1.0, 1.5)))

    result = tune([path], data, change=change)
    assert (path / "tuning" / "diameter_factor.png").exists()
    # The played model sees the same at every diameter, so its own is kept.
    assert {one.settings.diameter for one in result.types.values()} == {None}


def test_only_images_that_a_model_has_not_seen_choose(data, played):
    with pytest.raises(
        ModelError, match=r"trained on every image .* in its record, so none can choose"
    ):
        tune([played("m", [])], data)


def test_images_that_changed_are_refused(data, played):
    path = played("m", range(16))
    (data / "train" / "i00.png").write_bytes((data / "train" / "i02.png").read_bytes())
    with pytest.raises(ModelError, match="images or truth differ from those"):
        tune([path], data)


def test_where_training_images_are_missing_it_is_said_that_changes_cannot_be_seen(data, played):
    path = played("m", range(16))
    (data / "train" / "i20.png").unlink()
    text = (data / "train.csv").read_text(encoding="utf-8")
    rows = [row for row in text.splitlines(keepends=True) if not row.startswith("i20,")]
    (data / "train.csv").write_text("".join(rows), encoding="utf-8")
    result = tune([path], data)
    assert any("the others are assumed unchanged" in r for r in result.remarks)


def test_a_record_without_names_is_refused(data, played):
    with pytest.raises(ModelError, match="does not say which images it was trained on"):
        tune([played("m", range(16), data={})], data)


def test_new_images_are_taken_on_trust_and_said_so(data, played):
    path = played("m", range(16), data={"train": ["x"], "validation": ["y"], "sha256": ""})
    said = []
    result = tune([path], data, say=said.append)
    assert result.types["all"].n_images == 32
    assert any("assumed to be new to it" in text for text in said)


@pytest.mark.parametrize("run", [{"kept": "best"}, {"kept": "last", "patience": 3}])
def test_weights_that_were_selected_on_these_images_are_named(data, played, run):
    result = tune([played("m", range(16), run=run)], data)
    assert any("too high by an unknown amount" in remark for remark in result.remarks)


def test_images_that_only_an_earlier_stage_learnt_are_not_new(data, played):
    names = {"train": ["x"], "validation": ["y"], "sha256": ""}
    refit = {"trained_on": [f"i{k:02d}" for k in range(32)]}
    with pytest.raises(ModelError, match="in its record, so none can choose"):
        tune([played("m", range(16), data=names, refit=refit)], data)


def test_a_calibration_of_an_earlier_tuning_does_not_outlive_it(data, played, monkeypatch):
    path = played("m", range(16))
    tune([path], data)
    assert read_confidence(path) is not None
    monkeypatch.setattr(nested, "fit_confidence", lambda *arguments: None)
    tune([path], data)
    assert read_confidence(path) is None


def test_a_tuning_that_is_killed_while_it_writes_leaves_no_thresholds_of_an_earlier_one(
    data, played, monkeypatch
):
    def killed(*arguments):
        raise KeyboardInterrupt

    path = played("m", range(16))
    untuned = read_thresholds(path)
    tune([path], data)
    assert read_thresholds(path).tuned
    monkeypatch.setattr("cellflow.tuning.tune.write_confidence", killed)
    with pytest.raises(KeyboardInterrupt):
        tune([path], data)
    assert read_thresholds(path) == untuned


def test_one_image_cannot_tell(data, played):
    with pytest.raises(DataError, match="one group"):
        tune([played("m", [3])], data)
