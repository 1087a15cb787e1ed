"""The tiles of an image through one network on one device."""

import time
from collections.abc import Callable
from typing import TypeVar

import torch

from cellflow.config import InferenceConfig
from cellflow.errors import ImageError, ModelError
from cellflow.inference.compilation import (
    Forward,
    choose_compilation,
    compiled_forward,
    plain_forward,
)
from cellflow.inference.precision_gate import (
    LEAST_CORRELATION,
    least_correlation,
    richest_tile,
)
from cellflow.inference.tiles import (
    TileAverage,
    TileGrid,
    cut_tiles,
    longest_side,
    padding,
    plan_tiles,
)
from cellflow.network.cpnet import N_INPUTS, N_OUTPUTS, CPnet
from cellflow.network.devices import image_layout, is_out_of_memory
from cellflow.network.precision import PrecisionChoice, choose_precision
from cellflow.records import Shape
from cellflow.wording import first_line

Result = TypeVar("Result")

TILES_AT_ONCE = {"cpu": 4, "cuda": 16, "mps": 8}
"""By kind of device, at least, where the settings do not say. A GPU has more to do with more tiles,
but one image of the competition has only 12 at a network diameter of 17 px and 35 at 30."""

N_PART_SIZES = 4
"""Compiled sizes of a batch: whole, three quarters, half and a quarter, for what is left over."""


