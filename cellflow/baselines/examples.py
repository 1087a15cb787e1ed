"""Training examples of the baselines: cellflow's own augmentation with other targets.

Every example is a function of (seed, iteration, slot) alone, so neither threads nor interruptions
change what an iteration sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cellflow.baselines.greys import GreyImage, grey_image, standardize
from cellflow.baselines.settings import BaselineConfig
from cellflow.baselines.truth_crops import TruthCrop, crop_masks
from cellflow.data.dataset import Entry
from cellflow.data.flatten import flatten
from cellflow.data.rle import labels_to_masks
from cellflow.errors import ConfigError, ImageError
from cellflow.records import CellMasks
from cellflow.training.augment import Crop, Warp, crop_picture, draw_warp
from cellflow.training.batches import crop_order
from cellflow.training.cutout import Hole, cut_hole, draw_hole
from cellflow.training.first_kept import FirstKept
from cellflow.training.levels import Levers, choose_levers
from cellflow.training.mosaic import Field, draw_fields
from cellflow.training.photometry import apply_photometry, draw_photometry

_CROP, _LIGHT, _MOSAIC, _FIELD = range(11, 15)
"""First word of the seed of each random stream, different from those of cellflow's own training."""

MOST_HIDDEN = 0.5
"""Largest share of a cell that a hole may hide; cells that are hidden more are dropped."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Example:
    """One crop with its cells.

    Parameters
    ----------
    image : (1, h, w) float32
        As the network sees it.
    truth : TruthCrop
    kind : int
        Number of the image's class, from 0.
    weights : (h, w) float32
        Weight of each pixel in a loss over pixels; 0 under a hole.
    inside : (h, w) bool
        Whether the pixel lies in the image.
    """

    image: NDArray[np.float32]
    truth: TruthCrop
    kind: int
    weights: NDArray[np.float32]
    inside: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeptImage:
    """One training image in memory: its grey levels, and its cells as run lengths."""

    grey: GreyImage
    masks: CellMasks

    @property
    def n_bytes(self) -> int:
        """Memory use in bytes."""
        return self.grey.units.nbytes + self.masks.starts.nbytes + self.masks.lengths.nbytes


@dataclass(kw_only=True, eq=False)
class ExampleSource:
    """The examples of every iteration.

    Parameters
    ----------
    entries : sequence of Entry
        The annotated training images.
    kinds : sequence of int
        Class of each, from 0.
    config : BaselineConfig
    is_flat : bool
        Whether the truth is flattened first, so that no two cells share a pixel.
    """

    entries: Sequence[Entry]
    kinds: Sequence[int]
    config: BaselineConfig
    is_flat: bool = False
    levers: Levers = field(init=False)
    in_memory: FirstKept[KeptImage] = field(init=False)

    def __post_init__(self) -> None:
        self.levers = choose_levers(self.config.augment)
        self.in_memory = FirstKept(self.config.training.cache_megabytes * 2**20)
        height, width = self.size
        if self.levers.mosaic and height != width:
            raise ConfigError(
                f"augment.mosaic: needs square crops, training has {height}x{width}; set it to 0"
            )

    @property
    def size(self) -> tuple[int, int]:
        """Size of a crop (h, w), network pixels."""
        return self.config.training.crop_height, self.config.training.crop_width

    def batch(self, iteration: int) -> list[Example]:
        """Give the examples of an iteration, counted from 0.

        Raises
        ------
        DataError
            An image or its truth cannot be read; the message names it.
        """
        size, seed, n = (
            self.config.training.batch_size,
            self.config.training.seed,
            len(self.entries),
        )
        examples = []
        for slot in range(iteration * size, (iteration + 1) * size):
            round_, place = divmod(slot, n)
            index = int(crop_order(n, n, seed, round_)[place])
            examples.append(self._example(index, (seed, slot)))
        return examples

    def _example(self, index: int, slot: tuple[int, int]) -> Example:
        rng = np.random.default_rng((_MOSAIC, *slot))
        if rng.random() < self.levers.mosaic:
            fields = draw_fields(rng, self.size[0])
            others = rng.integers(len(self.entries), size=3).tolist()
            crop, masks, grey, kind = self._mosaic(fields, [index, *others], slot)
        else:
            kept, warp = self._drawn(index, (_CROP, *slot), self.size)
            crop, masks = crop_picture(kept.grey.units, warp, 1), crop_masks(kept.masks, warp)
            grey, kind = kept.grey, self.kinds[index]
        rng = np.random.default_rng((_LIGHT, *slot))
        apply_photometry(crop, draw_photometry(rng, self.levers), rng)
        hole = draw_hole(rng, self.size, self.levers)
        if hole is not None:
            cut_hole(crop, hole)
            masks = _without_hidden(masks, hole)
        return Example(
            image=standardize(crop.image, crop.inside, grey, self.config.image),
            truth=TruthCrop.of(masks),
            kind=kind,
            weights=crop.weights,
            inside=crop.inside,
        )

    def _mosaic(
        self, fields: Sequence[Field], indices: Sequence[int], slot: tuple[int, int]
    ) -> tuple[Crop, NDArray[np.uint8], GreyImage, int]:
        """Join four pieces of images of one class; cells end at the seams."""
        kind = self.kinds[indices[0]]
        alike = [index for index in range(len(self.kinds)) if self.kinds[index] == kind]
        joined, stacks = Crop.empty(1, self.size), []
        for number, (place, index) in enumerate(zip(fields, indices, strict=True)):
            chosen = index if number == 0 else alike[index % len(alike)]
            kept, warp = self._drawn(chosen, (_FIELD, *slot, number), place.shape)
            crop, masks = crop_picture(kept.grey.units, warp, 1), crop_masks(kept.masks, warp)
            at = (place.rows, place.columns)
            joined.image[:, *at], joined.inside[at] = crop.image, crop.inside
            stack = np.zeros((len(masks), *self.size), np.uint8)
            stack[:, *at] = masks
            stacks.append(stack)
        return joined, np.concatenate(stacks), self._image(indices[0]).grey, kind

    def _drawn(
        self, index: int, stream: tuple[int, ...], size: tuple[int, int]
    ) -> tuple[KeptImage, Warp]:
        """Give an image, and draw which piece of it is cut out."""
        kept = self._image(index)
        warp = draw_warp(
            np.random.default_rng(stream),
            kept.grey.shape,
            size,
            levers=self.levers,
            rescale=self.config.image.scale,
            cell_type=self.entries[index].cell_type,
        )
        return kept, warp

    def _image(self, index: int) -> KeptImage:
        """Give an image from memory, or read it."""
        return self.in_memory.get(
            index, lambda k: _read(self.entries[k], self.is_flat, self.config)
        )


def _read(entry: Entry, is_flat: bool, config: BaselineConfig) -> KeptImage:
    image, masks = entry.load_annotated()
    try:
        grey = grey_image(image)
    except ImageError as error:
        raise ImageError(f"image {entry.name}: {error}") from error
    if is_flat:
        masks = labels_to_masks(flatten(masks, config.unet.flatten))
    return KeptImage(grey=grey, masks=masks)


def _without_hidden(masks: NDArray[np.uint8], hole: Hole) -> NDArray[np.uint8]:
    """Drop the cells of which the hole hides too much."""
    areas = masks.sum(axis=(1, 2), dtype=np.int64)
    hidden = masks[:, *hole].sum(axis=(1, 2), dtype=np.int64)
    shown: NDArray[np.uint8] = masks[hidden <= MOST_HIDDEN * areas]
    return shown
