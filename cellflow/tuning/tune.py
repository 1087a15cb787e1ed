"""``cellflow tune``: from model folders and their held-out images to thresholds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cellflow.atomic import write_json
from cellflow.config import Config
from cellflow.configfile import config_from_dict
from cellflow.data.dataset import Dataset
from cellflow.data.entrance import open_annotated
from cellflow.data.independence import independent_groups
from cellflow.errors import DataError, ModelError
from cellflow.hashing import hash_file
from cellflow.inference.cells import steps_along
from cellflow.inference.confidence import Confidence, write_confidence
from cellflow.inference.predict import Model, load_model
from cellflow.network.cell_type_head import CellTypeHead, write_cell_type_head
from cellflow.network.model_folder import (
    CONFIDENCE,
    FLOW_CACHE,
    TUNING,
    ModelFolder,
    read_model_folder,
    versions,
)
from cellflow.network.thresholds import CellSettings, Provenance, Thresholds, write_thresholds
from cellflow.network.weights_file import WEIGHTS
from cellflow.telling import Report, Say, ignore
from cellflow.training.cell_types import choose_images, learn_cell_types
from cellflow.tuning.card import update_card
from cellflow.tuning.choice import ALL_TYPES
from cellflow.tuning.flow_cache import FlowCache
from cellflow.tuning.grid import Grid
from cellflow.tuning.held_out import HeldOut, HeldOutImages, find_held_out, training_images
from cellflow.tuning.image_scores import ImageCells, list_cells
from cellflow.tuning.nested import NestedResult, TunedImage, tune_nested
from cellflow.tuning.pictures import draw_thresholds
from cellflow.tuning.result import ALL, TuneResult, summarize
from cellflow.wording import counted


def tune(
    folders: Sequence[Path],
    train_dir: Path,
    *,
    change: Callable[[Config], Config] = lambda config: config,
    device: str = "auto",
    layout: str | None = None,
    cache: Path | None = None,
    dry_run: bool = False,
    report: Report = ignore,
    say: Say = ignore,
) -> TuneResult:
    """Choose thresholds on images that the models have not seen, and write them.

    Parameters
    ----------
    folders : sequence of Path
        Model folders. Several are treated as one method, for instance one model per fold of a data
        set: each predicts its own held-out images, and all get the same thresholds.
    train_dir : Path
        The data that the models were trained on, or new annotated images.
    change : callable
        ``change(settings)`` gives the settings to use: how images are predicted, what is tried.
    device : str
        As for `choose_device`.
    layout : str, optional
        Forces a layout, as for `open_dataset`.
    cache : Path, optional
        Folder for the network's output, 4.4 MB per image of 520x704; by default ``flow-cache`` in
        the first model folder. It may be deleted at any time.
    dry_run : bool
        Only give the result; do not change the models. The network's output is then not kept,
        unless there is a `cache`, or already one in the first model folder.
    report, say : callable
        ``report(step, numbers)``, after every predicted image, then after every fold;
        ``say(text)``, when the user should know something.

    Raises
    ------
    ModelError
        A folder is not a model folder, or no image is new to a model.
    DataError
        The data cannot be used, or all held-out images are of one group.
    ConfigError
        A setting is not valid.

    Notes
    -----
    Each model folder gets

    - ``thresholds.json``;
    - ``confidence.json``, if the calibrated confidence is better on images that it was not
      calibrated on, or if a chosen score threshold relies on it;
    - ``cell_types.json``, if it had none and there are two cell types;
    - ``tuning/`` with curves and numbers.

    Memory holds the scores of every image at every place of the grid (4 bytes each, by default
    0.2 MB per image), the cells of every image, and one flow field.
    """
    _require_different(folders)
    subjects = [_Subject.open(path, device, change) for path in folders]
    dataset = open_annotated(train_dir, layout)
    held_out = find_held_out([subject.folder for subject in subjects], dataset)
    for remark in held_out.remarks:
        say(remark)
    config = subjects[0].model.config
    in_use = subjects[0].settings_in_use
    if any(subject.settings_in_use != in_use for subject in subjects):
        raise ModelError("the models have different settings in use; tune them one by one")
    grid = Grid.of(config.tuning, [CellSettings(), in_use])
    say(f"{counted(len(held_out.pairs), 'held-out image')}, {grid.size} combinations of settings")
    for subject in subjects:
        subject.learn_types(dataset)
    with _flow_cache(cache, folders[0] / FLOW_CACHE, dry_run, say) as store:
        images = _look(subjects, held_out, grid, store, report)
        if len({image.group for image in images}) < 2:
            raise DataError(
                f"{train_dir}: the held-out images are one group (same well, field or pixels): "
                "at least two groups are needed"
            )
        found = tune_nested(images, grid, config, grid.index_of(in_use), report)
    result = summarize(found, images, grid, held_out.remarks, config.tuning.seed)
    for subject in subjects if not dry_run else ():
        _write(subject, found, result, images, grid, held_out)
    return result


@contextmanager
def _flow_cache(asked: Path | None, own: Path, dry_run: bool, say: Say) -> Iterator[FlowCache]:
    """Give the requested cache, or else the model's own, which a dry run does not create."""
    if asked is None and dry_run and not own.exists():
        with TemporaryDirectory(prefix="cellflow-") as place:
            yield FlowCache(folder=Path(place))
        return
    store = FlowCache(folder=asked or own)
    say(f"network output is kept in {store.folder}, which may be deleted")
    yield store


def _require_different(folders: Sequence[Path]) -> None:
    seen: set[Path] = set()
    for folder in folders:
        if folder.resolve() in seen:
            raise ModelError(f"{folder} is given twice; its held-out images would count twice")
        seen.add(folder.resolve())


