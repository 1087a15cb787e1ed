"""The competition score of the held-out images, through the same prediction that users run."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from cellflow.config import Config
from cellflow.data.dataset import Entry
from cellflow.data.rle import labels_to_masks
from cellflow.inference.predict import Model
from cellflow.metrics.score import Score, score_images
from cellflow.network.cpnet import CPnet
from cellflow.pictures.overlay import save_overlay
from cellflow.records import CellMasks, Prediction
from cellflow.training.budget import seconds_of
from cellflow.training.ranks import Ranks

N_OVERLAYS = 6
"""Overlays that are drawn: from the image with the worst score to the one with the best."""


class Validator:
    """Predicts and scores the held-out images; holds one image at a time.

    Parameters
    ----------
    entries : sequence of Entry
        The held-out images, each with truth.
    config : Config
        Its inference and dynamics sections say how cells are found.
    diameter : float
        Of the training cells, pixels.
    device : torch.device
    between_images : callable
        Called before each image; may raise to leave.
    ranks : Ranks
        The processes that share the images; each calls `score`.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        config: Config,
        diameter: float,
        device: torch.device,
        between_images: Callable[[], None] = lambda: None,
        ranks: Ranks | None = None,
    ) -> None:
        self.entries, self._ranks = tuple(entries), ranks or Ranks()
        self._config, self._diameter, self._device = config, diameter, device
        self._between_images = between_images

    def score(self, network: CPnet) -> Score:
        """Score the network's predictions on overlapping truth.

        Raises
        ------
        DataError
            An image cannot be read.

        Notes
        -----
        Leaves the network in evaluation mode.
        """
        self._ranks.align(network)
        model, own = self.model(network), self._ranks.share(self.entries)
        if self.entries and not self._ranks.is_first:
            # All processes must choose the precision by the same image as the first one.
            model.settle_precision(self.entries[0].load().image)
        pairs: dict[str, tuple[CellMasks, CellMasks]] = {}
        for turn in range(self._n_turns):
            self._between_images()
            if turn < len(own):
                prediction, truth = _predict(model, own[turn])
                # As runs, since the labels of all images would take as much as the images.
                pairs[own[turn].name] = truth, labels_to_masks(prediction.labels)
        for others in self._ranks.gather(pairs):
            pairs |= others
        return self._ranks.in_first(lambda: score_entries(self.entries, pairs))

    @property
    def _n_turns(self) -> int:
        """The most images that one process predicts; others may have one fewer."""
        return -(-len(self.entries) // self._ranks.size)

    def estimate_seconds(self, network: CPnet) -> float:
        """Time the prediction of one image, and scale it up to all images.

        Notes
        -----
        An untrained network may take longer than a trained one, since it finds cells everywhere.
        """
        if not self.entries:
            return 0.0
        model, entry = self.model(network), self.entries[0]
        return self._n_turns * seconds_of(lambda: _predict(model, entry))

    def draw(self, network: CPnet, score: Score, folder: Path) -> None:
        """Write overlays of a few images, spread from the worst score to the best."""
        model = self.model(network)
        by_score = np.argsort(score.image_scores, kind="stable")
        n_drawn = min(N_OVERLAYS, len(by_score))
        ranks = np.unique(np.linspace(0, len(by_score) - 1, n_drawn).round().astype(int))
        for place, rank in enumerate(ranks, 1):
            entry = self.entries[by_score[rank]]
            prediction, truth = _predict(model, entry)
            value = score.image_scores[by_score[rank]]
            save_overlay(
                folder / f"{place}_{entry.name}.png",
                entry.load().image,
                truth=truth,
                predicted=prediction.labels,
                title=f"{entry.name}, mAP {value:.3f}",
                colouring="matches",
            )

    def model(self, network: CPnet) -> Model:
        """Wrap a network for prediction; it is switched to evaluation mode."""
        return Model.from_network(
            network, self._config, diameter=self._diameter, device=self._device
        )


def score_entries(
    entries: Sequence[Entry], pairs: Mapping[str, tuple[CellMasks, CellMasks]]
) -> Score:
    """Score held-out images, at least one, by their truth and the cells found, given by name."""
    return score_images(
        {entry.name: pairs[entry.name][0] for entry in entries},
        {entry.name: pairs[entry.name][1] for entry in entries},
        rng=np.random.default_rng(0),
        cell_types={entry.name: entry.cell_type for entry in entries},
        groups={entry.name: entry.group for entry in entries},
    )


def _predict(model: Model, entry: Entry) -> tuple[Prediction, CellMasks]:
    image, truth = entry.load_annotated()
    return model.predict(image, entry.name), truth
