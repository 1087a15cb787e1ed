"""The optimiser of a run, the scale of its loss, and the running average of the weights."""

import torch
from torch.optim.swa_utils import AveragedModel

from cellflow.config import TrainingConfig
from cellflow.errors import ConfigError
from cellflow.training.schedule import choose_rate


def make_optimizer(network: torch.nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """Give PyTorch's own optimiser over all parameters.

    Parameters
    ----------
    network : torch.nn.Module
        On its device: CPU and CUDA use the fused update, where PyTorch has one.
    config : TrainingConfig
        Its optimizer, learning_rate, weight_decay and momentum.

    Notes
    -----
    ``adamw`` and ``sgd`` are set up as in Cellpose 3.1. Everything else is PyTorch's default, but
    for the momentum of sgd, which exists from the start: PyTorch would leave it undefined if the
    first step is left out in float16.
    """
    parameters, rate = list(network.parameters()), choose_rate(config)
    decay, fused = config.weight_decay, parameters[0].device.type in ("cpu", "cuda")
    if config.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=fused)
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=rate, weight_decay=decay, fused=fused)
    if config.optimizer == "radam":  # which PyTorch has not fused
        return torch.optim.RAdam(parameters, lr=rate, weight_decay=decay)
    sgd = torch.optim.SGD(
        parameters, lr=rate, weight_decay=decay, momentum=config.momentum, fused=fused
    )
    if config.momentum:
        for weight in parameters:
            sgd.state[weight]["momentum_buffer"] = torch.zeros_like(weight, requires_grad=False)
    return sgd


def make_scaler(device: torch.device, dtype: torch.dtype) -> torch.amp.GradScaler:
    """Give what scales the loss in float16, so that small gradients do not become 0.

    Parameters
    ----------
    device : torch.device
    dtype : torch.dtype
        Of the convolutions; in float32 and bfloat16 the scaler passes everything on unchanged.

    Raises
    ------
    ConfigError
        float16 on an Apple GPU, for which older versions of PyTorch cannot scale.

    Notes
    -----
    PyTorch's own. A step whose gradients exceed the range is left out and the scale halved; after
    2,000 good steps it is doubled. With fused optimisers nothing waits for a GPU, with radam a step
    waits once.
    """
    is_needed = dtype is torch.float16
    if is_needed and device.type == "mps":
        raise ConfigError("training.precision: float16 is not supported on Apple's GPUs")
    return torch.amp.GradScaler(device.type, enabled=is_needed)


class AveragedWeights(AveragedModel):
    """A copy of a network whose weights are the exponential moving average of the network's.

    Parameters
    ----------
    network : torch.nn.Module
        Copied, on its device.
    decay : float
        Share of itself that the average keeps at each step.

    Notes
    -----
    The running means and variances of batch normalisation are averaged with the same decay, since
    they belong to the weights at which they were seen; no pass over the data is needed.

    After n updates the decay is at most (1 + n) / (10 + n), as in TensorFlow's
    ``ExponentialMovingAverage``, so that the initial weights are soon forgotten.
    """

    def __init__(self, network: torch.nn.Module, decay: float) -> None:
        super().__init__(network, use_buffers=True)
        self._decay = decay

    @torch.no_grad()
    def update_parameters(self, model: torch.nn.Module) -> None:
        """Take one more step of `model` into the average.

        Notes
        -----
        PyTorch's own method sends the counter to the device each time, and so waits for a GPU.
        Here the counter is read on the CPU, where it lies whatever the device.
        """
        averages = [*self.module.parameters(), *self.module.buffers()]
        latest = [*model.parameters(), *model.buffers()]
        n_updates = int(self.n_averaged)
        self.n_averaged += 1
        if n_updates == 0:
            torch._foreach_copy_(averages, latest)
            return
        decay = min(self._decay, (1 + n_updates) / (10 + n_updates))
        torch._foreach_lerp_(_floats(averages), _floats(latest), 1 - decay)
        for average, one in zip(averages, latest, strict=True):
            if not one.is_floating_point():  # counters
                average.copy_(one)


def _floats(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    return [tensor for tensor in tensors if tensor.is_floating_point()]
