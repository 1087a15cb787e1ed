"""Entries to batches of crops, in bounded memory and the same whoever loads them.

Every crop is a function of (seed, epoch, slot) alone: neither the number of loaders nor an
interruption changes what step s sees. Memory: `cache_megabytes` of prepared images over all
loaders, one image more per loader while it is prepared, and the batches in flight (2 in a thread,
2 per process).
"""

import itertools
import multiprocessing
import signal
from collections import OrderedDict
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from cellflow.config import AugmentConfig, DataConfig, TrainingConfig
from cellflow.data.dataset import Entry
from cellflow.data.flatten import flatten
from cellflow.errors import CellflowError, DataError, ImageError
from cellflow.network.preprocess import prepare_image
from cellflow.targets.flows import labels_to_target
from cellflow.training.augment import (
    Crop,
    PreparedImage,
    Warp,
    crop_image,
    crop_labels,
    draw_warp,
)
from cellflow.training.cutout import cut_hole, draw_hole
from cellflow.training.interruption import REQUEUE_SIGNALS
from cellflow.training.levels import Levers, choose_levers
from cellflow.training.mosaic import draw_fields, join_fields
from cellflow.training.photometry import apply_photometry, draw_photometry

_ORDER, _CROP, _LIGHT, _MOSAIC, _FIELD = range(5)
"""First word of each kind of random streams, so that they never meet: a lever that is switched on
leaves the draws of the others as they are."""


class Batch(NamedTuple):
    """What one training step sees.

    Parameters
    ----------
    image : (B, C, S, S) float32 tensor
    flows : (B, 2, S, S) float32 tensor
        Target vectors (dy, dx), length at most 1.
    cells : (B, S, S) float32 tensor
        1 in cells, else 0.
    weights : (B, S, S) float32 tensor
        What each pixel counts in the loss; 0 leaves it out.
    """

    image: torch.Tensor
    flows: torch.Tensor
    cells: torch.Tensor
    weights: torch.Tensor


def prepare_entry(entry: Entry, config: DataConfig, *, keep_labels: bool = False) -> PreparedImage:
    """Read one image with its truth and compute network input and target.

    Parameters
    ----------
    entry : Entry
    config : DataConfig
    keep_labels : bool
        Whether to keep the labels too, as mosaics need them.

    Raises
    ------
    DataError
        The image has no truth, or a file is broken; the message names the image.
    """
    sample = entry.load()
    if sample.masks is None:
        raise DataError(f"image {entry.name}: has no truth, so it cannot be trained on")
    try:
        image = prepare_image(sample.image, config)
    except ImageError as error:
        raise ImageError(f"image {entry.name}: {error}") from error
    labels = flatten(sample.masks, config.flatten)
    return PreparedImage.pack(image, labels_to_target(labels), labels if keep_labels else None)


