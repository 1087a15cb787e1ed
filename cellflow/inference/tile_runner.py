"""Runs one network on one device over the tiles of an image."""

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
from cellflow.network.precision import PrecisionChoice, choose_precision, dtype_name
from cellflow.records import Shape
from cellflow.wording import first_line

Result = TypeVar("Result")

TILES_AT_ONCE = {"cpu": 4, "cuda": 16, "mps": 8}
"""Default batch size by kind of device; on a CPU the minimum, see `tiles_at_once`. A GPU is busier
with more tiles, but an image of the competition has only 12 of them at a network diameter of 17 px,
and 35 at 30 px."""

N_PART_SIZES = 4
"""Batch sizes to compile: the whole batch, and 3/4, 1/2 and 1/4 of it for the remaining tiles."""


class TileRunner:
    """Runs a network over the tiles of one image after another.

    Parameters
    ----------
    network : CPnet
        Moved to `device` and switched to evaluation; later changes to its weights have no effect.
    settings : InferenceConfig
    device : torch.device

    Raises
    ------
    ConfigError
        The device cannot do what ``inference.compilation`` asks for.

    Notes
    -----
    Memory holds the image and its output at the network's resolution, and the feature maps of one
    batch; on a CPU those of one tile per thread (100 MB each in float32). On a GPU no method waits
    for the device: the tensors that are returned may still be being computed.

    If the device runs out of memory, the batch size is halved, and stays so.

    With ``precision = "auto"`` and a device that is quicker in 16 bits, the first image decides,
    see `settle_precision`. An image whose output exceeds the range of float16 is computed again in
    float32; to tell, each pass in float16 waits for the device.
    """

    def __init__(self, network: CPnet, settings: InferenceConfig, device: torch.device) -> None:
        # Read once: reading a number from a GPU waits for all of its queued work.
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
        """Dtype of the convolutions."""
        return self.precision.dtype

    def plan(self, shape: Shape) -> TileGrid:
        """Give the tile grid of an image of (H, W) pixels at the network's resolution."""
        height, width = (side + sum(padding(side)) for side in shape)
        return plan_tiles((height, width), self._settings.tile_size, self._settings.tile_overlap)

    def side_of(self, n_tiles: int) -> int:
        """Give the longest side that `n_tiles` tiles cover, pixels at the network's resolution."""
        return longest_side(n_tiles, self._settings.tile_size, self._settings.tile_overlap)

    def settle_precision(self, image: torch.Tensor) -> str:
        """Keep 16 bits only if their output agrees with float32 on a tile of this image.

        Parameters
        ----------
        image : (2, H, W) float32
            On the device, at the network's resolution.

        Returns
        -------
        str
            Why it is float32, for the user. Empty if the precision stays, if the settings name one,
            or if it was decided before.

        Raises
        ------
        torch.OutOfMemoryError
            There is not enough memory for a single tile beside the image; nothing is decided.
        """
        if self.is_settled:
            return ""
        padded, grid = self._padded(image)
        tile = self._laid_out(richest_tile(cut_tiles(padded, grid)))
        exact = plain_forward(self.network, self.device, torch.float32)
        # A single tile, so that running out of memory cannot be cured by a smaller batch.
        found = least_correlation(exact, self._plain, tile)
        self.is_settled = True
        if found >= LEAST_CORRELATION:
            return ""
        other = dtype_name(self.dtype)
        self.precision = PrecisionChoice(
            dtype=torch.float32,
            reason=f"its correlation with {other} is {found:.4f}, below {LEAST_CORRELATION}",
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
            There is not enough memory for a single tile beside the image.
        torch.OutOfMemoryError
            The image itself does not fit; or not even one tile beside it, and the precision is not
            decided yet.
        """
        self.settle_precision(image)
        height, width = image.shape[-2:]
        top, left = padding(height)[0], padding(width)[0]
        padded, grid = self._padded(image)
        # Outside the retries: its size does not depend on the number of tiles in a batch.
        average = TileAverage(grid, N_OUTPUTS, self.device)
        before = self.batch_size
        try:
            output, style = self._within_memory(
                grid, lambda: self._run_tiles(padded, grid, average, self._forward)
            )
            if self.dtype is torch.float16 and not output.isfinite().all():
                exact = plain_forward(self.network, self.device, torch.float32)
                output, style = self._within_memory(
                    grid, lambda: self._run_tiles(padded, grid, average, exact)
                )
        except ModelError as error:
            # The next image may be smaller. `_halve` has already dropped the compiled network.
            self.batch_size = before
            raise ImageError(str(error)) from error
        return output[:, top : top + height, left : left + width], style

    def compile_network(self) -> str:
        """Compile the network for tiles of full size, as ``inference.compilation`` says.

        Returns
        -------
        str
            Message for the user: what was done and how long it took, or why it was not done. Empty
            if nothing was to be done, or it was done before.
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
        """Time one batch, after a warm-up, and give the seconds per tile.

        On a CPU the batch holds at most one tile per thread.
        """
        return self._within_memory(grid, lambda: self._time_batch(grid))

    def _padded(self, image: torch.Tensor) -> tuple[torch.Tensor, TileGrid]:
        height, width = image.shape[-2:]
        padded = torch.nn.functional.pad(image, (*padding(width), *padding(height)))
        return padded, self.plan((height, width))

    def _time_batch(self, grid: TileGrid) -> float:
        # A GPU needs little more time for a batch than for a tile; a CPU runs one tile per thread.
        most = torch.get_num_threads() if self.device.type == "cpu" else self.batch_size
        n_tiles = min(len(grid.corners), self.batch_size, most)
        batch = torch.zeros(n_tiles, N_INPUTS, *grid.tile, device=self.device)
        # Copying to the CPU waits until a GPU is done.
        self._forward(batch)[0].cpu()
        started = time.perf_counter()
        self._forward(batch)[0].cpu()
        return (time.perf_counter() - started) / n_tiles

    def _run_tiles(
        self, padded: torch.Tensor, grid: TileGrid, average: TileAverage, forward: Forward
    ) -> tuple[torch.Tensor, torch.Tensor]:
        average.restart()
        styles = []
        for first in range(0, len(grid.corners), self.batch_size):
            tiles = cut_tiles(padded, grid, first, first + self.batch_size)
            output, style = forward(self._laid_out(tiles))
            average.add(output, first)
            styles.append(style.sum(dim=0))
        style = torch.stack(styles).sum(dim=0)
        return average.mean(), style / style.norm()

    def _forward(self, tiles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give output and style of (T, C, h, w) tiles, T at most the batch size.

        Notes
        -----
        The next call of a compiled network overwrites the tensors that this one returned.
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
        """Do `work`; while memory runs out, halve the batch size and try again."""
        while True:
            try:
                return work()
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                cause = first_line(error)
            # After the except block: inside it the traceback keeps the tensors alive.
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
    """Give the default batch size; on a CPU at least one tile per thread."""
    least = TILES_AT_ONCE[device.type]
    return max(least, torch.get_num_threads()) if device.type == "cpu" else least


def _part_sizes(batch_size: int) -> list[int]:
    """Give the batch sizes to compile, in ascending order.

    Examples
    --------
    >>> _part_sizes(16), _part_sizes(1)
    ([4, 8, 12, 16], [1])
    """
    parts = range(1, N_PART_SIZES + 1)
    return sorted({-(-batch_size * part // N_PART_SIZES) for part in parts})
