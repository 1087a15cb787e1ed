"""Which operators are in use, and that ours are torchvision's where both exist."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cellflow.baselines import operators
from cellflow.baselines.operators import FALLBACK, NATIVE, load_torchvision
from cellflow.baselines.region_pooling import pool_regions
from cellflow.baselines.suppression import suppress_boxes
from cellflow.errors import ModelError

HAS_TORCHVISION = importlib.util.find_spec("torchvision") is not None
needs_torchvision = pytest.mark.skipif(
    not HAS_TORCHVISION, reason="the extra [rcnn] is not installed"
)


@pytest.fixture
def crowd(rng):
    low = torch.from_numpy(rng.uniform(0, 60, (300, 2))).float()
    boxes = torch.cat([low, low + torch.from_numpy(rng.uniform(3, 30, (300, 2))).float()], dim=1)
    return boxes, torch.from_numpy(rng.random(300)).float()


@pytest.fixture
def pooled_scene(rng, crowd):
    images = torch.from_numpy(rng.integers(0, 2, (40, 1))).float()
    regions = torch.cat([images, crowd[0][:40]], dim=1)
    return torch.from_numpy(rng.standard_normal((2, 8, 24, 24))).float(), regions


@pytest.fixture(scope="module")
def native():
    """What torchvision's C++ operators gave; ``golden/make_native_values.py`` wrote it."""
    with np.load(Path(__file__).parent / "golden" / "native_operators.npz") as file:
        return dict(file)


def test_suppression_keeps_the_boxes_that_the_native_one_kept(native):
    assert native["made_with"].item().startswith("torchvision 0.28.0")
    for threshold in (0.2, 0.5, 0.75):
        kept = suppress_boxes(native["boxes"], native["scores"], threshold)
        assert kept.tolist() == native[f"kept_{threshold}"].tolist()


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [2, -1])
def test_pooling_gives_the_values_and_gradients_of_the_native_one(native, ratio, aligned):
    features, regions, weights = (
        torch.from_numpy(native[name]) for name in ("features", "regions", "weights")
    )
    features.requires_grad_()
    pooled = pool_regions(features, regions, 0.25, *weights.shape[2:], ratio, aligned)
    (pooled * weights).sum().backward()
    expected = native[f"values_{ratio}_{aligned}"]
    assert (expected == 0).all(axis=1).any()  # some samples lie beyond the map
    np.testing.assert_allclose(pooled.detach(), expected, atol=2e-5, rtol=0)
    gradients = native[f"gradients_{ratio}_{aligned}"]
    np.testing.assert_allclose(features.grad, gradients, atol=1e-4, rtol=0)


@needs_torchvision
def test_says_which_operators_are_in_use():
    loaded = load_torchvision()
    assert loaded.kind in (NATIVE, FALLBACK)
    assert f"{loaded.kind} operators of torchvision {loaded.torchvision} (" in str(loaded)
    assert load_torchvision() is loaded


@needs_torchvision
def test_a_second_attempt_after_one_that_failed_is_told_as_the_first_was(monkeypatch):
    if load_torchvision().kind == NATIVE:
        pytest.skip("the native operators are registered")
    monkeypatch.setattr(operators, "_loaded", None)

    def broken(name):
        raise ImportError("no such symbol")

    with monkeypatch.context() as patched:
        patched.setattr(operators.importlib, "import_module", broken)
        for _ in range(2):
            with pytest.raises(ModelError, match="no such symbol"):
                load_torchvision()
    assert load_torchvision().kind == FALLBACK


@needs_torchvision
def test_torchvision_calls_operators_that_give_ours(crowd, pooled_scene):
    load_torchvision()
    from torchvision.ops import batched_nms, nms, roi_align

    boxes, scores = crowd
    ours = suppress_boxes(boxes.numpy(), scores.numpy(), 0.4).tolist()
    assert nms(boxes, scores, 0.4).tolist() == ours
    one_class = torch.zeros(len(boxes), dtype=torch.int64)
    assert batched_nms(boxes, scores, one_class, 0.4).tolist() == ours
    features, regions = pooled_scene
    pooled = roi_align(features, regions, (7, 7), 0.25, 2)
    torch.testing.assert_close(
        pooled, pool_regions(features, regions, 0.25, 7, 7, 2, False), atol=2e-5, rtol=0
    )


@needs_torchvision
@pytest.mark.parametrize("ratio", [2, -1])
def test_native_operators_are_ours(crowd, pooled_scene, ratio):
    if load_torchvision().kind != NATIVE:
        pytest.skip("torchvision's library does not load here")
    boxes, scores = crowd
    for threshold in (0.2, 0.5, 0.75):
        native = torch.ops.torchvision.nms(boxes, scores, threshold)
        assert native.tolist() == suppress_boxes(boxes.numpy(), scores.numpy(), threshold).tolist()
    features, regions = pooled_scene
    gradients = []
    for function in (torch.ops.torchvision.roi_align, pool_regions):
        own = features.clone().requires_grad_()
        pooled = function(own, regions, 0.25, 7, 7, ratio, False)
        torch.testing.assert_close(
            pooled, pool_regions(features, regions, 0.25, 7, 7, ratio, False), atol=2e-5, rtol=0
        )
        (pooled * torch.linspace(-1, 1, pooled.numel()).reshape(pooled.shape)).sum().backward()
        gradients.append(own.grad)
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=0)


def test_a_library_for_the_processor_alone_is_refused_beside_a_gpu(monkeypatch):
    library = SimpleNamespace(_cuda_version=lambda: -1)
    monkeypatch.setattr(torch.ops, "torchvision", library, raising=False)
    operators._require_cuda("0.28.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ModelError, match=r"torchvision 0\.28\.0 is built for the CPU only"):
        operators._require_cuda("0.28.0")
    library._cuda_version = lambda: 13000
    operators._require_cuda("0.28.0")


def test_without_the_extra_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(operators, "_loaded", None)
    monkeypatch.setattr(operators.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install 'cellflow\[rcnn\]'"):
        load_torchvision()


def test_other_commands_do_not_import_torchvision():
    code = (
        "import sys, cellflow, cellflow_cli, cellflow.inference.predict, cellflow.training.loop, "
        "cellflow.baselines.train, cellflow.experiments.families; "
        "sys.exit(int('torchvision' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