class TileRunner:
    """A network on its device, fed with the tiles of one image after the other.

    Parameters
    ----------
    network : CPnet
        Moved to `device` and switched to evaluation; what changes in it later is not seen.
    settings : InferenceConfig
    device : torch.device

    Raises
    ------
    ConfigError
        The device cannot do what ``inference.compilation`` asks for.

    Notes
    -----
    Memory holds the feature maps of one batch, on a CPU of one tile for each thread (100 MB each in
    float32), and the image and its output at the network's resolution. On a GPU nothing waits: what
    is returned is still being computed.

    When the memory of the device runs out, the batch is halved, and stays so.

    Where the precision is left to it and the device computes bfloat16, the first image decides, see
    `settle_precision`.
    """

    def __init__(self, network: CPnet, settings: InferenceConfig, device: torch.device) -> None:
        # A number that is read from a GPU waits for all that it still has to do.
        self.diam_mean = float(network.diam_mean)
        self.network = network.to(device, memory_format=image_layout(device)).eval()
        self.device = device
        self.precision = choose_precision(settings.precision, device)
        self.is_settled = settings.precision != "auto" or self.precision.dtype is torch.float32
        self.batch_size = settings.batch_size or tiles_at_once(device)
        self._settings = settings
        self._compilation = choose_compilation(settings.compilation, device)
        self._plain = plain_forward(self.network, device, self.dtype)
        self._compiled: Forward | None = None

    @property
    def dtype(self) -> torch.dtype:
        """Of the convolutions."""
        return self.precision.dtype

    def plan(self, shape: Shape) -> TileGrid:
        """Give the tiles of an image of (H, W) pixels at the network's resolution."""
        height, width = (side + sum(padding(side)) for side in shape)
        return plan_tiles((height, width), self._settings.tile_size, self._settings.tile_overlap)

    def side_of(self, n_tiles: int) -> int:
        """Give the longest side, pixels at the network's resolution, that takes so many tiles."""
        return longest_side(n_tiles, self._settings.tile_size, self._settings.tile_overlap)

    def settle_precision(self, image: torch.Tensor) -> str:
        """Keep bfloat16 only if it gives the same as float32 on a tile of this image.

        Parameters
        ----------
        image : (2, H, W) float32
            On the device, at the network's resolution.

        Returns
        -------
        str
            Why it is float32, for the user; empty where bfloat16 stays, and when it was asked for
            by name or decided before.

        Raises
        ------
        torch.OutOfMemoryError
            Beside the image a single tile does not fit into the memory; nothing is decided.
        """
        if self.is_settled:
            return ""
        padded, grid = self._padded(image)
        tile = self._laid_out(richest_tile(cut_tiles(padded, grid)))
        exact = plain_forward(self.network, self.device, torch.float32)
        # Of a single tile: where memory runs out, a smaller batch would not help.
        found = least_correlation(exact, self._plain, tile)
        self.is_settled = True
        if found >= LEAST_CORRELATION:
            return ""
        self.precision = PrecisionChoice(
            dtype=torch.float32,
            reason=f"bfloat16 correlates at {found:.4f} with it, below {LEAST_CORRELATION}",
        )
        self._plain, self._compiled = exact, None
        return f"precision: {self.precision}"

    def run(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Run an image through the network.

        Parameters
        ----------
        image : (2, H, W) float32
            On the device, at the network's resolution.

        Returns
        -------
        (3, H, W) float32
            On the device: flows dy, dx times `FLOW_SCALE`, and the logit.
        (S,) float32
            On the device: the mean style of the tiles, at unit length.

        Raises
        ------
        ImageError
            Beside the image a single tile does not fit into the memory.
        torch.OutOfMemoryError
            The image itself does not, or not even a tile beside it while the precision is open.
        """
        self.settle_precision(image)
        height, width = image.shape[-2:]
        top, left = padding(height)[0], padding(width)[0]
        padded, grid = self._padded(image)
        # Not among what is done again: it is as large, however few the tiles.
        average = TileAverage(grid, N_OUTPUTS, self.device)
        before = self.batch_size
        try:
            output, style = self._within_memory(
                grid, lambda: self._run_tiles(padded, grid, average)
            )
        except ModelError as error:
            # The next image may be smaller. What was compiled is gone, and its memory with it.
            self.batch_size = before
            raise ImageError(str(error)) from error
        return output[:, top : top + height, left : left + width], style

    def compile_network(self) -> str:
        """Compile the network for whole tiles, as ``inference.compilation`` asks for.

        Returns
        -------
        str
            What was done and how long it took, or why it was not, for the user; empty when
            nothing was asked for, and when it was done before.
        """
        if self._compilation == "none" or self._compiled is not None:
            return ""
        side = self._settings.tile_size
        batches = [
            self._laid_out(torch.rand(size, N_INPUTS, side, side, device=self.device))
            for size in _part_sizes(self.batch_size)
        ]
        self._compiled, said = compiled_forward(
            self._compilation, self.network, self.dtype, batches
        )
        return said

    def seconds_per_tile(self, grid: TileGrid) -> float:
        """Time a batch of tiles, on a CPU one for each thread, after one to warm up; seconds."""
        return self._within_memory(grid, lambda: self._time_batch(grid))

    def _padded(self, image: torch.Tensor) -> tuple[torch.Tensor, TileGrid]:
        height, width = image.shape[-2:]
        padded = torch.nn.functional.pad(image, (*padding(width), *padding(height)))
        return padded, self.plan((height, width))

    def _time_batch(self, grid: TileGrid) -> float:
        # A GPU takes a whole batch in hardly more time than a tile, a processor one a thread.
        most = torch.get_num_threads() if self.device.type == "cpu" else self.batch_size
        n_tiles = min(len(grid.corners), self.batch_size, most)
        batch = torch.zeros(n_tiles, N_INPUTS, *grid.tile, device=self.device)
        # The copies to the processor wait for a GPU to be done.
        self._forward(batch)[0].cpu()
        started = time.perf_counter()
        self._forward(batch)[0].cpu()
        return (time.perf_counter() - started) / n_tiles

    def _run_tiles(
        self, padded: torch.Tensor, grid: TileGrid, average: TileAverage
    ) -> tuple[torch.Tensor, torch.Tensor]:
        average.restart()
        styles = []
        for first in range(0, len(grid.corners), self.batch_size):
            tiles = cut_tiles(padded, grid, first, first + self.batch_size)
            output, style = self._forward(tiles)
            average.add(output, first)
            styles.append(style.sum(dim=0))
        style = torch.stack(styles).sum(dim=0)
        return average.mean(), style / style.norm()

    def _forward(self, tiles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give output and style of (T, C, h, w) tiles, T at most the batch size.

        Notes
        -----
        What a compiled network gives is overwritten by its next call.
        """
        side = self._settings.tile_size
        if self._compiled is None or tiles.shape[-2:] != (side, side):
            return self._plain(self._laid_out(tiles))
        n_tiles = len(tiles)
        size = next(size for size in _part_sizes(self.batch_size) if size >= n_tiles)
        padded = tiles.new_zeros(size, *tiles.shape[1:])
        padded[:n_tiles] = tiles
        output, style = self._compiled(self._laid_out(padded))
        return output[:n_tiles], style[:n_tiles]

    def _laid_out(self, tiles: torch.Tensor) -> torch.Tensor:
        return tiles.contiguous(memory_format=image_layout(self.device))

    def _within_memory(self, grid: TileGrid, work: Callable[[], Result]) -> Result:
        """Do `work`, with smaller batches until the memory holds them."""
        while True:
            try:
                return work()
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                cause = first_line(error)
            # Outside the except block, whose traceback would keep the tensors alive.
            self._halve(grid, cause)

    def _halve(self, grid: TileGrid, cause: str) -> None:
        tried = min(self.batch_size, len(grid.corners))
        if tried == 1:
            raise ModelError(
                f"a single tile of {max(grid.tile)} px does not fit into the memory of "
                f"{self.device} ({cause}); lower inference.tile_size"
            )
        self.batch_size = (tried + 1) // 2
        self._compiled = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def tiles_at_once(device: torch.device) -> int:
    """Give the tiles of a batch where the settings do not say; on a CPU one for each thread."""
    least = TILES_AT_ONCE[device.type]
    return max(least, torch.get_num_threads()) if device.type == "cpu" else least


def _part_sizes(batch_size: int) -> list[int]:
    """Give the compiled sizes of a batch, the smallest first.

    Examples
    --------
    >>> _part_sizes(16), _part_sizes(1)
    ([4, 8, 12, 16], [1])
    """
    parts = range(1, N_PART_SIZES + 1)
    return sorted({-(-batch_size * part // N_PART_SIZES) for part in parts})
