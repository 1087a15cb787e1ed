"""The score of the held-out images, and what is kept of them meanwhile."""

from dataclasses import dataclass, field, replace

import pytest
import torch

from cellflow.config import DynamicsConfig
from cellflow.inference import tile_runner
from cellflow.network.cpnet import build_network
from cellflow.network.precision import PrecisionChoice
from cellflow.records import CellMasks
from cellflow.training import validation
from cellflow.training.fine_tune import fine_tune
from cellflow.training.ranks import Ranks
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


@dataclass(frozen=True, kw_only=True)
class Alone(Ranks):
    """One of two, of which the other is not there."""

    size: int = 2
    gathered: list = field(default_factory=list)

    def gather(self, value):
        self.gathered.append(value)
        return []

    def align(self, network):
        pass

    def in_first(self, work):
        return None


def test_the_processes_decide_the_precision_by_the_same_image(
    disc_entries, small_config, monkeypatch
):
    chosen = PrecisionChoice(dtype=torch.bfloat16, reason="pretended")
    monkeypatch.setattr(tile_runner, "choose_precision", lambda *_: chosen)
    tiles = []
    monkeypatch.setattr(tile_runner, "least_correlation", lambda *of: tiles.append(of[-1]) or 1.0)
    config, entries = small_config(), disc_entries(4)
    config = replace(config, inference=replace(config.inference, precision="auto"))
    network = build_network(config.network, torch.Generator().manual_seed(0))
    shares = []
    for rank in range(2):
        ranks = Alone(rank=rank)
        Validator(entries, config, 12.0, torch.device("cpu"), ranks=ranks).score(network)
        shares.append([*ranks.gathered[0]])
    assert shares == [[one.name for one in entries[k::2]] for k in range(2)]
    assert len(tiles) == 2
    assert torch.equal(*tiles)


@pytest.mark.parametrize("threshold", [-9.0, 9.0])
def test_a_model_that_finds_no_cell_is_told(disc_folder, small_config, tmp_path, threshold):
    dynamics = DynamicsConfig(cellprob_threshold=threshold, flow_threshold=0.0, min_size=1)
    config, said = replace(small_config(n_epochs=1), dynamics=dynamics), []
    fine_tune(
        disc_folder(5), tmp_path / "run", config, init="scratch", device="cpu", say=said.append
    )
    told = "the model finds no cell in them, perhaps the training was too short"
    assert (told in said[-1]) == (threshold > 0)
