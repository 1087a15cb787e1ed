"""The score of the held-out images, and what is kept of them meanwhile."""

import torch

from cellflow.network.cpnet import build_network
from cellflow.records import CellMasks
from cellflow.training import validation
from cellflow.training.validation import Validator


def test_of_an_image_that_is_predicted_only_its_runs_are_kept(
    disc_entries, small_config, monkeypatch
):
    config, kept, score_images = small_config(), [], validation.score_images

    def score(truths, predictions, **how):
        kept.extend(predictions.values())
        return score_images(truths, predictions, **how)

    monkeypatch.setattr(validation, "score_images", score)
    network = build_network(config.network, torch.Generator().manual_seed(0))
    entries = disc_entries(2)
    found = Validator(entries, config, 12.0, torch.device("cpu")).score(network)
    assert found.names == tuple(entry.name for entry in entries)
    assert [type(one) for one in kept] == [CellMasks, CellMasks]
