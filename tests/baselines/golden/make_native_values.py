"""Write ``native_operators.npz``: what torchvision's own C++ operators give on drawn inputs.

To be run where its library loads (torch and torchvision of PyTorch's or PyPI's matching pair)::

    python tests/baselines/golden/make_native_values.py

The tests compare cellflow's operators with these numbers where the native ones do not load.
"""

from pathlib import Path

import numpy as np
import torch

N_REGIONS, THRESHOLDS = 24, (0.2, 0.5, 0.75)
RATIOS, SHAPE = (2, -1), (5, 4)


def draw(rng):
    """Boxes with scores, of which some are equal; features; regions, some beyond the map."""
    low = rng.uniform(-6, 60, (120, 2))
    boxes = np.hstack([low, low + rng.uniform(1, 30, (120, 2))]).astype(np.float32)
    scores = (rng.integers(0, 40, 120) / 40).astype(np.float32)
    features = rng.standard_normal((2, 3, 16, 18)).astype(np.float32)
    images = rng.integers(0, 2, (N_REGIONS, 1))
    regions = np.hstack([images, boxes[:N_REGIONS]]).astype(np.float32)
    weights = rng.standard_normal((N_REGIONS, 3, *SHAPE)).astype(np.float32)
    return {
        "boxes": boxes, "scores": scores, "features": features, "regions": regions,
        "weights": weights,
    }  # fmt: skip


def main():
    import torchvision  # not for who only collects tests

    drawn = draw(np.random.default_rng(20261124))
    tensors = {name: torch.from_numpy(array) for name, array in drawn.items()}
    for threshold in THRESHOLDS:
        kept = torch.ops.torchvision.nms(tensors["boxes"], tensors["scores"], threshold)
        drawn[f"kept_{threshold}"] = kept.numpy()
    for ratio in RATIOS:
        for aligned in (False, True):
            features = tensors["features"].clone().requires_grad_()
            pooled = torch.ops.torchvision.roi_align(
                features, tensors["regions"], 0.25, *SHAPE, ratio, aligned
            )
            (pooled * tensors["weights"]).sum().backward()
            drawn[f"values_{ratio}_{aligned}"] = pooled.detach().numpy()
            drawn[f"gradients_{ratio}_{aligned}"] = features.grad.numpy()
    drawn["made_with"] = np.array(
        f"torchvision {torchvision.__version__}, torch {torch.__version__}, on the CPU"
    )
    np.savez_compressed(Path(__file__).with_name("native_operators.npz"), **drawn)


if __name__ == "__main__":
    main()
