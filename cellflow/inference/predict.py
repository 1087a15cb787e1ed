"""A model that gives the flow field, and the cells, of an image."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cellflow.config import Config
from cellflow.errors import ModelError
from cellflow.hashing import hash_file
from cellflow.inference.cells import CellFinder
from cellflow.inference.diameter import median_diameter
from cellflow.inference.tiles import TileGrid, cut_tiles, join_tiles, padding, plan_tiles
from cellflow.network.cpnet import (
    FLOW_SCALE,
    N_INPUTS,
    PRETRAINED,
    CPnet,
    load_pretrained,
    load_weights,
)
from cellflow.network.devices import choose_device, is_out_of_memory
from cellflow.network.model_folder import CONFIG, read_model_folder
from cellflow.network.precision import autocast, choose_precision
from cellflow.network.preprocess import prepare_image, resize_image
from cellflow.records import FlowField, Prediction, Shape

TILES_AT_ONCE = {"cpu": 4, "cuda": 8, "mps": 8}
"""By kind of device, where the settings do not say."""

DEFAULT_MODEL_VARIABLE = "CELLFLOW_MODEL"


@dataclass(slots=True, kw_only=True, eq=False)
class Model:
    """A network with all that it needs to find cells.

    Parameters
    ----------
    name : str
        Folder or file that it came from, for messages.
    network : CPnet
    finder : CellFinder
        Its settings are the model's.
    diameter : float or None
        Diameter of the cells that it is to find, pixels; None = estimated in each image.
    device : torch.device
    dtype : torch.dtype
        Of the convolutions.
    fingerprint : str
        Hash of weights and thresholds; predictions of different ones are not mixed.
    """

    name: str
    network: CPnet
    finder: CellFinder
    diameter: float | None
    device: torch.device
    dtype: torch.dtype
    fingerprint: str = ""

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

        Parameters are those of the class; a bare `config` finds cells of any type alike.
        """
        finder = config if isinstance(config, CellFinder) else CellFinder(config=config)
        settings = finder.config.inference
        network = network.to(device, memory_format=torch.channels_last).eval()
        dtype = choose_precision(settings.precision, device).dtype
        return cls(
            name=name,
            network=network,
            finder=finder,
            diameter=settings.diameter or diameter,
            device=device,
            dtype=dtype,
            fingerprint=fingerprint,
        )

    def flow_field(self, image: NDArray[Any], diameter: float | None = None) -> FlowField:
        """Run the network over an image, at its own resolution in the end.

        Parameters
        ----------
        image : (H, W) or (C, H, W), any real dtype
            Grey levels as in the file.
        diameter : float, optional
            Of the cells, pixels; the model's own when not given.

        Raises
        ------
        ImageError
            The image lacks a channel that is asked for, or holds NaN.
        """
        prepared = torch.from_numpy(prepare_image(image, self.config.data))
        height, width = prepared.shape[-2:]
        resized = resize_image(prepared[None], self._shape_seen((height, width), diameter))[0]
        output, style = self._run_tiles(resized)
        field = resize_image(output[None], (height, width))[0].numpy()
        return FlowField(flows=field[:2] / np.float32(FLOW_SCALE), cellprob=field[2], style=style)

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
            Of the cells, pixels. When neither this nor the model says it, a first pass at the
            network's own diameter finds cells, and their median diameter is used.

        Raises
        ------
        ImageError
            As `flow_field`.
        """
        diameter = diameter or self.diameter or self.estimate_diameter(image)
        field = self.flow_field(image, diameter)
        return self.finder.find(field, name, diameter=diameter, diam_mean=self.diam_mean)

    def estimate_diameter(self, image: NDArray[Any]) -> float:
        """Give the median diameter of the cells that a first pass finds, pixels.

        Notes
        -----
        The first pass takes the cells to be of the network's own diameter; without any found,
        that is the answer.
        """
        labels = self.cells_of(self.flow_field(image, self.diam_mean), self.diam_mean)
        return median_diameter(np.bincount(labels.ravel())[1:]) or self.diam_mean

    def cells_of(self, field: FlowField, diameter: float) -> NDArray[np.int32]:
        """Follow a flow field to labels with the model's thresholds; (H, W) int32."""
        return self.finder.find_labels(field, diameter=diameter, diam_mean=self.diam_mean)

    def seconds_per_image(self, shape: Shape) -> float:
        """Tell how long the network will take for one image, from timing one batch of tiles.

        Parameters
        ----------
        shape : (H, W)
            Of the image, pixels.

        Notes
        -----
        Where the diameter is estimated, the second pass is taken to cost as much as the first.
        """
        height, width = self._shape_seen(shape, None)
        grid = self._plan((height + sum(padding(height)), width + sum(padding(width))))
        n_tiles, n_passes = len(grid.corners), 1 if self.diameter else 2
        batch = torch.zeros(min(n_tiles, self._tiles_at_once), N_INPUTS, *grid.tile)
        self._forward(batch)
        started = time.perf_counter()
        # The copy to the processor waits for a GPU to be done.
        self._forward(batch)[0].cpu()
        return (time.perf_counter() - started) / len(batch) * n_tiles * n_passes

    @property
    def config(self) -> Config:
        """The settings for images of unknown cell type."""
        return self.finder.config

    @property
    def diam_mean(self) -> float:
        """Diameter at which the network sees cells, pixels."""
        return float(self.network.diam_mean)

    @property
    def _tiles_at_once(self) -> int:
        return self.config.inference.batch_size or TILES_AT_ONCE[self.device.type]

    def _shape_seen(self, shape: Shape, diameter: float | None) -> Shape:
        """Give the size at which the network sees an image."""
        scale = self.diam_mean / (diameter or self.diameter or self.diam_mean)
        return max(1, int(shape[0] * scale)), max(1, int(shape[1] * scale))

    def _plan(self, padded: Shape) -> TileGrid:
        settings = self.config.inference
        return plan_tiles(padded, settings.tile_size, settings.tile_overlap)

    def _run_tiles(self, image: torch.Tensor) -> tuple[torch.Tensor, NDArray[np.float32]]:
        """Give the (3, H, W) output of a (2, H, W) input on the CPU, and the style."""
        height, width = image.shape[-2:]
        (top, bottom), (left, right) = padding(height), padding(width)
        padded = torch.nn.functional.pad(image, (left, right, top, bottom))
        grid = self._plan((padded.shape[-2], padded.shape[-1]))
        tiles = cut_tiles(padded, grid)
        outputs, styles = [], []
        for batch in torch.split(tiles, self._tiles_at_once):
            output, style = self._forward(batch)
            outputs.append(output)
            styles.append(style)
        joined = join_tiles(torch.cat(outputs), grid).cpu()
        summed = torch.cat(styles).sum(dim=0)
        style = (summed / summed.norm()).cpu().numpy()
        return joined[:, top : top + height, left : left + width], style

    def _forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Run one batch; when the memory does not hold it, in two halves."""
        try:
            with torch.inference_mode(), autocast(self.device, self.dtype):
                moved = batch.to(self.device, memory_format=torch.channels_last)
                output, style, _ = self.network(moved)
            return output.float(), style.float()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if len(batch) == 1:
                raise ModelError(
                    f"a single tile of {batch.shape[-1]} px does not fit into the memory of "
                    f"{self.device}; lower inference.tile_size"
                ) from None
        # Outside the except block, whose traceback would keep the tensors alive.
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        halves = [self._forward(half) for half in torch.split(batch, (len(batch) + 1) // 2)]
        outputs, styles = zip(*halves, strict=True)
        return torch.cat(outputs), torch.cat(styles)


def load_model(
    source: Path | str | None = None,
    *,
    device: str = "auto",
    change: Callable[[Config], Config] | None = None,
) -> Model:
    """Load a model folder, a Cellpose file or a pretrained model by name.

    Parameters
    ----------
    source : path or str, optional
        A model folder, a Cellpose 3 file, or ``cyto3``, ``cyto2``, ``livecell_cp3`` …; when not
        given, ``$CELLFLOW_MODEL``, else the newest model folder in ``runs/``.
    device : str
        As for `choose_device`.
    change : callable, optional
        Gets the model's settings and gives those to use, for options that override them.

    Raises
    ------
    ModelError
        There is no such model, or it is broken.
    ConfigError
        The device is not available.

    Notes
    -----
    Nothing is fetched from a network, except the weights of a pretrained name that are not cached.
    """
    chosen = choose_device(device).device
    adjust = change or (lambda config: config)
    if source is None:
        source = default_model()
    path = Path(source)
    if path.is_dir():
        folder = read_model_folder(path)
        return Model.from_network(
            folder.load_network(),
            CellFinder.from_folder(folder, adjust),
            diameter=folder.diameter,
            device=chosen,
            name=str(path),
            fingerprint=folder.fingerprint(),
        )
    if str(source) in PRETRAINED and not path.exists():
        network, path = load_pretrained(str(source))
        # Cellpose's own models do not know the user's cells.
        diameter = None
    elif path.is_file():
        network = load_weights(path)
        diameter = float(network.diam_labels)
    else:
        raise ModelError(
            f"no model {source}: expected a model folder, a Cellpose 3 file or one of "
            f"{', '.join(PRETRAINED)}"
        )
    config = Config()
    config = adjust(
        replace(config, network=replace(config.network, diam_mean=float(network.diam_mean)))
    )
    return Model.from_network(
        network,
        config,
        diameter=diameter,
        device=chosen,
        name=str(source),
        fingerprint=hash_file(path),
    )


def default_model(runs: Path | str = "runs") -> Path:
    """Give ``$CELLFLOW_MODEL``, else the newest model folder in `runs`.

    Raises
    ------
    ModelError
        There is neither.
    """
    named = os.environ.get(DEFAULT_MODEL_VARIABLE)
    if named:
        return Path(named)
    found = sorted(Path(runs).glob(f"*/{CONFIG}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ModelError(
            "no model: give --model FOLDER|cyto3|FILE, set CELLFLOW_MODEL, or train one first "
            f"(there is no model folder in {runs}/)"
        )
    return found[-1].parent
