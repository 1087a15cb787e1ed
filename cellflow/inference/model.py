"""One or several networks that give the flow field, and the cells, of an image."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cellflow.config import Config, DiameterPolicy
from cellflow.inference.cells import CellFinder
from cellflow.inference.diameter import choose_policy, measured_diameter
from cellflow.inference.field_mean import FieldMean, PendingField
from cellflow.inference.member import Member
from cellflow.inference.tile_runner import TileRunner
from cellflow.inference.views import VIEWS
from cellflow.network.cpnet import CPnet
from cellflow.records import FlowField, Prediction

STYLE_TILES = 2
"""Tiles on a side, of which the style of an image is told where its cells are not wanted."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """Networks with all that they need to find cells.

    Parameters
    ----------
    members : tuple of Member
        At least one. Their flow fields are averaged, with those of all views and scales; each
        sees cells at its own diameter.
    finder : CellFinder
        Its settings are the model's; of several models those of the first.
    """

    members: tuple[Member, ...]
    finder: CellFinder

    @classmethod
    def from_network(
        cls,
        network: CPnet,
        config: Config | CellFinder,
        *,
        diameter: float | None,
        device: torch.device,
        name: str = "network",
        fingerprint: str = "",
    ) -> "Model":
        """Wrap a network; it is moved to `device` and switched to evaluation.

        Parameters
        ----------
        network : CPnet
        config : Config or CellFinder
            A bare `Config` finds cells of any type alike.
        diameter : float or None
            Of the cells that it was trained on, pixels; None when that says nothing of the user's.
        device : torch.device
        name, fingerprint : str
            As for `Member`.

        Raises
        ------
        ConfigError
            The settings ask for a diameter that the model does not have, or for what the device
            cannot do.
        """
        finder = config if isinstance(config, CellFinder) else CellFinder(config=config)
        runner = TileRunner(network, finder.config.inference, device)
        member = Member(
            name=name,
            runner=runner,
            data=finder.config.data,
            diameter=finder.config.inference.diameter or diameter,
            fingerprint=fingerprint,
        )
        model = cls(members=(member,), finder=finder)
        # Refuses one that the model cannot follow.
        _ = model.diameter_policy
        return model

    @classmethod
    def joined(cls, models: Sequence["Model"]) -> "Model":
        """Make an ensemble of several models, whose flow fields are averaged."""
        members = tuple(member for model in models for member in model.members)
        return cls(members=members, finder=models[0].finder)

    def with_passes(
        self,
        *,
        views: int | None = None,
        scales: tuple[float, ...] | None = None,
        n_models: int | None = None,
    ) -> "Model":
        """Give the model with other views or scales, or only its first networks."""
        settings = self.config.inference
        settings = replace(
            settings, views=views or settings.views, scales=scales or settings.scales
        )
        finder = replace(self.finder, config=replace(self.config, inference=settings))
        return replace(self, members=self.members[:n_models], finder=finder)

    def alone(self) -> "Model":
        """Give the first network by itself, in one view at its own scale."""
        return self.with_passes(views=1, scales=(1.0,), n_models=1)

    def settle_precision(self, image: NDArray[Any]) -> list[str]:
        """Decide by an image between bfloat16 and float32, where that is still open.

        The first image that the model sees decides when this was not called.

        Parameters
        ----------
        image : (H, W) or (C, H, W), any real dtype

        Returns
        -------
        list of str
            A sentence for each network that will run in float32 although the device has bfloat16.

        Raises
        ------
        ImageError
            As `start_field`.
        """
        said = []
        for member in self.members:
            if not member.runner.is_settled:
                seen = member.resized(member.prepare(image), self.diameter_of(member))
                said.append(member.runner.settle_precision(seen))
        return [sentence for sentence in said if sentence]

    def compile_networks(self) -> list[str]:
        """Prepare the networks for many images, as ``inference.compilation`` asks for.

        Returns
        -------
        list of str
            What was done and how long it took, or why it was not, for the user.
        """
        said = [member.runner.compile_network() for member in self.members]
        return [sentence for sentence in said if sentence]

    def start_field(self, image: NDArray[Any], diameter: float | None = None) -> PendingField:
        """Run the networks over an image in all views and scales.

        Parameters
        ----------
        image : (H, W) or (C, H, W), any real dtype
            Grey levels as in the file.
        diameter : float, optional
            Of the cells, pixels; each network's own when not given.

        Raises
        ------
        ImageError
            The image lacks a channel that is asked for, or holds NaN; or beside it not even one
            tile fits into the memory.
        """
        settings = self.config.inference
        mean, styles, shows = FieldMean(), [], torch.tensor(False)
        for member in self.members:
            prepared = member.prepare(image)
            if member is self.members[0]:
                shows = (prepared != 0).any()  # on the device, which is not waited for
            for scale in settings.scales:
                for view in VIEWS[: settings.views]:
                    seen = (diameter or self.diameter_of(member)) / scale
                    output, style = member.look(prepared, seen, view)
                    mean.add(output)
                    if member is self.members[0]:
                        styles.append(style)
        style = torch.stack(styles).sum(dim=0)
        known = torch.where(shows, style / style.norm(), torch.zeros_like(style))
        return PendingField(*mean.result(), known)

    def flow_field(self, image: NDArray[Any], diameter: float | None = None) -> FlowField:
        """Give the flow field of an image, at its own resolution.

        Parameters and Raises are those of `start_field`.
        """
        return self.start_field(image, diameter).result()

    def style_of(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Give the first network's (S,) style vector of the middle of an image, at unit length.

        Parameters
        ----------
        image : (H, W) or (C, H, W), any real dtype

        Raises
        ------
        ImageError
            As `start_field`.

        Notes
        -----
        Looks at no more than `STYLE_TILES` x `STYLE_TILES` tiles, where `flow_field` looks at all.
        """
        member = self.members[0]
        seen = member.resized(member.prepare(image), self.diameter_of(member))
        most = member.runner.side_of(STYLE_TILES)
        (top, height), (left, width) = (_middle(side, most) for side in seen.shape[-2:])
        _, style = member.runner.run(seen[:, top : top + height, left : left + width])
        vector: NDArray[np.float32] = style.cpu().numpy()
        return vector

    def predict(
        self, image: NDArray[Any], name: str = "image", diameter: float | None = None
    ) -> Prediction:
        """Find the cells of an image.

        Parameters
        ----------
        image : (H, W) or (C, H, W), any real dtype
        name : str
            The image's id.
        diameter : float, optional
            Of the cells, pixels; when not given, `inference.diameter_policy` decides.

        Raises
        ------
        ImageError
            As `start_field`.
        """
        return self.start(image, name, diameter or self.find_diameter(image)).result()

    def start(self, image: NDArray[Any], name: str, diameter: float | None) -> "PendingPrediction":
        """Begin `predict`: what follows the networks is done by ``result()``, in any thread.

        Parameters are those of `predict`; a diameter of None is each network's own.
        """
        field = self.start_field(image, diameter)
        return PendingPrediction(model=self, field=field, name=name, diameter=diameter)

    def find_diameter(self, image: NDArray[Any]) -> float | None:
        """Give the diameter of the cells of an image, pixels; None = each network's own.

        Notes
        -----
        Where it is found in the image this takes a pass of the first network, in one view.
        """
        policy, first = self.diameter_policy, self.members[0]
        if policy in ("fixed", "training"):
            return None
        guess = self.config.inference.diameter or first.diam_mean
        start = guess if policy == "estimated" else self.diameter_of(first)
        alone = self.alone()
        field = alone.flow_field(image, start)
        if policy == "per_type":
            cell_type, _ = self.finder.classify(field.style)
            return self.finder.diameter_by_type.get(cell_type) if cell_type else None
        labels = alone.cells_of(field, start)
        return measured_diameter(np.bincount(labels.ravel())[1:], start, policy)

    def cells_of(self, field: FlowField, diameter: float | None = None) -> NDArray[np.int32]:
        """Follow a flow field to labels with the model's thresholds; (H, W) int32."""
        seen, diam_mean = self.sizes(diameter)
        return self.finder.find_labels(field, diameter=seen, diam_mean=diam_mean)

    def sizes(self, diameter: float | None = None) -> tuple[float, float]:
        """Give the diameter of cells in the image and as the network sees them, pixels.

        Notes
        -----
        Of several networks those of the one that shrinks cells most: the steps along the flows
        have to reach the centre from its borders.
        """
        pairs = [
            (diameter or self.diameter_of(member), member.diam_mean) for member in self.members
        ]
        return max(pairs, key=lambda pair: pair[0] / pair[1])

    def diameter_of(self, member: Member) -> float:
        """Give the diameter of cells for a member, pixels, when the image's own is not known.

        Notes
        -----
        A network that knows none takes that of the others.
        """
        known = (one.diameter for one in (member, *self.members) if one.diameter is not None)
        return next(known, member.diam_mean)

    @property
    def diameter_policy(self) -> DiameterPolicy:
        """Where the diameter comes from; not auto."""
        known = (one.diameter for one in self.members if one.diameter is not None)
        has_types = self.finder.cell_type_head is not None and bool(self.finder.diameter_by_type)
        return choose_policy(self.config.inference, next(known, None), has_types)

    @property
    def diameter(self) -> float | None:
        """Of the cells that it is to find, pixels; None = found in each image."""
        is_known = self.diameter_policy in ("fixed", "training")
        return self.diameter_of(self.members[0]) if is_known else None

    @property
    def n_passes(self) -> int:
        """How often an image goes through a network, its diameter once known."""
        settings = self.config.inference
        return len(self.members) * len(settings.scales) * settings.views

    @property
    def name(self) -> str:
        """Folders or files that it came from, for messages."""
        return " + ".join(member.name for member in self.members)

    @property
    def fingerprint(self) -> str:
        """Hash of weights and thresholds; predictions of different ones are not mixed."""
        prints = [member.fingerprint or member.name for member in self.members]
        return hashlib.sha256(" ".join(prints).encode()).hexdigest() if prints[1:] else prints[0]

    @property
    def config(self) -> Config:
        """The settings for images of unknown cell type."""
        return self.finder.config

    @property
    def network(self) -> CPnet:
        """The first network."""
        return self.members[0].runner.network

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.members[0].runner.device

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Of the convolutions of each network; final once `is_settled`."""
        return tuple(str(member.runner.dtype) for member in self.members)

    @property
    def is_settled(self) -> bool:
        """Whether `settle_precision` has nothing left to decide."""
        return all(member.runner.is_settled for member in self.members)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PendingPrediction:
    """A prediction of which a GPU may still be computing the flow field."""

    model: Model
    field: PendingField
    name: str
    diameter: float | None

    def result(self) -> Prediction:
        """Wait for the flow field, and follow it to cells."""
        seen, diam_mean = self.model.sizes(self.diameter)
        return self.model.finder.find(
            self.field.result(), self.name, diameter=seen, diam_mean=diam_mean
        )


def _middle(side: int, most: int) -> tuple[int, int]:
    """Give start and length of the middle of a side that is cut to `most` pixels."""
    length = min(side, most)
    return (side - length) // 2, length
