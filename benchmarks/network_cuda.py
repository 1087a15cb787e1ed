"""Images per second on a GPU: Cellpose 3.1's `eval` against `predict_folder`, and a lower bound.

    python benchmarks/network_cuda.py [MODEL] [IMAGE ...]

Arguments are those of network.py, which prints this table as its second one. Both sides read the
same files; ours also writes a submission. The lower bound ("floor") is the time that the operations
of all tiles take at the rate that the device reaches with large square matrices.
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
from measure import markdown
from torch.utils.flop_counter import FlopCounterMode

from cellflow.data.images import read_image, write_png
from cellflow.data.outputs import Outputs
from cellflow.inference.folder import predict_folder
from cellflow.inference.model import Model
from cellflow.inference.predict import load_model
from cellflow.network.precision import dtype_name, quickest_dtype

N_IMAGES, N_ROUNDS = 48, 3
N_MATRIX = 8192
VARIANTS = {
    "": {"compilation": "none", "images_in_flight": 1},
    ", graphs": {"compilation": "graphs", "images_in_flight": 1},
    ", graphs, 3 in flight": {"compilation": "graphs"},
    ", inductor, 3 in flight": {"compilation": "inductor"},
}
"""Settings to measure, in the dtype that is fastest on the device; the first also in float32."""
HEADER = ("image", "diameter", "side", "images/s", "ratio", "network alone", "share of the floor")


def cuda_section(folder: Path, cases: list[tuple[Path, float]]) -> str:
    """Give the table of all cases, or a sentence that there is no GPU."""
    if not torch.cuda.is_available():
        return (
            f"No CUDA device here (torch {torch.__version__}): images a second on one not measured."
        )
    quickest = quickest_dtype(torch.device("cuda"))
    rates = {dtype: matrix_rate(dtype) for dtype in (torch.float32, quickest)}
    rows: list[tuple[object, ...]] = []
    for path, diameter in cases:
        rows += case_rows(folder, path, diameter, rates)
    shown = ", ".join(f"{dtype_name(dtype)} {rate / 1e12:.0f}" for dtype, rate in rates.items())
    title = f"{torch.cuda.get_device_name()}, {N_IMAGES} images; TFLOP/s of matrices: {shown}"
    return f"{title}\n\n{markdown(HEADER, rows)}"


def variants() -> dict[str, dict[str, object]]:
    """Give the inference settings of each variant of cellflow, by name."""
    best = dtype_name(quickest_dtype(torch.device("cuda")))
    named = {best + name: {"precision": best, **options} for name, options in VARIANTS.items()}
    return {"float32": {"precision": "float32", **VARIANTS[""]}, **named}


def case_rows(folder, path, diameter, rates) -> list[tuple[object, ...]]:
    """Time Cellpose and all variants in turns, on copies of one image."""
    with tempfile.TemporaryDirectory() as place:
        image = read_image(path)
        copies = [Path(place) / f"{number:03}.png" for number in range(N_IMAGES)]
        for copy in copies:
            write_png(copy, image)
        models = {name: changed(folder, diameter, **one) for name, one in variants().items()}
        sides = {"cellpose 3.1": cellpose_side(folder, copies, diameter)}
        for name, model in models.items():
            sides[name] = folder_side(model, copies, Path(place) / "out.csv")
        seconds = in_turns(sides)
        alone = in_turns({name: network_side(model, image) for name, model in models.items()})
    rows = [(path.stem, diameter, "cellpose 3.1", N_IMAGES / seconds["cellpose 3.1"], 1.0, "", "")]
    for name, model in models.items():
        floor = flops_of(model, image.shape[-2:], diameter) / rates[model.members[0].runner.dtype]
        rate, network = N_IMAGES / seconds[name], N_IMAGES / alone[name]
        ratio = seconds["cellpose 3.1"] / seconds[name]
        rows.append((path.stem, diameter, name, rate, ratio, network, f"{network * floor:.0%}"))
    return rows


def changed(folder: Path, diameter: float, **options) -> Model:
    """Load the model on the GPU with some inference settings."""

    def change(config):
        settings = replace(config.inference, diameter=diameter, **options)
        return replace(config, inference=settings)

    model = load_model(folder, device="cuda", change=change)
    for sentence in model.compile_networks():
        print(sentence)
    return model


def cellpose_side(folder: Path, paths: list[Path], diameter: float):
    """Give a function that runs Cellpose's `eval` on the files."""
    from cellpose.models import CellposeModel

    model = CellposeModel(gpu=True, pretrained_model=str(folder / "cellpose_model"))

    def run():
        for path in paths:
            model.eval(read_image(path), channels=[0, 0], diameter=diameter)

    return run


def folder_side(model: Model, paths: list[Path], out: Path):
    """Give a function that predicts the files with cellflow and writes a submission."""

    def run():
        predict_folder(model, paths, Outputs([out]))

    return run


def network_side(model: Model, image):
    """Give a function that runs the network alone, `N_IMAGES` times on an image on the GPU."""
    (member,) = model.members
    seen = member.resized(member.prepare(image), model.diameter_of(member))

    def run():
        for _ in range(N_IMAGES):
            output, _ = member.runner.run(seen)
        output.cpu()

    return run


def in_turns(sides) -> dict[str, float]:
    """Give the median time of each side, seconds, after one untimed call."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for round_number in range(N_ROUNDS + 1):
        for name, run in sides.items():
            torch.cuda.synchronize()
            started = time.perf_counter()
            run()
            torch.cuda.synchronize()
            if round_number:
                taken[name].append(time.perf_counter() - started)
    return {name: median(times) for name, times in taken.items()}


def matrix_rate(dtype: torch.dtype, n: int = N_MATRIX, n_times: int = 20) -> float:
    """Give the FLOP/s of square matrix products; float32 uses TF32 if convolutions do."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    one = torch.randn(n, n, device="cuda", dtype=dtype)
    one @ one
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(n_times):
        one @ one
    torch.cuda.synchronize()
    return 2 * n**3 * n_times / (time.perf_counter() - started)


def flops_of(model: Model, shape, diameter: float) -> float:
    """Count the floating-point operations for all tiles of an image."""
    (member,) = model.members
    grid = member.runner.plan(member.shape_seen(shape, diameter))
    tile = torch.zeros(1, 2, *grid.tile, device=model.device)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.network(tile)
    return counter.get_total_flops() * len(grid.corners)


if __name__ == "__main__":
    from network import given_cases

    print(cuda_section(*given_cases()))
