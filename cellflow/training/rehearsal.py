"""How long a training step takes on this machine, before any data is read."""

import time

import torch

from cellflow.config import Config
from cellflow.errors import ModelError
from cellflow.network.cpnet import build_network
from cellflow.network.devices import choose_device, image_layout, is_out_of_memory, synchronize
from cellflow.network.precision import autocast, choose_precision
from cellflow.network.quick_training import quicken_training
from cellflow.training.losses import flow_and_cell_loss
from cellflow.training.optimizer import make_optimizer
from cellflow.wording import first_line

N_STEPS = 2
"""The last one is timed; the first one chooses algorithms and allocates memory."""


def measure_step(config: Config, device: str = "auto") -> float:
    """Estimate the seconds of one optimiser step, with the network and crops of `config`.

    Parameters
    ----------
    config : Config
    device : str
        As for `choose_device`.

    Raises
    ------
    ModelError
        Memory runs out for a single crop.

    Notes
    -----
    Measured on noise: crops are not read or augmented. On a CPU one crop is measured, since time
    grows in proportion; on a GPU the whole batch, or as much of it as fits into its memory.
    """
    training, chosen = config.training, choose_device(device).device
    n_crops = 1 if chosen.type == "cpu" else training.batch_size
    while True:
        try:
            return _measure(config, chosen, n_crops) * training.batch_size / n_crops
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            cause = first_line(error)
        # Outside the except block, whose traceback would keep the tensors alive.
        if n_crops == 1:
            raise ModelError(
                f"{chosen}: not enough memory for one crop of {training.crop_size} px; "
                f"lower training.crop_size ({cause})"
            )
        n_crops //= 2
        if chosen.type == "cuda":
            torch.cuda.empty_cache()


def _measure(config: Config, device: torch.device, n_crops: int) -> float:
    training = config.training
    dtype = choose_precision(training.precision, device).dtype
    generator = torch.Generator().manual_seed(training.seed)
    layout = image_layout(device)
    network = build_network(config.network, generator).to(device, memory_format=layout).train()
    quicken_training(network, device, dtype)
    optimizer = make_optimizer(network, training)
    shape = (n_crops, training.crop_size, training.crop_size)
    image = torch.rand((shape[0], 2, *shape[1:]), generator=generator).to(device)
    image = image.contiguous(memory_format=layout)
    cells = torch.ones(shape, device=device)
    started = 0.0
    for _ in range(N_STEPS):
        synchronize(device)
        started = time.monotonic()
        optimizer.zero_grad(set_to_none=True)
        with autocast(device, dtype):
            output = network(image)[0]
        losses = flow_and_cell_loss(output, torch.zeros_like(output[:, :2]), cells, cells)
        sum(losses, start=torch.zeros((), device=device)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    synchronize(device)
    return time.monotonic() - started
