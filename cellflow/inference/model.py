"""A model: one or several networks that turn an image into a flow field, and into cells."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cellflow.config import Config, DiameterPolicy
from cellflow.config.inference import LEAST_DIAMETER, MOST_DIAMETER
from cellflow.errors import ConfigError
from cellflow.inference.cells import CellFinder
from cellflow.inference.diameter import choose_policy, measured_diameter
from cellflow.inference.field_mean import FieldMean, PendingField
from cellflow.inference.member import Member
from cellflow.inference.tile_runner import TileRunner
from cellflow.inference.views import VIEWS
from cellflow.network.cpnet import CPnet
from cellflow.records import FlowField, Prediction

STYLE_TILES = 2
"""`Model.style_of` looks at the middle of an image only: at most this many tiles on a side."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Model:
    """One or several networks with everything they need to find cells.

    Parameters
    ----------
    members : tuple of Member
        At least one. Flow fields are averaged over members, views and scales. Each member rescales
        images by its own diameter.
    finder : CellFinder
        Its settings are those of the model. An ensemble uses the finder of its first model.

    Notes
    -----
    Several threads may use one model at once, and it can be pickled. A process that is forked after
    a first prediction must call ``torch.set_num_threads(1)`` before its own, as a worker of
    PyTorch's DataLoader does; otherwise it hangs in OpenMP, as all of PyTorch would. Processes
    started by ``spawn`` or ``forkserver`` need not.

    Images never change. Neither the default dtype nor an autocast of the caller has an effect.
    """

    members: tuple[Member, ...]
    finder: CellFinder

    def __repr__(self) -> str:
        size = "found in each image" if self.diameter is None else f"{self.diameter:.1f} px"
        return f"<Model {self.name} on {self.device}, diameter {size}>"

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
            With a plain `Config`, all cell types share the same settings.
        diameter : float or None
            Diameter of the training cells, pixels; None if it does not apply to the user's cells.
        device : torch.device
        name, fingerprint : str
            As for `Member`.

        Raises
        ------
        ConfigError
            The settings ask for a diameter that the model does not know, or for something that the
            device cannot do.
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
        # Raises if the settings ask for a policy that the model cannot follow.
        _ = model.diameter_policy
        return model

    @classmethod
    def joined(cls, models: Sequence["Model"]) -> "Model":
        """Make an ensemble of several models; their flow fields are averaged."""
        members = tuple(member for model in models for member in model.members)
        return cls(members=members, finder=models[0].finder)

    def with_passes(
        self,
        *,
        views: int | None = None,
        scales: tuple[float, ...] | None = None,
        n_models: int | None = None,
    ) -> "Model":
        """Give a copy with other views or scales, or with only the first `n_models` networks."""
        settings = self.config.inference
        settings = replace(
            settings, views=views or settings.views, scales=scales or settings.scales
        )
        finder = replace(self.finder, config=replace(self.config, inference=settings))
        return replace(self, members=self.members[:n_models], finder=finder)

    def alone(self) -> "Model":
        """Give a model of the first network only, with one view and one scale."""
        return self.with_passes(views=1, scales=(1.0,), n_models=1)

    def settle_precision(self, image: NDArray[Any]) -> list[str]:
        """Choose between 16 and 32 bits by means of an image, unless already chosen.

        If this is never called, the first image that the model sees decides.

        Parameters
        ----------
        image : (H, W) or (C, H, W), any real dtype

        Returns
        -------
        list of str
            A sentence for each network that will run in float32 although the device is quicker in
            16 bits.

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
        """Compile the networks as ``inference.compilation`` says; pays off for many images.

        Returns
        -------
        list of str
            Messages for the user: what was done and how long it took, or why it was not done.
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
            Of the cells, pixels; by default each network's own.

        Raises
        ------
        ImageError
            The image lacks a requested channel or contains NaN or infinity, or there is not enough
            memory for even one tile beside it.
        ConfigError
            The diameter is outside the limits of ``inference.diameter``.
        """
        if diameter is not None and not LEAST_DIAMETER <= diameter <= MOST_DIAMETER:
            raise ConfigError(
                f"diameter: expected {LEAST_DIAMETER:g} to {MOST_DIAMETER:g} px, found {diameter}"
            )
        settings = self.config.inference
        mean, styles, shows = FieldMean(), [], torch.tensor(False)
        for member in self.members:
            prepared = member.prepare(image)
            if member is self.members[0]:
                shows = (prepared != 0).any()  # stays on the device: no synchronisation
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
        """Give the style of the middle of an image: the first network's (S,) unit vector.

        Parameters
        ----------
        image : (H, W) or (C, H, W), any real dtype

        Raises
        ------
        ImageError
            As `start_field`.

        Notes
        -----
        Runs at most `STYLE_TILES` x `STYLE_TILES` tiles; `flow_field` runs all of them.
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
            Of the cells, pixels; by default `inference.diameter_policy` decides.

        Raises
        ------
        ImageError, ConfigError
            As `start_field`.
        """
        chosen = self.find_diameter(image) if diameter is None else diameter
        return self.start(image, name, chosen).result()

    def start(self, image: NDArray[Any], name: str, diameter: float | None) -> "PendingPrediction":
        """Start `predict`; ``result()``, which any thread may call, turns the flows into cells.

        Parameters are those of `predict`; with a diameter of None each network uses its own.
        """
        field = self.start_field(image, diameter)
        return PendingPrediction(model=self, field=field, name=name, diameter=diameter)

    def find_diameter(self, image: NDArray[Any]) -> float | None:
        """Give the diameter of the cells of an image, pixels; None = each network's own.

        Notes
        -----
        Policies that measure the diameter in the image take one pass of the first network, in one
        view.
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
        """Turn a flow field into labels with the model's thresholds; (H, W) int32."""
        seen, diam_mean = self.sizes(diameter)
        return self.finder.find_labels(field, diameter=seen, diam_mean=diam_mean)

    def sizes(self, diameter: float | None = None) -> tuple[float, float]:
        """Give the diameter of the cells in the image and as the network sees them, pixels.

        Notes
        -----
        With several networks, those of the one that shrinks cells most: it needs the most steps
        along the flows from a cell's border to its centre.
        """
        pairs = [
            (diameter or self.diameter_of(member), member.diam_mean) for member in self.members
        ]
        return max(pairs, key=lambda pair: pair[0] / pair[1])

    def diameter_of(self, member: Member) -> float:
        """Give the diameter a member assumes if that of the image is not known, pixels.

        Notes
        -----
        A member without a diameter takes the first one that another member knows, or else its own
        `diam_mean`.
        """
        known = (one.diameter for one in (member, *self.members) if one.diameter is not None)
        return next(known, member.diam_mean)

    @property
    def diameter_policy(self) -> DiameterPolicy:
        """Where the diameter comes from; ``auto`` is already resolved."""
        known = (one.diameter for one in self.members if one.diameter is not None)
        has_types = self.finder.cell_type_head is not None and bool(self.finder.diameter_by_type)
        return choose_policy(self.config.inference, next(known, None), has_types)

    @property
    def diameter(self) -> float | None:
        """Diameter of the cells to find, pixels; None = measured in each image."""
        is_known = self.diameter_policy in ("fixed", "training")
        return self.diameter_of(self.members[0]) if is_known else None

    @property
    def n_passes(self) -> int:
        """Passes of an image through a network, without those that measure its diameter."""
        settings = self.config.inference
        return len(self.members) * len(settings.scales) * settings.views

    @property
    def name(self) -> str:
        """The folders or files of the members, for messages."""
        return " + ".join(member.name for member in self.members)

    @property
    def fingerprint(self) -> str:
        """Hash of weights and thresholds; a resumed run must have the same one."""
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
        """Dtype of the convolutions of each network; final once `is_settled`."""
        return tuple(str(member.runner.dtype) for member in self.members)

    @property
    def is_settled(self) -> bool:
        """Whether the precision of every network is decided, see `settle_precision`."""
        return all(member.runner.is_settled for member in self.members)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PendingPrediction:
    """A prediction whose flow field a GPU may still be computing."""

    model: Model
    field: PendingField
    name: str
    diameter: float | None

    def result(self) -> Prediction:
        """Wait for the flow field, and find the cells in it."""
        seen, diam_mean = self.model.sizes(self.diameter)
        return self.model.finder.find(
            self.field.result(), self.name, diameter=seen, diam_mean=diam_mean
        )


def _middle(side: int, most: int) -> tuple[int, int]:
    """Give the start and length of the middle `most` pixels of a side."""
    length = min(side, most)
    return (side - length) // 2, length
