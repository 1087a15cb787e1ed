"""The network recorded or compiled for batches of one fixed shape, where that pays.

========  ====================================================================================
none      every layer is launched by Python; any shape
graphs    CUDA graphs: the launches of a batch are recorded once and replayed. Costs about a second
          a batch size; saves the launching, which a fast GPU otherwise waits for
inductor  `torch.compile`: layers are also fused. Costs about a minute a network, and a C++ compiler
========  ====================================================================================

Tiles are all of one size, and batches of a few, so nothing is compiled again on the way. What is
compiled is compared with the plain network before it is used.
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
"""(T, 2, h, w) on the device to the (T, 3, h, w) output and the (T, S) styles, both float32."""

LARGEST_ERROR = {torch.float32: 1e-3, torch.bfloat16: 0.05}
"""Norm of the difference to the plain network over its norm. Fused layers round less often."""

N_WARM_UP = 2
"""Passes before a recording, in which libraries choose their algorithms and take their memory."""


def plain_forward(network: CPnet, device: torch.device, dtype: torch.dtype) -> Forward:
    """Give a trained network as a function, with as few passes over memory as the device allows.

    Parameters
    ----------
    network : CPnet
        On the device; stays as it is.
    device : torch.device
    dtype : torch.dtype
        Of the convolutions.
    """
    if can_fuse(device, dtype):
        return FusedNetwork(network, dtype)
    return _layer_by_layer(_lean(network, device, dtype), device, dtype)


def _lean(network: CPnet, device: torch.device, dtype: torch.dtype) -> CPnet:
    # Absorbed on the processor, in float64, which Apple's GPUs do not have.
    absorbed = absorb_norms(copy.deepcopy(network).cpu())
    for layer in absorbed.modules() if device.type != "cpu" else ():
        # Else autocast would round them anew in every pass.
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
    """Turn ``auto`` into what pays on the device from the first image on.

    Raises
    ------
    ConfigError
        CUDA graphs are asked for, but the device is none of CUDA's.

    Notes
    -----
    A processor launches layers in no time compared to computing them, and the compiled network is
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
    """Compile a network for batches of the shapes of `batches`, and compare.

    Parameters
    ----------
    kind : {"graphs", "inductor"}
    network : CPnet
        On its device.
    dtype : torch.dtype
        Of the convolutions.
    batches : sequence of (T, 2, h, w) float32, channels last
        One for each size that will come, on the device.

    Returns
    -------
    callable or None
        Its results are overwritten by its next call; None when it cannot be had here.
    str
        What was done and how long it took, or why not, for the user.
    """
    started, device = time.perf_counter(), batches[0].device
    plain = plain_forward(network, device, dtype)
    try:
        compiled = _record(plain, device) if kind == "graphs" else _fuse(network, dtype, device)
        # The largest first: the recordings of the others then fit into its memory.
        largest_first = sorted(batches, key=len, reverse=True)
        error = max(_error(plain(batch), compiled(batch)) for batch in largest_first)
    # A missing compiler, driver or Triton shows as any kind of error, out of memory as well.
    except Exception as failure:
        return None, f"the network runs without {kind}: {first_line(failure)}"
    if not error <= LARGEST_ERROR[dtype]:
        return None, f"the network runs without {kind}: its output differs by {error:.1%}"
    return compiled, f"the network was prepared by {kind} in {time.perf_counter() - started:.1f} s"


def _record(plain: Forward, device: torch.device) -> Forward:
    """Record a CUDA graph for each batch size when it first comes, and replay it from then on."""
    recorded: dict[int, tuple[torch.cuda.CUDAGraph, torch.Tensor, torch.Tensor, torch.Tensor]] = {}
    # Graphs that never run at the same time can share their memory, when recorded on one stream.
    pool = torch.cuda.graph_pool_handle()
    # PyTorch's own stream may be another device's, where nothing of the network would be recorded.
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
    # Not the batch itself: its output must come of the replay, which `compiled_forward` checks.
    given = torch.zeros_like(batch)
    beside.wait_stream(torch.cuda.current_stream(batch.device))
    with torch.cuda.stream(beside):
        for _ in range(N_WARM_UP):
            plain(given)
    torch.cuda.current_stream(batch.device).wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with (
        # It waits for the current device, and would take a place on one that is another's.
        torch.cuda.device(batch.device),
        _stream_restored(batch.device),
        # Threads of this process may meanwhile wait for a copy, which is no part of the recording.
        torch.cuda.graph(graph, pool=pool, stream=beside, capture_error_mode="thread_local"),
    ):
        output, style = plain(given)
    return graph, given, output, style


@contextmanager
def _stream_restored(device: torch.device) -> Iterator[None]:
    """Leave the stream of a recording also when it fails, which PyTorch does not."""
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
    """Give the larger error of output and style; NaN counts as the largest."""
    errors = [((a - b).norm() / a.norm()).item() for a, b in zip(expected, found, strict=True)]
    return max(math.inf if math.isnan(error) else error for error in errors)
