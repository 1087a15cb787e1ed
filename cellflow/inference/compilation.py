"""Compilation of a network for batches of a few fixed shapes.

========  ====================================================================================
none      Python launches every layer; any shape
graphs    CUDA graphs: the kernel launches of a batch are recorded once and replayed. Takes about a
          second per batch size; saves the launch overhead, which dominates on a fast GPU
inductor  `torch.compile`: layers are also fused. Takes about a minute per network, and needs a C++
          compiler
========  ====================================================================================

All tiles have one size, and batches one of a few, so nothing is recompiled later on. A compiled
network is compared with the plain one before it is used.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from cellflow.config import Compilation
from cellflow.errors import ConfigError
from cellflow.network.cpnet import CPnet
from cellflow.network.devices import image_layout
from cellflow.network.fused import FusedNetwork, can_fuse
from cellflow.network.norms import absorb_norms
from cellflow.network.precision import autocast
from cellflow.network.upsampling import delay_upsampling
from cellflow.wording import first_line

Forward = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Maps (T, 2, h, w) tiles on the device to (T, 3, h, w) output and (T, S) styles, both float32."""

LARGEST_ERROR = {torch.float32: 1e-3, torch.float16: 0.01, torch.bfloat16: 0.05}
"""Allowed relative error of a compiled network: the norm of the difference to the plain output over
the norm of the latter. It is not 0, since fused layers round less often."""

N_WARM_UP = 2
"""Passes before a recording, in which libraries choose algorithms and allocate memory."""


def plain_forward(network: CPnet, device: torch.device, dtype: torch.dtype) -> Forward:
    """Give a trained network as a function, simplified and fused as far as the device allows.

    Parameters
    ----------
    network : CPnet
        On the device; not modified.
    device : torch.device
    dtype : torch.dtype
        Of the convolutions.
    """
    if can_fuse(device, dtype):
        return FusedNetwork(network, dtype)
    return _layer_by_layer(_lean(network, device, dtype), device, dtype)


def _lean(network: CPnet, device: torch.device, dtype: torch.dtype) -> CPnet:
    # Norms are absorbed on the CPU, in float64, which Apple's GPUs lack.
    absorbed = absorb_norms(copy.deepcopy(network).cpu())
    for layer in absorbed.modules() if device.type != "cpu" else ():
        # Otherwise autocast would round the weights again in every pass.
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            layer.to(dtype)
    return delay_upsampling(absorbed, device).to(device, memory_format=image_layout(device))


