"""What each setting of prediction gains: diameter, views, scales, tiles, ensembles.

    python benchmarks/prediction_levers.py DATA --model RUN [--model RUN ...] [--folds FILE]
        [--levers diameter policy views scales tiles ensemble] [--images 32] [--curve CURVE.png]

DATA is an annotated folder. With a folds file, the k-th model predicts the images that fold k holds
out, so that no model is scored on images that it was trained on; folds without a model are left
out. If there are more models than folds, the further ones start again with the first fold, and the
models of a fold form an ensemble. With one model and no folds file, all images are predicted; this
is unbiased only if the model was not trained on them. Every row is compared with the default
prediction: difference of the scores, paired by image, with its 95 % interval.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from measure import markdown

from cellflow.config import Config
from cellflow.data.dataset import Entry
from cellflow.data.entrance import open_dataset
from cellflow.data.folds import read_folds
from cellflow.inference.model import Model
from cellflow.inference.predict import load_model
from cellflow.inference.tile_runner import TileRunner
from cellflow.metrics.average_precision import average_precision
from cellflow.metrics.bootstrap import mean_interval, paired_difference
from cellflow.pictures.curves import draw_curves

FACTORS = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4)
POLICIES = ("training", "estimated", "refined")
VIEWS = (2, 4, 8)
SCALES = ((0.9, 1.1), (0.8, 1.0, 1.25))
TILE_SIZES = (320, 448, 768)
"""Sides of tiles, pixels; with the last one an image of the competition is a single tile."""
LEVERS = ("diameter", "policy", "views", "scales", "tiles", "ensemble")
TYPES = ("cort", "shsy5y", "astro")
HEADER = ("lever", "mAP", "difference to the default", "seconds an image", *TYPES)

Change = Callable[[Model], Model]


def main() -> None:
    """Print one row per setting; draw the score against the diameter."""
    options = parse()
    jobs = jobs_of(options)
    variants = variants_of(options.levers, len(jobs[0][0].members))
    scores: dict[str, list[float]] = {name: [] for name in variants}
    seconds = dict.fromkeys(variants, 0.0)
    for number, (model, entry) in enumerate(jobs, 1):
        sample = entry.load()
        # One untimed call, to load kernels and libraries.
        if number == 1:
            model.predict(sample.image)
        for name, change in variants.items():
            started = time.perf_counter()
            labels = change(model).predict(sample.image, entry.name).labels
            seconds[name] += time.perf_counter() - started
            scores[name].append(average_precision(sample.masks, labels).mean)
        print(f"{number}/{len(jobs)} {entry.name}", file=sys.stderr, flush=True)
    entries = [entry for _, entry in jobs]
    rows = [row(name, scores, seconds[name] / len(jobs), entries) for name in variants]
    print(f"{len(jobs)} images of {options.data}, models {', '.join(map(str, options.model))}\n")
    print(markdown(HEADER, rows))
    if options.curve is not None and "diameter" in options.levers:
        draw(options.curve, scores, entries)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path, action="append", required=True)
    parser.add_argument("--folds", type=Path)
    parser.add_argument("--levers", nargs="+", choices=LEVERS, default=LEVERS)
    parser.add_argument("--images", type=int, help="so many, spread over the folder")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--curve", type=Path)
    options = parser.parse_args()
    if len(options.model) > 1 and options.folds is None:
        parser.error("several models need --folds, which says whom each of them may be shown")
    return options


def jobs_of(options: argparse.Namespace) -> list[tuple[Model, Entry]]:
    """Give the images, each with a model that was not trained on it."""
    models = [load_model(path, device=options.device) for path in options.model]
    dataset = open_dataset(options.data)
    entries = [entry for entry in dataset.entries if entry.read_masks is not None]
    owner = dict.fromkeys((entry.name for entry in entries), models[0])
    if options.folds is not None:
        folds = read_folds(options.folds, dataset).folds
        if len(models) > len(folds) and len(models) % len(folds):
            sys.exit(f"{options.folds} has {len(folds)} folds, {len(models)} models are given")
        rounds = [models[k :: len(folds)] for k in range(min(len(models), len(folds)))]
        pairs = zip(map(Model.joined, rounds), folds, strict=False)
        owner = {name: model for model, fold in pairs for name in fold.validation}
        entries = [entry for entry in entries if entry.name in owner]
    if not entries:
        sys.exit(f"{options.data}: no annotated image that a model may be shown")
    step = max(1, len(entries) // (options.images or len(entries)))
    return [(owner[entry.name], entry) for entry in entries[::step][: options.images]]


def variants_of(levers: tuple[str, ...], n_models: int) -> dict[str, Change]:
    """Give the settings to measure, by name; the first is the default, with the first network."""
    first: Change = cache(partial(Model.with_passes, n_models=1))
    found: dict[str, Change] = {}
    if "diameter" in levers:
        found |= {f"diameter × {factor}": partial(with_factor, factor) for factor in FACTORS}
    if "policy" in levers:
        found |= {
            f"policy {policy}": partial(changed, diameter_policy=policy, diameter=None)
            for policy in POLICIES
        }
    if "views" in levers:
        found |= {f"{n} views": partial(changed, views=n) for n in VIEWS}
    if "scales" in levers:
        found |= {f"scales {scales}": partial(changed, scales=scales) for scales in SCALES}
    if "tiles" in levers:
        found |= {f"tiles of {size} px": cache(partial(with_tiles, size)) for size in TILE_SIZES}
    alone = {name: partial(in_turn, first, change) for name, change in found.items()}
    if "ensemble" in levers:
        alone |= {
            f"{n} models": partial(Model.with_passes, n_models=n) for n in range(2, n_models + 1)
        }
    return {"default": first, **alone}


def in_turn(first: Change, second: Change, model: Model) -> Model:
    """Give the model with both changes."""
    return second(first(model))


def changed(model: Model, **settings: object) -> Model:
    """Give the model with other inference settings."""
    config: Config = model.config
    config = replace(config, inference=replace(config.inference, **settings))
    return replace(model, finder=replace(model.finder, config=config))


def with_factor(factor: float, model: Model) -> Model:
    """Give the model with its default diameter multiplied by `factor`."""
    members = [replace(one, diameter=factor * model.diameter_of(one)) for one in model.members]
    return replace(model, members=tuple(members))


def with_tiles(size: int, model: Model) -> Model:
    """Give the model with tiles of `size` × `size` pixels."""
    settings = replace(model.config.inference, tile_size=size)
    members = [
        replace(one, runner=TileRunner(one.runner.network, settings, one.runner.device))
        for one in model.members
    ]
    return replace(model, members=tuple(members))


def row(
    name: str, scores: Mapping[str, list[float]], seconds: float, entries: list[Entry]
) -> tuple[object, ...]:
    """Give score, paired difference, time, and the score of each cell type."""
    values, default = np.array(scores[name]), np.array(scores["default"])
    strata = [entry.cell_type for entry in entries]
    clusters = [entry.group for entry in entries]
    rng = np.random.default_rng(0)
    score = mean_interval(values, rng=rng, strata=strata, clusters=clusters)
    gain = paired_difference(values, default, rng=rng, strata=strata, clusters=clusters)
    types = [values[[kind == one for one in strata]] for kind in TYPES]
    shown = [f"{of_type.mean():.3f}" if len(of_type) else "" for of_type in types]
    signed = f"{gain.estimate:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
    return name, str(score), "" if name == "default" else signed, seconds, *shown


def draw(path: Path, scores: Mapping[str, list[float]], entries: list[Entry]) -> None:
    """Draw the score against the diameter, for all images and each cell type."""
    table = np.array([scores[f"diameter × {factor}"] for factor in FACTORS])
    curves = {"all": (FACTORS, table.mean(axis=1))}
    for kind in sorted({entry.cell_type for entry in entries if entry.cell_type}):
        own = [entry.cell_type == kind for entry in entries]
        curves[kind] = (FACTORS, table[:, own].mean(axis=1))
    draw_curves(path, "Score against the diameter", curves, "diameter / default", "mAP")


if __name__ == "__main__":
    main()
