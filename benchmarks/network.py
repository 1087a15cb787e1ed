"""From an image to its cells: Cellpose 3.1's `eval` against `Model.predict`, with equal settings.

    python benchmarks/network.py [MODEL] [IMAGE ...]

MODEL is a trained model folder, by default that of `make demo`. The default images are two of the
demo, a cort one at diameter 30 and a shsy5y one at 17; images that are given are measured at both
diameters. Each side runs in a process of its own, as a user would run it. Agreement is measured by
the correlation of the network outputs, and by the average precision of the cells at IoU 0.95, with
Cellpose as the reference. If there is a CUDA device, a second table follows (network_cuda.py).
"""

import sys
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from measure import in_processes, markdown
from network_cuda import cuda_section

from cellflow.config import Config
from cellflow.data.images import read_image
from cellflow.data.kaggle import read_train_csv
from cellflow.inference.predict import load_model
from cellflow.metrics.average_precision import average_precision
from cellflow.network.precision import has_native_bfloat16

DEMO = Path("runs/demo")
DIAMETERS = {"cort": 30.0, "shsy5y": 17.0}
HEADER = (
    "image",
    "cells",
    "diameter",
    "precision",
    "cellpose s",
    "cellflow s",
    "ratio",
    "correlation",
    "AP@.95",
)


def main(folder: Path, cases: list[tuple[Path, float]]) -> None:
    """Print one row per image, diameter and precision."""
    rows: list[tuple[object, ...]] = []
    is_native = has_native_bfloat16(torch.device("cpu"))
    precisions = ("float32", "bfloat16") if is_native else ("float32",)
    for path, diameter in cases:
        image = read_image(path)
        sides = {"cellpose 3.1": partial(Cellpose, folder, image, diameter)}
        for precision in precisions:
            sides[f"cellflow {precision}"] = partial(Cellflow, folder, image, diameter, precision)
        times = in_processes(sides)
        masks, outputs, _ = sides["cellpose 3.1"]()()
        reference = times["cellpose 3.1"].wall
        for precision in precisions:
            wall = times[f"cellflow {precision}"].wall
            agreement = agree(folder, image, diameter, precision, masks, outputs)
            numbers = reference / 1e3, wall / 1e3, reference / wall
            rows.append((path.stem, masks.max(), diameter, precision, *numbers, *agreement))
    print("One image to cells on the CPU, cellpose / cellflow, medians in turns by the clock\n")
    print(markdown(HEADER, rows))
    if not is_native:
        print("\nThis processor has no bfloat16, so that side was not measured.")
    print("\n" + cuda_section(folder, cases))


class Cellpose:
    """`CellposeModel.eval` of one image."""

    def __init__(self, folder, image, diameter):
        from cellpose.models import CellposeModel

        self.model = CellposeModel(gpu=False, pretrained_model=str(folder / "cellpose_model"))
        self.image, self.diameter = image, diameter

    def __call__(self):
        return self.model.eval(self.image, channels=[0, 0], diameter=self.diameter)


class Cellflow:
    """`Model.predict` of one image."""

    def __init__(self, folder, image, diameter, precision):
        self.model = load_model(folder, device="cpu", change=with_precision(precision))
        self.image, self.diameter = image, diameter

    def __call__(self):
        return self.model.predict(self.image, diameter=self.diameter)


def with_precision(precision):
    def change(config: Config) -> Config:
        return replace(config, inference=replace(config.inference, precision=precision))

    return change


def agree(folder, image, diameter, precision, masks, outputs) -> tuple[str, str]:
    """Give the smallest correlation of flows and cell probability, and the AP at 0.95, as text."""
    model = load_model(folder, device="cpu", change=with_precision(precision))
    field = model.flow_field(image, diameter)
    pairs = [(outputs[1][0], field.flows[0]), (outputs[1][1], field.flows[1])]
    pairs.append((outputs[2], field.cellprob))
    worst = min(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1] for a, b in pairs)
    found = model.cells_of(field, diameter)
    return f"{worst:.5f}", f"{average_precision(masks.astype(np.int32), found).precision[-1]:.4f}"


def demo_cases() -> list[tuple[Path, float]]:
    """Give the first held-out image of two cell types, and a diameter for it."""
    truth = read_train_csv(DEMO / "data" / "test.csv")
    first = {image.cell_type: name for name, image in reversed(truth.items())}
    return [
        (DEMO / "data" / "test" / f"{first[kind]}.png", diameter)
        for kind, diameter in DIAMETERS.items()
    ]


def given_cases() -> tuple[Path, list[tuple[Path, float]]]:
    """Give the model folder and the images of the command line, or else those of the demo."""
    given = [Path(text) for text in sys.argv[1:]]
    folder = given[0] if given else DEMO / "model"
    if not (folder / "config.json").is_file():
        sys.exit(f"{folder}: no model folder there; run `make demo` first, or name one")
    return folder, list(product(given[1:], DIAMETERS.values())) or demo_cases()


if __name__ == "__main__":
    main(*given_cases())
