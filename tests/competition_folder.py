"""A competition folder of drawn images."""

import numpy as np

from cellflow.data.images import write_png
from cellflow.data.kaggle import KaggleImage, write_train_csv
from cellflow.data.rle import dense_to_masks, labels_to_masks


def write_competition_folder(folder, images):
    """Write ``train.csv`` and ``train/NAME.png``, and give the folder.

    Parameters
    ----------
    folder : Path
    images : iterable of (name, picture, cells, metadata)
        Pictures (H, W) of 8 bits, rounded down and clipped; cells (H, W) labels or (N, H, W) bool.
    """
    rows = []
    for name, picture, cells, metadata in images:
        write_png(folder / "train" / f"{name}.png", np.clip(picture, 0, 255).astype(np.uint8))
        masks = labels_to_masks(cells) if cells.ndim == 2 else dense_to_masks(cells)
        rows.append(KaggleImage(name=name, masks=masks, metadata=metadata))
    write_train_csv(folder / "train.csv", rows)
    return folder
