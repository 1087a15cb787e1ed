"""How long a step of training takes here, before any data is read."""

import time

import torch

from cellflow.config import Config
from cellflow.network.convolutions import quicken_gradients
from cellflow.network.cpnet import build_network
from cellflow.network.devices import choose_device
from cellflow.network.precision import autocast, choose_precision
from cellflow.network.upsampling import delay_upsampling
from cellflow.training.losses import flow_and_cell_loss
from cellflow.training.optimizer import make_optimizer

N_STEPS = 2
"""Of which the last one is timed: the first one chooses algorithms and asks for memory."""


def measure_step(config: Config, device: str = "auto") -> float:
    """Estimate the seconds of one optimiser step, with the network and crops of `config`.

    Parameters
    ----------
    config : Config
    device : str
        As for `choose_device`.

    Notes
    -----
    Measured on noise: crops are not read or augmented. On a CPU one crop is measured, as the time
    is in proportion there; a GPU gets the whole batch.
    """
    training, chosen = config.training, choose_device(device).device
    dtype = choose_precision(training.precision, chosen).dtype
    generator = torch.Generator().manual_seed(training.seed)
    network = build_network(config.network, generator).to(chosen).train()
    delay_upsampling(network, chosen)
    quicken_gradients(network, chosen, dtype)
    optimizer = make_optimizer(network, training)
    n_crops = 1 if chosen.type == "cpu" else training.batch_size
    shape = (n_crops, training.crop_size, training.crop_size)
    image = torch.rand((shape[0], 2, *shape[1:]), generator=generator).to(chosen)
    image = image.contiguous(memory_format=torch.channels_last)
    cells = torch.ones(shape, device=chosen)
    started = 0.0
    for _ in range(N_STEPS):
        _synchronize(chosen)
        started = time.monotonic()
        optimizer.zero_grad(set_to_none=True)
        with autocast(chosen, dtype):
            output = network(image)[0]
        losses = flow_and_cell_loss(output, torch.zeros_like(output[:, :2]), cells, cells)
        sum(losses, start=torch.zeros((), device=chosen)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    _synchronize(chosen)
    return (time.monotonic() - started) * training.batch_size / n_crops


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