def crop_order(n_images: int, n_crops: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Give the image of each of an epoch's crops: shuffled rounds over all images, cut to length.

    Returns
    -------
    (n_crops,) int64
        No image occurs twice as often as another plus one.
    """
    rng = np.random.default_rng((_ORDER, seed, epoch))
    rounds = [rng.permutation(n_images) for _ in range(-(-n_crops // n_images))]
    return np.concatenate(rounds)[:n_crops]


@dataclass(kw_only=True, eq=False)
class CropSource(Dataset[Batch | CellflowError]):
    """The batch of every step; picklable, so that loaders work under ``spawn``.

    Parameters
    ----------
    entries : sequence of Entry
        The annotated training images.
    rescales : sequence of float
        Crop pixels per image pixel of each entry, before the random zoom.
    data : DataConfig
    training : TrainingConfig
    augment : AugmentConfig
    rank, n_ranks : int
        Which of how many processes this is: it makes its own share of each batch.

    Notes
    -----
    An epoch is `images_per_epoch` crops (default: one an image), filled up to whole batches, so
    that a data set smaller than a batch still gives full ones.
    """

    entries: Sequence[Entry]
    rescales: Sequence[float]
    data: DataConfig
    training: TrainingConfig
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    rank: int = 0
    n_ranks: int = 1
    levers: Levers = field(init=False)
    _cache: OrderedDict[int, PreparedImage] = field(default_factory=OrderedDict, init=False)

    def __post_init__(self) -> None:
        self.levers = choose_levers(self.augment)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        n_crops = self.training.images_per_epoch or len(self.entries)
        return -(-n_crops // self.training.batch_size)

    @property
    def cached_bytes(self) -> int:
        """Memory of the prepared images that are kept, bytes."""
        return sum(prepared.n_bytes for prepared in self._cache.values())

    def batch(self, step: int) -> Batch:
        """Give the batch of a step, counted from 0 over all epochs.

        Raises
        ------
        DataError
            An image cannot be read; the message names it.
        """
        epoch, step_in_epoch = divmod(step, self.steps_per_epoch)
        size, seed = self.training.batch_size, self.training.seed
        order = crop_order(len(self.entries), self.steps_per_epoch * size, seed, epoch)
        slots = range(step_in_epoch * size, (step_in_epoch + 1) * size)
        slots = slots[self.rank * size // self.n_ranks : (self.rank + 1) * size // self.n_ranks]
        crops = [self._crop(int(order[slot]), (seed, epoch, slot)) for slot in slots]
        parts = ([getattr(crop, name) for crop in crops] for name in Batch._fields)
        return Batch(*(torch.from_numpy(np.stack(part)) for part in parts))

    def __getitem__(self, step: int) -> Batch | CellflowError:
        """Give `batch`, or its error as a value: an error from a process would lose its words."""
        try:
            return self.batch(step)
        except CellflowError as error:
            return error

    def __getstate__(self) -> dict[str, object]:
        # Loader processes start with an empty cache instead of a copy of this one.
        return {**self.__dict__, "_cache": OrderedDict()}

    def _crop(self, index: int, slot: tuple[int, int, int]) -> Crop:
        """Give the crop of a slot, (seed, epoch, number), in which `index` is the first image."""
        rng, size = np.random.default_rng((_MOSAIC, *slot)), self.training.crop_size
        if rng.random() < self.levers.mosaic:
            crop = self._mosaic(index, slot, rng)
        else:
            crop = crop_image(*self._drawn(index, (_CROP, *slot), (size, size)))
        rng = np.random.default_rng((_LIGHT, *slot))
        apply_photometry(crop, draw_photometry(rng, self.levers), rng)
        hole = draw_hole(rng, (size, size), self.levers)
        if hole is not None:
            cut_hole(crop, hole)
        return crop

    def _mosaic(self, index: int, slot: tuple[int, ...], rng: np.random.Generator) -> Crop:
        """Give four fields in one crop, the first of image `index`, the others of any."""
        size = self.training.crop_size
        fields = draw_fields(rng, size)
        indices = [index, *rng.integers(len(self.entries), size=3).tolist()]
        drawn = [
            self._drawn(image, (_FIELD, *slot, k), field.shape)
            for k, (image, field) in enumerate(zip(indices, fields, strict=True))
        ]
        crops = [crop_image(prepared, warp) for prepared, warp in drawn]
        labels = [crop_labels(prepared, warp) for prepared, warp in drawn]
        return join_fields(fields, crops, labels, size)

    def _drawn(
        self, index: int, stream: tuple[int, ...], size: tuple[int, int]
    ) -> tuple[PreparedImage, Warp]:
        """Give an image, and which piece of it is cut."""
        prepared, kind = self._prepared(index), self.entries[index].cell_type
        warp = draw_warp(
            np.random.default_rng(stream),
            prepared.shape,
            size,
            levers=self.levers,
            rescale=self.rescales[index],
            scale_range=self.levers.scale_range_by_type.get(str(kind)),
        )
        return prepared, warp

    def _prepared(self, index: int) -> PreparedImage:
        if index in self._cache:
            self._cache.move_to_end(index)
            return self._cache[index]
        keep_labels = self.levers.mosaic > 0
        prepared = prepare_entry(self.entries[index], self.data, keep_labels=keep_labels)
        self._cache[index] = prepared
        limit = self.training.cache_megabytes * 2**20 / max(1, self.training.n_workers)
        while self.cached_bytes > limit:
            self._cache.popitem(last=False)
        return prepared


def stream_batches(
    source: CropSource, first_step: int, *, pin: bool = False
) -> Generator[Batch, None, None]:
    """Go over the batches from `first_step` on, without end, loading ahead.

    Parameters
    ----------
    source : CropSource
        Its ``training.n_workers`` says who loads: processes, or for 0 one thread of this process
        (the crops' kernels release the interpreter lock).
    first_step : int
    pin : bool
        Whether to put batches into page-locked memory, for copies to a CUDA device that overlap.

    Raises
    ------
    DataError
        An image cannot be read.
    CellflowError
        The system ended a loader process.

    Notes
    -----
    Close the generator to end its thread or processes.
    """
    load = _in_processes if source.training.n_workers else _in_a_thread
    with closing(load(source, first_step, pin)) as batches:
        for batch in batches:
            if isinstance(batch, CellflowError):
                raise batch
            yield batch


Loaded = Generator[Batch | CellflowError, None, None]


def _in_a_thread(source: CropSource, first: int, pin: bool) -> Loaded:
    def load(step: int) -> Batch | CellflowError:
        batch = source[step]
        if pin and isinstance(batch, Batch):
            return Batch(*(part.pin_memory() for part in batch))
        return batch

    with ThreadPoolExecutor(1) as thread:
        ahead = thread.submit(load, first)
        for step in itertools.count(first + 1):
            batch = ahead.result()
            ahead = thread.submit(load, step)
            yield batch


def _in_processes(source: CropSource, first: int, pin: bool) -> Loaded:
    is_stopped = False

    def steps() -> Iterator[int]:
        for step in itertools.count(first):
            if is_stopped:
                return
            yield step

    loader: DataLoader[Batch | CellflowError] = DataLoader(
        source,
        batch_size=None,
        sampler=steps(),
        num_workers=source.training.n_workers,
        multiprocessing_context=multiprocessing.get_context("spawn"),
        worker_init_fn=_settle_in,
        pin_memory=pin,
    )
    batches = iter(loader)
    try:
        yield from batches
    except (RuntimeError, OSError, EOFError) as error:
        # The pipe to a process that is gone, or PyTorch's words for it.
        if isinstance(error, RuntimeError) and "exited unexpectedly" not in str(error):
            raise
        raise CellflowError(
            "a loader process was ended by the system, as when memory runs out; lower "
            "training.n_workers or training.cache_megabytes, and continue with --resume"
        ) from error
    finally:
        # A process that is ended while it sends a tensor aborts: let all come to rest first.
        is_stopped = True
        with suppress(RuntimeError, OSError, EOFError):  # of processes that are gone already
            for _ in batches:
                pass


def _settle_in(worker: int) -> None:
    # Ctrl-C reaches every process of the terminal, a scheduler's signal every one of the job; only
    # the training one answers.
    for number in (signal.SIGINT, *REQUEUE_SIGNALS):
        signal.signal(number, signal.SIG_IGN)
    # As many loaders as processors would otherwise start as many threads each.
    numba.set_num_threads(1)
