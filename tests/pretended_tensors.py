"""Tensors that say that they lie on a pretended GPU, see `pretended_gpu`."""

import traceback

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

LOW = {
    *("conv1d", "conv2d", "conv3d", "conv_transpose2d", "linear", "matmul", "__matmul__", "mm"),
    *("bmm", "addmm", "baddbmm", "einsum"),
}
FULL = {
    *("exp", "log", "pow", "__pow__", "rsqrt", "reciprocal", "sum", "prod", "norm", "cumsum"),
    *("softmax", "log_softmax", "layer_norm", "group_norm", "smooth_l1_loss", "l1_loss"),
    *("mse_loss", "nll_loss", "cross_entropy", "binary_cross_entropy_with_logits"),
    *("roi_align", "nms"),  # by torchvision
}
"""Functions that ``torch.autocast("cuda")`` computes in its type and in float32, as PyTorch's guide
to automatic mixed precision lists them; those that the package and torchvision use."""

READS = {"_local_scalar_dense", "nonzero", "equal", "masked_select", "_unique2", "unique_dim"}
"""Operations whose result the program reads, so that it waits for the GPU."""
MAY_MIX = {
    *("_to_copy", "copy_", "_foreach_copy_", "index", "index_put_", "_index_put_impl_"),
    "index_put",  # of which autograd makes the values itself, on the CPU
}

GPUS = []
"""The pretended machine, while there is one."""


class GpuTensor(torch.Tensor):
    """A tensor that says that it lies on a GPU; `held` has its values."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held, index):
        shown = torch.Tensor._make_subclass(cls, held)
        shown.held, shown.index = held, index
        return shown

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return _compute(operation, args, kwargs or {})

    device = property(lambda self: torch.device("cuda", self.index))
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    def to(self, *args, **kwargs):
        return _to(self, args, kwargs)

    def cpu(self, *args, **kwargs):
        return _moved(self, device="cpu")

    def tolist(self):
        return self.cpu().tolist()

    def numpy(self, **kwargs):
        raise TypeError(f"can't convert {self.device} device type tensor to numpy")

    def __array__(self, *args, **kwargs):
        return self.numpy()

    def new_tensor(self, numbers, dtype=None, device=None):
        made = torch.tensor(numbers, dtype=dtype or self.dtype)
        return _moved(made, device=device or self.device)

    def pin_memory(self, *args):
        raise RuntimeError("only dense CPU tensors can be pinned")

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            copied = self.detach().clone()
            if isinstance(self, torch.nn.Parameter):
                copied = torch.nn.Parameter(copied)
            memo[id(self)] = copied.requires_grad_(self.requires_grad)
        return memo[id(self)]

    def __reduce_ex__(self, protocol):
        return self.detach().cpu().__reduce_ex__(protocol)


def _compute(operation, args, kwargs):
    """Do an operation on the CPU, and show what comes of it as the GPU's."""
    gpus, name = GPUS[-1], operation.overloadpacket.__name__
    given = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, torch.Tensor)]
    there = {id(one.held): one for one in given if isinstance(one, GpuTensor)}
    target = _one_device(name, given)
    if name == "_to_copy":
        # Autograd asks for the device where it believes a tensor to lie.
        asked = kwargs.pop("device", None) if gpus.is_moving else None
        target = target if asked is None else torch.device(asked).index
    _note_waits(gpus, name, args, kwargs, target)
    kwargs = {**kwargs, "device": "cpu"} if "device" in kwargs else dict(kwargs)
    kwargs.pop("pin_memory", None)
    args, kwargs = tree_map(_held, args), tree_map(_held, kwargs)
    result = operation(*args, **kwargs)
    if gpus.recording is not None:
        gpus.recording.append((operation, args, kwargs, result))

    def shown(one):
        if not isinstance(one, torch.Tensor) or isinstance(one, GpuTensor):
            return one
        is_given = any(one is other for other in given)
        return there.get(id(one), one if is_given or target is None else GpuTensor(one, target))

    return tree_map(shown, result)


def _one_device(name, given):
    """Give the index of the GPU of an operation; refuse operations that mix devices."""
    indices = {one.index for one in given if isinstance(one, GpuTensor)}
    others = [one for one in given if not isinstance(one, GpuTensor)]
    # Numbers may come from the CPU, but not to the kernels of fused optimisers.
    is_mixed = any(one.dim() or name.startswith("_fused") for one in others)
    if name not in MAY_MIX and (len(indices) > 1 or (indices and is_mixed)):
        shapes = [tuple(one.shape) for one in others]
        raise RuntimeError(f"{name}: tensors on GPUs {indices}, and on the CPU {shapes}")
    return max(indices, default=None)


def _note_waits(gpus, name, args, kwargs, target):
    if name in READS:
        wait(gpus, name)
    elif name in ("index", "index_put_", "_index_put_impl_"):
        masks = [one for one in args[1] if one is not None and not one.dtype.is_floating_point]
        if any(one.dtype is torch.bool or not isinstance(one, GpuTensor) for one in masks):
            wait(gpus, f"{name} by a mask, or by numbers on the CPU")
    elif name == "_to_copy":
        source = args[0]
        if isinstance(source, GpuTensor) != (target is not None):
            _note_copy(gpus, source, None, kwargs.get("non_blocking", False))
    elif name == "copy_":
        into, source = args[:2]
        if isinstance(source, GpuTensor) != isinstance(into, GpuTensor):
            is_asked = args[2] if len(args) > 2 else kwargs.get("non_blocking", False)
            _note_copy(gpus, source, into, is_asked)


