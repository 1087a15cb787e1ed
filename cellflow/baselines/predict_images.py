"""Predict many images with a baseline; output files and resuming are those of `predict`."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cellflow._version import __version__
from cellflow.baselines.baseline_model import Baseline
from cellflow.data.images import read_image
from cellflow.data.outputs import Outputs
from cellflow.errors import ImageError
from cellflow.inference.folder import check_names, partial_folder
from cellflow.inference.outcome import FolderResult, conclude
from cellflow.inference.store import Store
from cellflow.pictures.overlay import save_overlay
from cellflow.telling import Report, Say, ignore


def predict_images(
    baseline: Baseline,
    images: Sequence[Path],
    outputs: Outputs,
    *,
    overlays: Path | None = None,
    restart: bool = False,
    report: Report = ignore,
    say: Say = ignore,
) -> FolderResult:
    """Find the cells of many images and write them.

    Parameters
    ----------
    baseline : Baseline
    images, outputs, overlays, restart, report, say
        As for `predict_folder`.

    Raises
    ------
    DataError
        There is no image, two have the same name, or all of them failed.
    ModelError
        An interrupted run was with another model or other settings, or there is not enough memory.
    ConfigError
        An output cannot be written, or would overwrite an image.
    """
    check_names(images)
    outputs.check(images, overlays)
    images = outputs.leave_out_kept(images, say)
    if replaced := outputs.describe_replaced(images):
        say(replaced)
    store = Store(partial_folder(outputs.paths[0]))
    if restart:
        store.remove()
    store.open(_state(baseline))
    left = [path for path in images if not store.has(path)]
    failures = []
    for n_done, path in enumerate(left, len(images) - len(left) + 1):
        failure = _do(baseline, path, store, overlays)
        if failure is not None:
            failures.append(failure)
        report(n_done, {"total": len(images)})
    n_resumed = len(images) - len(left)
    return conclude(store, images, outputs, n_resumed=n_resumed, failures=failures)


def _do(baseline: Baseline, path: Path, store: Store, overlays: Path | None) -> str | None:
    """Predict and store the cells of one image; give a message if it cannot be read."""
    try:
        picture = read_image(path)
        prediction = baseline.predict(picture, path.stem)
    except ImageError as error:
        return str(error) if str(path) in str(error) else f"{path}: {error}"
    if overlays is not None:
        target = overlays / f"{path.stem}.png"
        save_overlay(target, picture, predicted=prediction.labels, title=path.stem)
    store.keep(path, prediction)  # last, since a stored image is not processed again
    return None


def _state(baseline: Baseline) -> dict[str, Any]:
    """Give everything that predictions depend on, in the form in which JSON returns it."""
    config = baseline.config
    sections = {
        name: asdict(getattr(config, name)) for name in ("image", "detector", "unet", "cells")
    }
    state = {"cellflow": __version__, "model": baseline.fingerprint, **sections}
    plain: dict[str, Any] = json.loads(json.dumps(state))
    return plain
