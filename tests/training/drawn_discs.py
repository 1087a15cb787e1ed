"""Images of bright discs, which a small network learns within seconds."""

import numpy as np
import tifffile
from competition_folder import write_competition_folder

from cellflow.data.dataset import Entry, masks_in_memory
from cellflow.data.images import write_png
from cellflow.data.rle import labels_to_masks


def draw_discs(rng, shape=(64, 80), n_cells=9, radius=5):
    """Bright discs with a dark rim on grey noise, and their labels; they do not touch."""
    labels = np.zeros(shape, np.int32)
    y, x = np.mgrid[: shape[0], : shape[1]]
    corners = [(r, c) for r in range(8, shape[0] - 7, 16) for c in range(8, shape[1] - 7, 16)]
    rng.shuffle(corners)
    for label, (row, column) in enumerate(corners[:n_cells], 1):
        off = rng.integers(-2, 3, 2)
        labels[(y - row - off[0]) ** 2 + (x - column - off[1]) ** 2 <= radius**2] = label
    image = 90 + 90 * (labels > 0) + rng.normal(0, 12, shape)
    return image.clip(0, 255).astype(np.uint8), labels


def disc_entry(folder, name, rng, **how):
    image, labels = draw_discs(rng, **how)
    write_png(folder / f"{name}.png", image)
    truth = masks_in_memory(labels_to_masks(labels))
    return Entry(name=name, image_path=folder / f"{name}.png", read_masks=truth, cell_type="cort")


def write_disc_folder(folder, n, seed=1, n_cells=9):
    """Write a competition folder of `n` images and give its path."""
    rng, images = np.random.default_rng(seed), []
    for k in range(n):
        metadata = {"cell_type": "cort", "sample_id": f"p_A{k}-1_Vessel-1_Ph_1"}
        images.append((f"disc{k}", *draw_discs(rng, n_cells=n_cells), metadata))
    return write_competition_folder(folder, images)


def write_two_channel_discs(folder, n):
    """Write a plain folder: a picture of two channels and a label image each."""
    rng = np.random.default_rng(1)
    folder.mkdir()
    for k in range(n):
        image, labels = draw_discs(rng)
        tifffile.imwrite(folder / f"disc{k}.tif", np.stack([image, image]))
        tifffile.imwrite(folder / f"disc{k}_masks.tif", labels.astype(np.uint16))
    return folder