def _note_copy(gpus, source, into, non_blocking):
    here = into if isinstance(source, GpuTensor) else source
    is_pinned = here is not None and any(
        here.untyped_storage().data_ptr() == one.untyped_storage().data_ptr() for one in gpus.pinned
    )
    if not (non_blocking and is_pinned):
        wait(gpus, f"copy of {tuple(source.shape)}")


def wait(gpus, what):
    if gpus.recording is not None:
        raise RuntimeError(f"{what}: operation not permitted when stream is capturing")
    frames = (frame for frame, _ in traceback.walk_stack(None))
    ours = (frame for frame in frames if "/cellflow/" in frame.f_code.co_filename)
    frame = next(ours, None)
    where = "" if frame is None else f" in {frame.f_code.co_filename}:{frame.f_lineno}"
    gpus.waits.append(what + where)


def _held(one):
    return one.held if isinstance(one, GpuTensor) else one


def pinned(tensor):
    GPUS[-1].pinned.append(tensor)  # kept, so that no other tensor gets its address
    return tensor


def with_index(device):
    device = torch.device(device)
    is_open = device.type == "cuda" and device.index is None
    return torch.device("cuda", GPUS[-1].current) if is_open else device


def _to(tensor, args, kwargs):
    """Do ``tensor.to``, whose arguments may stand in any of three orders."""
    args, kwargs = list(args), dict(kwargs)
    if args and isinstance(args[0], torch.Tensor):
        args[:1] = [args[0].device, args[0].dtype]
    names = ["device", "dtype", "non_blocking", "copy"]
    if args and isinstance(args[0], torch.dtype):
        names.remove("device")
    return _moved(tensor, **dict(zip(names, args, strict=False)), **kwargs)


def _moved(tensor, device=None, dtype=None, non_blocking=False, copy=False, memory_format=None):
    where = tensor.device if device is None else with_index(device)
    kind, layout = dtype or tensor.dtype, memory_format or torch.preserve_format
    is_laid_out = layout is torch.preserve_format or tensor.is_contiguous(memory_format=layout)
    if (where, kind) == (tensor.device, tensor.dtype) and is_laid_out and not copy:
        return tensor
    given = {"dtype": kind, "non_blocking": non_blocking, "memory_format": layout}
    if not isinstance(tensor, GpuTensor):
        if where.type == "cuda":
            _note_copy(GPUS[-1], tensor, None, non_blocking)
            copied = torch.ops.aten._to_copy.default(tensor, **given)
            return GpuTensor(copied.detach(), where.index)
        return torch.ops.aten._to_copy.default(tensor, **given)
    if where == tensor.device:
        return torch.ops.aten._to_copy.default(tensor, **given)
    GPUS[-1].is_moving = True
    try:
        return torch.ops.aten._to_copy.default(tensor, device=where, **given)
    finally:
        GPUS[-1].is_moving = False


class Calls(TorchFunctionMode):
    """Turns calls of PyTorch's functions that name a GPU, and does what autocast would."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs, name = dict(kwargs or {}), function.__name__
        if function in (torch.Tensor.to, torch.Tensor.cpu, torch.Tensor.cuda):
            args = args if function is torch.Tensor.to else (*args, name)
            return _to(args[0], args[1:], kwargs)
        if kwargs.pop("pin_memory", False):
            return pinned(function(*args, **kwargs))
        if torch.is_autocast_enabled("cuda"):
            args, kwargs = _autocast(name, args, kwargs)
        device = kwargs.get("device")
        if device is None or torch.device(device).type != "cuda":
            return function(*args, **kwargs)
        result = function(*args, **{**kwargs, "device": "cpu"})
        return result if isinstance(result, GpuTensor) else _shown(result, with_index(device))


class Operations(TorchDispatchMode):
    """Turns what functions of PyTorch that are written in Python make on a GPU."""

    @classmethod
    def _should_skip_dynamo(cls):
        return False  # else PyTorch loads its compiler, which takes seconds

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if any(issubclass(kind, GpuTensor) for kind in types):
            return _compute(operation, args, kwargs)
        device = kwargs.get("device")
        if device is None or torch.device(device).type != "cuda":
            return operation(*args, **kwargs)
        return _shown(operation(*args, **{**kwargs, "device": "cpu"}), with_index(device))


def _shown(made, device):
    return GpuTensor(made.detach(), device.index).requires_grad_(made.requires_grad)


def _autocast(name, args, kwargs):
    if name not in LOW | FULL:
        return args, kwargs
    kind = torch.float32 if name in FULL else torch.get_autocast_dtype("cuda")

    def cast(one):
        is_cast = isinstance(one, GpuTensor) and one.is_floating_point()
        return _moved(one, dtype=kind) if is_cast and one.dtype is not torch.float64 else one

    return tree_map(cast, args), tree_map(cast, kwargs)
