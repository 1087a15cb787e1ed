"""Which devices compute in which type, by what they report."""

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
    ("capability", "quickest", "lacking"),
    [
        ((6, 0), "float32", {"float16", "bfloat16"}),
        ((7, 0), "float16", {"bfloat16"}),
        ((7, 5), "float16", {"bfloat16"}),
        ((8, 0), "bfloat16", set()),
        ((9, 0), "bfloat16", set()),
    ],
)
def test_a_gpu_has_float16_from_volta_and_bfloat16_from_ampere_on(
    monkeypatch, capability, quickest, lacking
):
    gpu = torch.device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_precision("auto", gpu).dtype is getattr(torch, quickest)
    for name in ("float16", "bfloat16"):
        asked = choose_precision(name, gpu)
        assert asked.dtype is getattr(torch, name)
        hint = f"{quickest} is quicker on this cuda, which lacks the instructions"
        assert (hint in str(asked)) is (name in lacking)
    elsewhere = "float32" if quickest == "float16" else quickest
    assert choose_precision("auto", gpu, may_be_float16=False).dtype is getattr(torch, elsewhere)
    for name in ("float32", "bfloat16"):
        assert "; float16 is" not in str(choose_precision(name, gpu, may_be_float16=False))
    plain = str(choose_precision("float32", gpu))
    assert (f"{quickest} is native on this cuda" in plain) is (quickest != "float32")


def test_a_cpu_computes_float16_only_if_asked(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert choose_precision("auto", CPU).dtype is torch.float32
    asked = choose_precision("float16", CPU)
    assert asked.dtype is torch.float16
    assert "float32 is quicker on this cpu" in str(asked)


def test_an_older_torch_reports_nothing(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not has_native_bfloat16(CPU)
