"""One network of a model, and the size at which it sees cells."""

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
    """A network with everything it needs to predict the flows of an image.

    Parameters
    ----------
    name : str
        Folder or file that it was loaded from, for messages.
    runner : TileRunner
    data : DataConfig
        How images are prepared for it.
    diameter : float or None
        Diameter of the cells, pixels: that of the settings, or else of the training cells; None if
        the latter does not apply to the user's cells.
    fingerprint : str
        Hash of weights and thresholds; a resumed run must have the same one.
    """

    name: str
    runner: TileRunner
    data: DataConfig
    diameter: float | None
    fingerprint: str

    @property
    def diam_mean(self) -> float:
        """Diameter at which the network sees cells, pixels."""
        return self.runner.diam_mean

    def shape_seen(self, shape: Shape, diameter: float) -> Shape:
        """Give the (H, W) at which the network sees an image with cells of `diameter` pixels."""
        scale = self.diam_mean / diameter
        return max(1, int(shape[0] * scale)), max(1, int(shape[1] * scale))

    def prepare(self, image: NDArray[Any]) -> torch.Tensor:
        """Give the (2, H, W) float32 input on the device, without waiting for a GPU.

        Raises
        ------
        ImageError
            The image lacks a requested channel or contains NaN or infinity.
        """
        return send(prepare_image(image, self.data), self.runner.device)

    def resized(self, prepared: torch.Tensor, diameter: float) -> torch.Tensor:
        """Resize a prepared image so that cells of `diameter` pixels get the network's size."""
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
