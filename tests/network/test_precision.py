"""Which devices compute bfloat16, by what they report."""

import pytest
import torch

from cellflow.network.precision import choose_precision, has_native_bfloat16

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        ({"amx_bf16": True, "avx512_bf16": True, "cpu_name": "Intel Xeon"}, True),
        ({"amx_bf16": False, "avx512_bf16": True, "cpu_name": "AMD EPYC 9R45"}, True),
        ({"amx_bf16": False, "avx512_bf16": True, "cpu_name": "Intel Xeon"}, False),
        ({"avx512_bf16": False, "cpu_name": "AMD EPYC 7R13"}, False),
        ({}, False),
    ],
)
def test_a_cpu_has_bfloat16_where_it_is_quicker(monkeypatch, reported, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: reported)
    assert has_native_bfloat16(CPU) is expected
    chosen = choose_precision("auto", CPU)
    assert (chosen.dtype is torch.bfloat16) is expected
    asked = choose_precision("bfloat16", CPU)
    assert asked.dtype is torch.bfloat16
    assert ("float32 is quicker on this cpu" in str(asked)) is not expected


@pytest.mark.parametrize(
    ("capability", "expected"), [((6, 0), False), ((7, 5), False), ((8, 0), True), ((9, 0), True)]
)
def test_a_gpu_has_bfloat16_from_ampere_on(monkeypatch, capability, expected):
    gpu = torch.device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert (choose_precision("auto", gpu).dtype is torch.bfloat16) is expected
    asked = choose_precision("bfloat16", gpu)
    assert asked.dtype is torch.bfloat16
    assert ("float32 is quicker on this cuda" in str(asked)) is not expected


def test_an_older_torch_reports_nothing(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not has_native_bfloat16(CPU)
