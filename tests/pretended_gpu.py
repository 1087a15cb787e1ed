"""GPUs that are only pretended: tensors say that they lie there, and are computed on the CPU.

So a test of a few seconds runs what needs a GPU on any machine. What a real one would refuse is
refused here too: operations that mix devices, NumPy arrays of its tensors, and reading a number
while a CUDA graph is recorded. Where the program would wait for the GPU is noted. Not shown are
speed, rounding, memory, the order of work on streams, and PyTorch's compiler.
"""

from contextlib import ExitStack, contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch
from pretended_tensors import GPUS, Calls, Operations, pinned, wait, with_index
from torch.utils._pytree import tree_flatten

CAPABILITIES = {"T4": (7, 5), "P100": (6, 0), "V100": (7, 0), "A100": (8, 0), "H200": (9, 0)}
"""Kinds that can be pretended."""

GROUPING = "_group_tensors_by_device_and_dtype"
"""PyTorch's function by which optimisers sort tensors; it sees where they lie in truth."""


HEALTH_CHECK = "_accelerator_graph_capture_health_check"
"""Of optimisers: a PyTorch that is built for CUDA asks the driver whether a graph is recorded."""


@contextmanager
def pretended_gpu(kind="A100", count=1):
    """Pretend `count` GPUs of a kind while the block runs, in this thread.

    Yields
    ------
    object
        `waits`: where the program waited for a GPU, newest last; may be cleared.
    """
    if not hasattr(torch._C, GROUPING):
        pytest.skip(f"torch {torch.__version__} has no {GROUPING}")
    with ExitStack() as stack:
        gpus = SimpleNamespace(waits=[], current=0, recording=None, pinned=[], is_moving=False)
        GPUS.append(gpus)
        stack.callback(GPUS.remove, gpus)
        for name, value in _stand_ins(gpus, kind, count).items():
            stack.callback(setattr, torch.cuda, name, getattr(torch.cuda, name))
            setattr(torch.cuda, name, value)
        group = getattr(torch._C, GROUPING)
        stack.callback(setattr, torch._C, GROUPING, group)
        setattr(torch._C, GROUPING, lambda *given: _grouped(group(*given)))
        if hasattr(torch.optim.Optimizer, HEALTH_CHECK):
            check = getattr(torch.optim.Optimizer, HEALTH_CHECK)
            stack.callback(setattr, torch.optim.Optimizer, HEALTH_CHECK, check)
            setattr(torch.optim.Optimizer, HEALTH_CHECK, lambda optimizer: None)
        stack.callback(setattr, torch.Tensor, "pin_memory", torch.Tensor.pin_memory)
        torch.Tensor.pin_memory = lambda tensor, device=None: pinned(tensor.clone())
        # A module's `to` would put the values of one kind of tensor into the other.
        overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwrites)
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.enter_context(Calls())
        stack.enter_context(Operations())
        yield gpus


def _grouped(groups):
    """Correct the devices by which PyTorch sorts the tensors of an optimiser."""
    return {
        (next(one for one in lists[0] if one is not None).device, dtype): (lists, numbers)
        for (_, dtype), (lists, numbers) in groups.items()
    }


class _Graph:
    """A CUDA graph: the operations that are done while it is recorded, to be done again."""

    def __init__(self, **kwargs):
        self.recorded = []

    @torch.inference_mode()
    def replay(self):
        for operation, args, kwargs, results in self.recorded:
            again = tree_flatten(operation(*args, **kwargs))[0]
            for old, new in zip(tree_flatten(results)[0], again, strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class _Stream:
    """A stream, or an event on one; work is done at once."""

    def __init__(self, device="cuda", **kwargs):
        self.device = with_index("cuda" if device is None else device)

    def wait_stream(self, other):
        assert other.device == self.device

    def record(self, stream=None):
        """Nothing to record: the work is done."""

    def synchronize(self):
        if GPUS:
            wait(GPUS[-1], "synchronize")


def _stand_ins(gpus, kind, count):
    """Give what replaces the functions of ``torch.cuda`` that need a driver, by name."""

    def index_of(device=None):
        return device if isinstance(device, int) else with_index(device or "cuda").index

    @contextmanager
    def on(device):
        before, gpus.current = gpus.current, index_of(device)
        try:
            yield
        finally:
            gpus.current = before

    @contextmanager
    def recording(graph, stream, **kwargs):
        assert stream.device.index == gpus.current
        gpus.recording = graph.recorded
        try:
            yield
        finally:
            gpus.recording = None

    major, minor = CAPABILITIES[kind]
    memory = 16 << 30
    facts = SimpleNamespace(name=kind, total_memory=memory, major=major, minor=minor)
    return {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "_lazy_init": lambda: None,
        "device_count": lambda: count,
        "current_device": lambda: gpus.current,
        "set_device": lambda device: setattr(gpus, "current", index_of(device)),
        "device": on,
        "get_device_name": lambda device=None: kind,
        "get_device_capability": lambda device=None: (major, minor),
        "get_device_properties": lambda device=None: facts,
        "is_bf16_supported": lambda including_emulation=True: including_emulation or major >= 8,
        "synchronize": lambda device=None: wait(gpus, "synchronize"),
        "empty_cache": lambda: None,
        "reset_peak_memory_stats": lambda device=None: None,
        "max_memory_allocated": lambda device=None: memory,
        "get_rng_state": lambda device=None: torch.zeros(16, dtype=torch.uint8),
        "set_rng_state": lambda state, device=None: None,
        "manual_seed_all": lambda seed: None,
        "Stream": _Stream,
        "Event": lambda **kwargs: _Stream(),
        "current_stream": _Stream,
        "stream": lambda stream: nullcontext(),
        "set_stream": lambda stream: None,
        "graph_pool_handle": lambda: None,
        "CUDAGraph": _Graph,
        "graph": recording,
    }
