"""A calibrated score is the share of such cells that are right."""

import json
from dataclasses import replace

import numpy as np
import pytest

from cellflow.dynamics.cell_features import CellFeatures
from cellflow.errors import ModelError
from cellflow.inference.confidence import fit_confidence, read_confidence, write_confidence


def drawn_cells(rng, n, spread=False):
    """Cells of which those of small flow error and large logit are more often right."""
    errors, logits = rng.uniform(0, 1, n), rng.normal(2, 2, n)
    chance = 1 / (1 + np.exp(-(1 - 4 * errors + logits)))
    features = CellFeatures(
        flow_errors=errors,
        cellprob=logits,
        probability=1 / (1 + np.exp(-logits)),
        areas=rng.integers(30, 900, n),
        spread=rng.uniform(0, 1, n) if spread else None,
    )
    return features, rng.random(n) < chance, chance


def test_the_probability_is_the_share_of_right_cells(rng):
    train, right, _ = drawn_cells(rng, 6000)
    fitted = fit_confidence([train], [17.0], [right])
    features, right, chance = drawn_cells(rng, 4000)
    found = fitted(features, 17.0)
    assert found.dtype == np.float32
    assert found == pytest.approx(chance, abs=0.1)
    for low in (0.1, 0.5, 0.9):
        chosen = abs(found - low) < 0.05
        assert right[chosen].mean() == pytest.approx(found[chosen].mean(), abs=0.1)


def test_cells_without_spread_count_as_average_ones(rng):
    train, right, _ = drawn_cells(rng, 500, spread=True)
    fitted = fit_confidence([train], [17.0], [right])
    assert fitted.spread == pytest.approx(0.5, abs=0.05)
    features, _, _ = drawn_cells(rng, 5)
    average = CellFeatures(
        flow_errors=features.flow_errors,
        cellprob=features.cellprob,
        probability=features.probability,
        areas=features.areas,
        spread=np.full(5, fitted.spread),
    )
    assert (fitted(features, 17.0) == fitted(average, 17.0)).all()


def test_size_is_relative_to_the_diameter(rng):
    train, right, _ = drawn_cells(rng, 500)
    right |= train.areas > 600
    fitted = fit_confidence([train], [17.0], [right])
    larger = CellFeatures(
        flow_errors=train.flow_errors,
        cellprob=train.cellprob,
        probability=train.probability,
        areas=train.areas * 4,
    )
    assert fitted(larger, 34.0) == pytest.approx(fitted(train, 17.0), rel=1e-5)


def test_nothing_to_tell_apart_gives_no_calibration(rng):
    features, _, _ = drawn_cells(rng, 10)
    assert fit_confidence([features], [17.0], [np.ones(10, bool)]) is None
    assert fit_confidence([], [], []) is None


def test_a_calibration_is_read_as_it_was_written(tmp_path, rng):
    features, right, _ = drawn_cells(rng, 300)
    fitted = fit_confidence([features], [17.0], [right])
    fitted = replace(fitted, record={"reliability": 0.02})
    assert read_confidence(tmp_path) is None
    write_confidence(tmp_path, fitted)
    found = read_confidence(tmp_path)
    assert (found(features, 17.0) == fitted(features, 17.0)).all()
    assert found.record == {"reliability": 0.02}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "newer cellflow"),
        ({"weights": {"flow_error": 1.0}}, "expected weights of flow_error, cellprob"),
        ({"bias": None}, "broken"),
    ],
)
def test_a_broken_file_is_refused(tmp_path, rng, changes, message):
    features, right, _ = drawn_cells(rng, 300)
    write_confidence(tmp_path, fit_confidence([features], [17.0], [right]))
    path = tmp_path / "confidence.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(ModelError, match=message):
        read_confidence(tmp_path)