@dataclass(slots=True, kw_only=True, eq=False)
class _Subject:
    """A model that is being tuned."""

    folder: ModelFolder
    model: Model
    weights: str
    trained_with: Config
    settings_in_use: CellSettings
    head: CellTypeHead | None
    is_head_new: bool = False

    @classmethod
    def open(cls, path: Path, device: str, change: Callable[[Config], Config]) -> "_Subject":
        """Load a model with the settings that it was trained with, ignoring an earlier tuning."""
        folder = read_model_folder(path)
        trained_with = config_from_dict(folder.record["config"])

        def untuned(config: Config) -> Config:
            inference = replace(config.inference, diameter=trained_with.inference.diameter)
            return change(replace(config, dynamics=trained_with.dynamics, inference=inference))

        return cls(
            folder=folder,
            model=load_model(path, device=device, change=untuned),
            weights=hash_file(path / WEIGHTS),
            trained_with=trained_with,
            settings_in_use=replace(CellSettings.of(untuned(folder.config)), diameter=None),
            head=folder.cell_type_head,
        )

    def learn_types(self, dataset: Dataset) -> None:
        """Fit a cell type head on the training images if the model has none."""
        if self.head is None:
            chosen = choose_images(training_images(self.folder, dataset))
            self.head = learn_cell_types(self.model, chosen)
            self.is_head_new = self.head is not None


def _look(
    subjects: Sequence[_Subject],
    held_out: HeldOutImages,
    grid: Grid,
    store: FlowCache,
    report: Report,
) -> list[TunedImage]:
    """Run the networks, and find the cells at every `cellprob_threshold`."""
    entries = {pair.entry.name: pair.entry for pair in held_out.pairs}
    groups = {name: each[0] for each in independent_groups(list(entries.values())) for name in each}
    images = []
    for step, pair in enumerate(held_out.pairs):
        group = groups[pair.entry.name]
        images.append(_look_at(subjects[pair.model], pair, group, grid, store))
        report(step + 1, {"total": len(held_out.pairs)})
    return images


def _look_at(
    subject: _Subject, pair: HeldOut, group: str, grid: Grid, store: FlowCache
) -> TunedImage:
    model, entry = subject.model, pair.entry
    look = partial(store.look, model, subject.weights, entry)
    truth = entry.truth()
    followings, told = [], None
    for factor in grid.diameter_factor:
        seen = look(factor)
        if factor == 1 and subject.head is not None:
            told = subject.head.classify(seen.field.style)[0]
        dynamics = model.config.dynamics
        followings.append(
            list_cells(
                seen.field,
                truth,
                grid,
                n_steps=steps_along(dynamics, seen.diameter, seen.diam_mean),
                tolerance=dynamics.tolerance,
                diameter=seen.diameter,
            )
        )
    return TunedImage(
        name=entry.name,
        cell_type=entry.cell_type,
        told_type=told,
        group=group,
        truth=truth,
        cells=ImageCells(n_truths=len(truth), followings=tuple(followings)),
        look=look,
        diameter=model.diameter,
    )


def _write(
    subject: _Subject,
    found: NestedResult,
    result: TuneResult,
    images: Sequence[TunedImage],
    grid: Grid,
    held_out: HeldOutImages,
) -> None:
    """Write the result into a model folder; ``thresholds.json`` last."""
    path = subject.folder.path
    content = {"images_sha256": held_out.images_sha256, **result.to_dict()}
    write_json(path / TUNING / "tuning.json", content)
    draw_thresholds(path / TUNING, found, images, grid)
    # In case of an interruption: thresholds of an earlier tuning do not fit the new confidence.
    write_thresholds(path, Thresholds.untuned(subject.trained_with))
    if subject.head is not None and subject.is_head_new:
        write_cell_type_head(path, subject.head)
    if found.confidence is not None and result.is_calibration_taken:
        write_confidence(path, _recorded(found.confidence, result, held_out))
    else:  # a confidence of an earlier tuning does not fit the new thresholds either
        (path / CONFIDENCE).unlink(missing_ok=True)
    update_card(path, result)
    write_thresholds(path, _thresholds(subject, found, result, grid, held_out))


def _recorded(confidence: Confidence, result: TuneResult, held_out: HeldOutImages) -> Confidence:
    record: Mapping[str, Any] = {
        "target": "IoU with a true cell above 0.5",
        "images_sha256": held_out.images_sha256,
        "out_of_fold": {
            "uncalibrated": result.raw.to_dict(),
            "calibrated": result.calibrated.to_dict(),
        },
    }
    return replace(confidence, record=record)


def _thresholds(
    subject: _Subject, found: NestedResult, result: TuneResult, grid: Grid, held_out: HeldOutImages
) -> Thresholds:
    places, diameter = found.choice.places, subject.model.diameter
    overall = result.types[ALL]
    names = ("default", "itself", "nested", "gain", "optimism")
    how = (
        f"{grid.size} combinations of {', '.join(grid.names)}; nested cross-validation over "
        "independent images; a choice is taken where it beats the settings in use on images that "
        "did not make it"
    )
    return Thresholds(
        default=grid.settings_at(places[ALL_TYPES], diameter),
        per_cell_type={
            kind: grid.settings_at(place, diameter)
            for kind, place in places.items()
            if kind != ALL_TYPES
        },
        tuned=True,
        provenance=Provenance(
            how=how,
            images_sha256=held_out.images_sha256,
            n_images=overall.n_images,
            images=tuple(sorted({pair.entry.name for pair in held_out.pairs})),
            scores={name: getattr(overall, name) for name in names},
            versions=versions(),
        ),
    )