def _layer_by_layer(
    network: Callable[[torch.Tensor], Any], device: torch.device, dtype: torch.dtype
) -> Forward:
    def forward(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.inference_mode(), autocast(device, dtype):
            output, style, _ = network(batch)
        return output.float(), style.float()

    return forward


def choose_compilation(requested: Compilation, device: torch.device) -> Compilation:
    """Turn ``auto`` into the kind that pays off on the device from the first image on.

    Raises
    ------
    ConfigError
        CUDA graphs are asked for on a device that is not a CUDA device.

    Notes
    -----
    On a CPU launching layers takes no time compared to computing them, and the compiled network is
    not faster there (docs/log.md).
    """
    if requested == "graphs" and device.type != "cuda":
        raise ConfigError(f"inference.compilation: graphs needs a CUDA device, this is {device}")
    if requested == "auto":
        return "graphs" if device.type == "cuda" else "none"
    return requested


def compiled_forward(
    kind: Compilation, network: CPnet, dtype: torch.dtype, batches: Sequence[torch.Tensor]
) -> tuple[Forward | None, str]:
    """Compile a network for batches of the shapes of `batches`, and check it on them.

    Parameters
    ----------
    kind : {"graphs", "inductor"}
    network : CPnet
        On its device.
    dtype : torch.dtype
        Of the convolutions.
    batches : sequence of (T, 2, h, w) float32, channels last
        One of each batch size that will be used, on the device.

    Returns
    -------
    callable or None
        The compiled network; each call overwrites the results of the previous one. None if it
        cannot be compiled here, or its output is wrong.
    str
        Message for the user: what was done and how long it took, or why not.
    """
    started, device = time.perf_counter(), batches[0].device
    plain = plain_forward(network, device, dtype)
    try:
        compiled = _record(plain, device) if kind == "graphs" else _fuse(network, dtype, device)
        # The largest first: the recordings of smaller batches then fit into its memory.
        largest_first = sorted(batches, key=len, reverse=True)
        error = max(_error(plain(batch), compiled(batch)) for batch in largest_first)
    # A missing compiler, driver or Triton, or lack of memory, may raise any kind of exception.
    except Exception as failure:
        return None, f"the network runs without {kind}: {first_line(failure)}"
    if not error <= LARGEST_ERROR[dtype]:
        return None, f"the network runs without {kind}: its output differs by {error:.1%}"
    return (
        compiled,
        f"the network was compiled with {kind} in {time.perf_counter() - started:.1f} s",
    )


def _record(plain: Forward, device: torch.device) -> Forward:
    """Record a CUDA graph when a batch size first occurs, and replay it from then on."""
    recorded: dict[int, tuple[torch.cuda.CUDAGraph, torch.Tensor, torch.Tensor, torch.Tensor]] = {}
    # Graphs that never run at the same time can share memory if they are recorded on one stream.
    pool = torch.cuda.graph_pool_handle()
    # PyTorch's default capture stream may belong to another device; it would record nothing.
    beside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def forward(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if len(batch) not in recorded:
            recorded[len(batch)] = _record_one(plain, batch, pool, beside)
        graph, given, output, style = recorded[len(batch)]
        given.copy_(batch, non_blocking=True)
        graph.replay()
        return output, style

    return forward


def _record_one(
    plain: Forward, batch: torch.Tensor, pool: Any, beside: torch.cuda.Stream
) -> tuple[torch.cuda.CUDAGraph, torch.Tensor, torch.Tensor, torch.Tensor]:
    # Zeros instead of the batch: its output must come from the replay, so that the check in
    # `compiled_forward` means something.
    given = torch.zeros_like(batch)
    beside.wait_stream(torch.cuda.current_stream(batch.device))
    with torch.cuda.stream(beside):
        for _ in range(N_WARM_UP):
            plain(given)
    torch.cuda.current_stream(batch.device).wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with (
        # `torch.cuda.graph` synchronises the current device, and would claim memory on a wrong one.
        torch.cuda.device(batch.device),
        _stream_restored(batch.device),
        # Other threads may wait for a copy meanwhile, which must not invalidate the recording.
        torch.cuda.graph(graph, pool=pool, stream=beside, capture_error_mode="thread_local"),
    ):
        output, style = plain(given)
    return graph, given, output, style


@contextmanager
def _stream_restored(device: torch.device) -> Iterator[None]:
    """Restore the current stream and device if a recording fails, which PyTorch does not do."""
    stream, current = torch.cuda.current_stream(device), torch.cuda.current_device()
    try:
        yield
    except BaseException:
        torch.cuda.set_stream(stream)
        torch.cuda.set_device(current)
        raise


def _fuse(network: CPnet, dtype: torch.dtype, device: torch.device) -> Forward:
    on_cuda = device.type == "cuda"
    mode = "reduce-overhead" if on_cuda else "default"
    fused = torch.compile(_lean(network, device, dtype), dynamic=False, mode=mode)
    plain = _layer_by_layer(fused, device, dtype)

    def forward(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if on_cuda:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        return plain(batch)

    return forward


def _error(
    expected: tuple[torch.Tensor, torch.Tensor], found: tuple[torch.Tensor, torch.Tensor]
) -> float:
    """Give the larger relative error of output and style; NaN counts as infinite."""
    errors = [((a - b).norm() / a.norm()).item() for a, b in zip(expected, found, strict=True)]
    return max(math.inf if math.isnan(error) else error for error in errors)
