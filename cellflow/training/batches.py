"""Entries to batches of crops, in bounded memory and the same whoever loads them.

Every crop is a function of (seed, epoch, slot) alone: neither the number of loaders nor an
interruption changes what step s sees. Memory: `cache_megabytes` of prepared images over all
loaders, one image more per loader while it is prepared, and the batches in flight (one more than
there are threads, or 2 per process). Of each image only the truth's run lengths stay besides.
"""

import itertools
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from cellflow.config import AugmentConfig, DataConfig, TrainingConfig
from cellflow.data.dataset import Entry
from cellflow.errors import CellflowError
from cellflow.processors import n_processors_each
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
from cellflow.training.prepared import PreparedImages, prepared_folder

T = TypeVar("T")

_ORDER, _CROP, _LIGHT, _MOSAIC, _FIELD = range(5)
"""First word of the seed of each random stream. Streams never overlap, so switching one lever on
does not change what the others draw."""

MOST_THREADS = 8
"""Threads that make batches beside a GPU, at most."""


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
    contents : sequence of str
        A hash of each entry's image and truth; needed for ``training.store_prepared``.

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
    contents: Sequence[str] = ()
    levers: Levers = field(init=False)
    prepared: PreparedImages = field(init=False)

    def __post_init__(self) -> None:
        self.levers = choose_levers(self.augment)
        n_caches = max(1, self.training.n_workers)
        self.prepared = PreparedImages(
            entries=self.entries,
            data=self.data,
            keep_labels=self.levers.mosaic > 0,
            limit=self.training.cache_megabytes * 2**20 // n_caches,
            folder=prepared_folder() if self.training.store_prepared else None,
            contents=self.contents,
        )

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        n_crops = self.training.images_per_epoch or len(self.entries)
        return -(-n_crops // self.training.batch_size)

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

    def _crop(self, index: int, slot: tuple[int, int, int]) -> Crop:
        """Give the crop of a slot, (seed, epoch, number), in which `index` is the first image."""
        rng, size = np.random.default_rng((_MOSAIC, *slot)), self.training.crop_size
        if rng.random() < self.levers.mosaic:
            crop = self._mosaic(index, slot, rng)
        else:
            crop = self._cut(index, *self._drawn(index, (_CROP, *slot), (size, size)))
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
        crops = [self._cut(image, *one) for image, one in zip(indices, drawn, strict=True)]
        labels = [crop_labels(prepared, warp) for prepared, warp in drawn]
        return join_fields(fields, crops, labels, size)

    def _cut(self, index: int, prepared: PreparedImage, warp: Warp) -> Crop:
        crop = crop_image(prepared, warp)
        if self.entries[index].weight != 1:
            np.multiply(crop.weights, self.entries[index].weight, out=crop.weights)
        return crop

    def _drawn(
        self, index: int, stream: tuple[int, ...], size: tuple[int, int]
    ) -> tuple[PreparedImage, Warp]:
        """Give an image, and draw which piece of it is cut out."""
        prepared = self.prepared[index]
        warp = draw_warp(
            np.random.default_rng(stream),
            prepared.shape,
            size,
            levers=self.levers,
            rescale=self.rescales[index],
            cell_type=self.entries[index].cell_type,
        )
        return prepared, warp


def loader_threads(device: torch.device) -> int:
    """Give how many threads make batches when no processes do.

    Notes
    -----
    On a CPU the network needs the cores, and a batch is made in a hundredth of its step. Beside a
    GPU all cores but one load, up to 8; a core makes some 400 crops of 224 px a second.
    """
    if device.type == "cpu":
        return 1
    return max(1, min(MOST_THREADS, n_processors_each() - 1))


def stream_batches(
    source: CropSource,
    first_step: int,
    *,
    pin_for: torch.device | None = None,
    n_threads: int = 1,
) -> Generator[Batch, None, None]:
    """Go over the batches from `first_step` on, without end, loading ahead.

    Parameters
    ----------
    source : CropSource
        Its ``training.n_workers`` says who loads: processes, or for 0 threads of this process
        (the crops' kernels release the interpreter lock, and threads share their images).
    first_step : int
    pin_for : torch.device, optional
        CUDA device for which batches are put into page-locked memory, so that copies overlap.
    n_threads : int
        Threads that load if there are no processes; each makes one batch ahead. See
        `loader_threads`.

    Raises
    ------
    DataError
        An image cannot be read.
    CellflowError
        The system ended a loader process.

    Notes
    -----
    Closing the generator ends its threads or processes.
    """
    if source.training.n_workers:
        loaded = _in_processes(source, first_step, pin_for)
    else:
        loaded = _in_threads(source, first_step, pin_for, n_threads)
    with closing(loaded) as batches:
        for batch in batches:
            if isinstance(batch, CellflowError):
                raise batch
            yield batch


Loaded = Generator[Batch | CellflowError, None, None]


def _in_threads(
    source: CropSource, first: int, pin_for: torch.device | None, n_threads: int
) -> Loaded:
    def load(step: int) -> Batch | CellflowError:
        batch = source[step]
        if pin_for is not None and isinstance(batch, Batch):
            return Batch(*(part.pin_memory() for part in batch))
        return batch

    return load_ahead(load, first, n_threads)


def load_ahead(load: Callable[[int], T], first: int, n_threads: int) -> Generator[T, None, None]:
    """Yield ``load(first)``, ``load(first + 1)`` … without end; each thread makes one ahead.

    Notes
    -----
    Closing the generator ends the threads. An error of `load` is raised here, in its turn.
    """

    def settle_in() -> None:
        if n_threads > 1:  # else each would start as many again to compute flows
            numba.set_num_threads(1)

    threads = ThreadPoolExecutor(n_threads, "cellflow-loader", settle_in)
    try:
        ahead = deque(threads.submit(load, first + k) for k in range(n_threads))
        for step in itertools.count(first + n_threads):
            loaded = ahead.popleft().result()
            ahead.append(threads.submit(load, step))
            yield loaded
    finally:
        threads.shutdown(cancel_futures=True)


def _in_processes(source: CropSource, first: int, pin_for: torch.device | None) -> Loaded:
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
        pin_memory=pin_for is not None,
    )
    # PyTorch's pinning thread takes the current device, and would claim memory on a wrong one.
    with nullcontext() if pin_for is None else torch.cuda.device(pin_for):
        batches = iter(loader)
    try:
        yield from batches
    except (RuntimeError, OSError, EOFError) as error:
        # The pipe to a process that is gone, or PyTorch's words for it.
        if isinstance(error, RuntimeError) and "exited unexpectedly" not in str(error):
            raise
        raise CellflowError(
            "a loader process was killed by the system, perhaps for lack of memory; lower "
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
