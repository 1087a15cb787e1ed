"""A device is there and has its reason, or is refused in a sentence."""

import os

import pytest
import torch

from cellflow.errors import ConfigError
from cellflow.network import devices
from cellflow.network.devices import (
    choose_device,
    cuda_fault,
    image_layout,
    is_out_of_memory,
    may_send_ahead,
)
from cellflow.network.precision import autocast, choose_precision, has_native_bfloat16

CPU = torch.device("cpu")


def test_the_processor_always_works():
    assert choose_device("cpu").device == CPU
    assert "threads" in str(choose_device("cpu"))


def test_auto_says_why():
    assert choose_device("auto").reason


def test_a_gpu_that_does_not_compute_is_left_for_the_processor_or_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(devices, "cuda_fault", lambda index: "no kernel image is available")
    assert choose_device("auto").device == CPU
    assert "cuda:0 does not work: no kernel image is available" in choose_device("auto").reason
    with pytest.raises(ConfigError, match="cuda:0 does not work: no kernel image"):
        choose_device("cuda")


def test_what_a_gpu_lacks_is_the_first_line_of_its_error(monkeypatch):
    def no_kernel(*_, **__):
        raise RuntimeError("CUDA error: no kernel image is available\nCompile with …")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "its driver does not support torch" in cuda_fault(0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", no_kernel)
    assert cuda_fault(0) == "CUDA error: no kernel image is available"


def test_a_full_gpu_is_not_taken_for_a_broken_one(monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", full)
    assert cuda_fault(0) == ""


def test_lack_of_memory_is_recognised_by_an_older_pytorch(monkeypatch):
    full = torch.cuda.OutOfMemoryError()
    monkeypatch.delattr(torch, "OutOfMemoryError")  # new in 2.5
    assert is_out_of_memory(full)
    assert not is_out_of_memory(RuntimeError("sizes differ"))


def test_the_first_gpu_that_computes_is_taken(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU {index}")
    monkeypatch.setattr(devices, "cuda_fault", lambda index: "" if index else "too old")
    assert str(choose_device("auto")) == "cuda:1 (GPU 1)"


def test_apples_gpus_get_no_channels_last_and_no_copy_on_its_way():
    kinds = ("cpu", "cuda", "mps")
    assert [may_send_ahead(torch.device(kind)) for kind in kinds] == [True, True, False]
    layouts = [image_layout(torch.device(kind)) for kind in kinds]
    assert layouts == [torch.channels_last, torch.channels_last, torch.contiguous_format]


@pytest.mark.parametrize(
    "text",
    [
        "MPS backend out of memory (MPS allocated: 5 GB)",
        "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "GET was unable to find an engine to execute this computation",
    ],
)
def test_each_librarys_words_for_too_little_memory_are_known(text):
    assert is_out_of_memory(RuntimeError(text))
    assert not is_out_of_memory(RuntimeError("expected scalar type Float"))


@pytest.mark.parametrize("text", ["gpu", "cuda:99", "tpu"])
def test_what_is_not_there_is_refused_with_a_way_out(text):
    with pytest.raises(ConfigError, match=r"device"):
        choose_device(text)


def test_a_request_is_followed_and_auto_never_emulates():
    assert choose_precision("float32", CPU).dtype is torch.float32
    assert choose_precision("bfloat16", CPU).dtype is torch.bfloat16
    expected = torch.bfloat16 if has_native_bfloat16(CPU) else torch.float32
    assert choose_precision("auto", CPU).dtype is expected


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        ({"avx2": True}, torch.float32),
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, torch.float32),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
    ],
)
def test_auto_takes_bfloat16_only_from_a_processor_that_reports_it(
    capabilities, dtype, monkeypatch
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert choose_precision("auto", CPU).dtype is dtype


def test_a_torch_that_reports_nothing_means_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert choose_precision("auto", CPU).dtype is torch.float32


def test_autocast_changes_convolutions_only_when_asked():
    convolution, image = torch.nn.Conv2d(1, 1, 3), torch.zeros(1, 1, 8, 8)
    with autocast(CPU, torch.float32):
        assert convolution(image).dtype is torch.float32
    with autocast(CPU, torch.bfloat16):
        assert convolution(image).dtype is torch.bfloat16


def test_no_gpu_decides_what_a_test_sees(request):
    if request.config.getoption("markexpr") != "gpu":
        assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.gpu
def test_the_first_gpu_is_taken_by_itself():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    assert choose_device("auto").device == torch.device("cuda:0")
