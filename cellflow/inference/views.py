"""The eight ways to turn and mirror an image, undone on flow fields as vectors."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class View:
    """A way to look at an image: mirrored at the diagonal, then top to bottom, then left to right.

    Parameters
    ----------
    diagonal : bool
        Swap rows and columns.
    rows : bool
        Mirror top and bottom.
    columns : bool
        Mirror left and right.

    Notes
    -----
    All eight together are the symmetries of the square: four turns by 90 degrees and their mirror
    images. This is test-time augmentation of the whole image: every pixel is seen in every view,
    in tiles that are cut as always.

    Cellpose's ``augment=True`` is another thing: tiles overlap by half, and each is mirrored or
    not according to its row and column in the grid, never turned by 90 degrees. A pixel is covered
    by about four tiles, each seen in one of four ways, so its cost is that of four times the
    tiles, and what is averaged differs from place to place.
    """

    diagonal: bool = False
    rows: bool = False
    columns: bool = False

    def apply(self, image: torch.Tensor) -> torch.Tensor:
        """Give a (…, H, W) image in this view: (…, W, H) when mirrored at the diagonal."""
        return self._mirror(image.transpose(-2, -1) if self.diagonal else image)

    def undo(self, field: torch.Tensor) -> torch.Tensor:
        """Bring what the network says of the view back to the image.

        Parameters
        ----------
        field : (3, h, w) float
            Of the view: flows dy, dx, and cell probability.

        Returns
        -------
        (3, H, W) float
            Of the image, its flows turned back as vectors.
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
"""In the order in which `inference.views` takes them: 1 = the image as it is; 2 = and mirrored left
to right; 4 = and mirrored top to bottom, each also both ways (a half turn); 8 = and turned."""
