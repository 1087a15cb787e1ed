"""The weights that training starts from, and what is known of them."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from cellflow.config import Config, DataConfig, NetworkConfig
from cellflow.errors import ConfigError, ModelError
from cellflow.network.cpnet import (
    PRETRAINED,
    CPnet,
    build_network,
    load_pretrained,
    load_weights,
    weights_terms,
)
from cellflow.network.model_folder import learnt_images, read_model_folder
from cellflow.network.preprocess import describe_channels

SCRATCH, DEFAULT_INIT = "scratch", "cyto3"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InitialWeights:
    """A network before training.

    Parameters
    ----------
    network : CPnet
        On the CPU.
    name : str
        Where the weights are from, for the record.
    terms : str or None
        What restricts their use; None = nothing is known.
    sha256 : str
        Of the weights, hexadecimal.
    learnt : frozenset of str
        Names of the images that they were trained on, if a model folder says so.
    seen : DataConfig or None
        How those were prepared, if a model folder says so; see `starting_config`.
    """

    network: CPnet
    name: str
    terms: str | None
    sha256: str
    learnt: frozenset[str] = frozenset()
    seen: DataConfig | None = None

    @classmethod
    def of(cls, network: CPnet, name: str, terms: str | None = None) -> "InitialWeights":
        """Give a network that has not been trained yet, with the hash of its weights."""
        return cls(network=network, name=name, terms=terms, sha256=_hash_weights(network))

    @property
    def is_trained(self) -> bool:
        """Whether the weights are not random."""
        return self.name != SCRATCH

    def record(self) -> dict[str, Any]:
        """Give what the run and the model folder keep of them."""
        return {
            "name": self.name,
            "terms": self.terms,
            "sha256": self.sha256,
            "learnt": sorted(self.learnt),
        }

    def describe_pictures(self, asked: DataConfig) -> list[str]:
        """Say how pictures are prepared, where the weights know them otherwise than by default."""
        if self.seen is None:
            return []
        chosen = _of_pictures(asked)
        if chosen != self.seen:
            others = f"the weights of {self.name} were trained with {_told(self.seen)}"
            return [f"pictures: {_told(chosen)}, though {others}"]
        if chosen != DataConfig():
            return [f"pictures: {_told(chosen)}, as for the weights of {self.name}"]
        return []

    def network_config(self, asked: NetworkConfig) -> NetworkConfig:
        """Give the sizes of this network.

        Raises
        ------
        ConfigError
            The settings ask for other sizes than the weights have.
        """
        real = NetworkConfig(
            diam_mean=float(self.network.diam_mean),
            channels_per_level=tuple(self.network.nbase[1:]),
        )
        if asked not in (real, NetworkConfig()):
            raise ConfigError(
                f"network: asked for {asked.channels_per_level} at {asked.diam_mean:g} px, but the "
                f"weights of {self.name} have {real.channels_per_level} at {real.diam_mean:g} px; "
                f"do not set network.*, or use --init {SCRATCH}"
            )
        return real


def starting_config(init: str | Path | None = None) -> Config:
    """Give the settings of a run for which none are asked: pictures as the weights know them.

    Parameters
    ----------
    init : str or path, optional
        As for `initial_weights`. Of a model folder come channels and percentiles; its sizes come
        with the weights, and anything else has no settings to take over.

    Raises
    ------
    ModelError
        The folder is no model folder, or broken.
    """
    if init is None or not Path(init).is_dir():
        return Config()
    return Config(data=_of_pictures(read_model_folder(init).config.data))


def initial_weights(init: str | Path, config: NetworkConfig, seed: int) -> InitialWeights:
    """Give the network that training starts from.

    Parameters
    ----------
    init : str or path
        ``scratch``, a pretrained name, a Cellpose 3 file or a model folder.
    config : NetworkConfig
        Sizes of a network from scratch.
    seed : int
        Of random weights.

    Raises
    ------
    ModelError
        The weights are not there or do not load; says what to do.
    """
    path, text = Path(init), str(init)
    if text == SCRATCH:
        network = build_network(config, torch.Generator().manual_seed(seed))
        return InitialWeights.of(network, SCRATCH)
    if text in PRETRAINED and not path.exists():
        network, _ = load_pretrained(text)
        return InitialWeights.of(network, text, weights_terms(text))
    if path.is_dir():
        folder = read_model_folder(path)
        terms = (folder.record.get("initial_weights") or {}).get("terms")
        weights = InitialWeights.of(folder.load_network(), text, terms)
        learnt = frozenset(learnt_images(folder.record))
        return replace(weights, learnt=learnt, seen=_of_pictures(folder.config.data))
    if path.is_file():
        return InitialWeights.of(load_weights(path), text)
    raise ModelError(
        f"--init {text}: no such file or folder; expected {SCRATCH}, "
        f"{', '.join(PRETRAINED)}, a Cellpose 3 file or a model folder"
    )


def _of_pictures(data: DataConfig) -> DataConfig:
    """Give what says how a picture is prepared, and leaves the truth alone."""
    return replace(data, flatten=DataConfig().flatten)


def _told(data: DataConfig) -> str:
    low, high = data.low_percentile, data.high_percentile
    return f"{describe_channels(data)}; percentiles {low:g} to {high:g}"


def _hash_weights(network: CPnet) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
