"""Test-time augmentation: the eight flips and turns of an image, undone on flow fields."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class View:
    """A transposition, then a flip top to bottom, then a flip left to right, each optional.

    Parameters
    ----------
    diagonal : bool
        Transpose: swap rows and columns.
    rows : bool
        Flip top to bottom.
    columns : bool
        Flip left to right.

    Notes
    -----
    The eight views are the symmetries of the square: four turns by 90 degrees and their mirror
    images. They augment the whole image: the network sees every pixel in every view, in tiles that
    are cut as usual.

    Cellpose's ``augment=True`` is different: tiles overlap by half, and each tile is flipped or not
    according to its row and column in the grid, never turned by 90 degrees. About four tiles cover
    a pixel, each in one of four views. So it costs four times as many tiles, and which views are
    averaged differs from place to place.
    """

    diagonal: bool = False
    rows: bool = False
    columns: bool = False

    def apply(self, image: torch.Tensor) -> torch.Tensor:
        """Give a (…, H, W) image in this view; (…, W, H) if it is transposed."""
        return self._mirror(image.transpose(-2, -1) if self.diagonal else image)

    def undo(self, field: torch.Tensor) -> torch.Tensor:
        """Transform the network's output for this view back to the image.

        Parameters
        ----------
        field : (3, h, w) float
            Output for the view: flows dy, dx, and cell probability.

        Returns
        -------
        (3, H, W) float
            Output for the image; flow vectors are flipped and transposed too.
        """
        dy, dx, cellprob = self._mirror(field)
        dy, dx = -dy if self.rows else dy, -dx if self.columns else dx
        if self.diagonal:
            dy, dx, cellprob = dx.transpose(0, 1), dy.transpose(0, 1), cellprob.transpose(0, 1)
        return torch.stack([dy, dx, cellprob])

    def _mirror(self, image: torch.Tensor) -> torch.Tensor:
        axes = [axis for axis, mirrored in ((-2, self.rows), (-1, self.columns)) if mirrored]
        return image.flip(axes) if axes else image


VIEWS = (
    View(),
    View(columns=True),
    View(rows=True),
    View(rows=True, columns=True),
    View(diagonal=True),
    View(diagonal=True, columns=True),
    View(diagonal=True, rows=True),
    View(diagonal=True, rows=True, columns=True),
)
"""All views; ``inference.views = n`` uses the first n. 1: the image as it is; 2: also flipped left
to right; 4: also flipped top to bottom, and both (a half turn); 8: also these four transposed."""
