"""One network, and the size at which it sees cells."""

from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray

from cellflow.config import DataConfig
from cellflow.inference.tile_runner import TileRunner
from cellflow.inference.views import View
from cellflow.network.devices import send
from cellflow.network.preprocess import prepare_image, resize_image
from cellflow.records import Shape


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Member:
    """A network with what it needs to give the flows of an image; a model has one or several.

    Parameters
    ----------
    name : str
        Folder or file that it came from, for messages.
    runner : TileRunner
    data : DataConfig
        How it wants images prepared.
    diameter : float or None
        Of the cells, pixels: what its settings say, else of those that it was trained on; None
        when that says nothing of the user's.
    fingerprint : str
        Hash of weights and thresholds; predictions of different ones are not mixed.
    """

    name: str
    runner: TileRunner
    data: DataConfig
    diameter: float | None
    fingerprint: str = ""

    @property
    def diam_mean(self) -> float:
        """Diameter at which the network sees cells, pixels."""
        return self.runner.diam_mean

    def shape_seen(self, shape: Shape, diameter: float) -> Shape:
        """Give the size at which the network sees an image of cells of `diameter` pixels."""
        scale = self.diam_mean / diameter
        return max(1, int(shape[0] * scale)), max(1, int(shape[1] * scale))

    def prepare(self, image: NDArray[Any]) -> torch.Tensor:
        """Give the (2, H, W) float32 input on the device; a GPU is not waited for.

        Raises
        ------
        ImageError
            The image lacks a channel that is asked for, or holds NaN.
        """
        return send(prepare_image(image, self.data), self.runner.device)

    def resized(self, prepared: torch.Tensor, diameter: float) -> torch.Tensor:
        """Give a prepared image as the network sees one with cells of `diameter` pixels."""
        height, width = prepared.shape[-2:]
        return resize_image(prepared[None], self.shape_seen((height, width), diameter))[0]

    def look(
        self, prepared: torch.Tensor, diameter: float, view: View
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the network over an image in one view.

        Parameters
        ----------
        prepared : (2, H, W) float32
            As `prepare` gives it.
        diameter : float
            Of the cells, pixels.
        view : View

        Returns
        -------
        (3, H, W) float32
            On the device, at the image's own resolution and in its own orientation: flows times
            `FLOW_SCALE`, and the logit.
        (S,) float32
            Style, on the device.
        """
        height, width = prepared.shape[-2:]
        output, style = self.runner.run(view.apply(self.resized(prepared, diameter)))
        return resize_image(view.undo(output)[None], (height, width))[0], style
