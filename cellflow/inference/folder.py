"""Prediction of many images with one model: resumable, and one broken image does not stop the rest.

The cells of each image are kept in a folder ``OUT.partial`` until all outputs are written, so that
an interrupted run continues where it stopped.
"""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from cellflow.data.outputs import Outputs
from cellflow.errors import ConfigError, DataError
from cellflow.inference.image_job import ImageJob
from cellflow.inference.model import Model
from cellflow.inference.outcome import FolderResult, conclude, finished_images
from cellflow.inference.parts import Shard, open_part, write_part
from cellflow.inference.pipeline import finish_behind
from cellflow.inference.plan import plan_prediction, settle_precision
from cellflow.inference.store import Store, state_of
from cellflow.telling import Report, Say

IN_FLIGHT = {"cpu": 1, "cuda": 3, "mps": 3}
"""Default number of images that are processed at the same time, by kind of device."""


def predict_folder(
    model: Model,
    images: Sequence[Path],
    outputs: Outputs,
    *,
    restart: bool = False,
    overlays: Path | None = None,
    budget: float | None = None,
    shard: Shard | None = None,
    report: Report = lambda step, numbers: None,
    say: Say = lambda text: None,
) -> FolderResult:
    """Find the cells of many images and write them.

    Parameters
    ----------
    model : Model
    images : sequence of path
        The stems of the files are the ids of the images and must differ.
    outputs : Outputs
        The folder with partial results lies beside the first of its paths.
    restart : bool
        Discard the results of an interrupted run instead of continuing it.
    overlays : path, optional
        Folder for an overlay picture, image and outlines, of every image that this call predicts.
    budget : float, optional
        Seconds for all images. If they do not suffice, views, then scales, then models are left
        out, and `say` gets a message. A continued run keeps those that it began with.
    shard : Shard, optional
        Predict only this share of the images, and write a part for `merge_parts` instead of the
        output.
    report : callable
        ``report(n_done, numbers)``, after every image.
    say : callable
        ``say(text)``, when the user should know something: the expected time, estimated diameters,
        images that are left out since `outputs` keeps their files.

    Raises
    ------
    DataError
        There is no image, two have the same name, none could be predicted, or a file of an output
        was changed meanwhile.
    ModelError
        The interrupted run had another model or other settings, or its state is broken.
    ConfigError
        An output cannot be written or is one of the images, the budget is too small, or options
        exclude each other.

    Notes
    -----
    On a GPU, while the network runs on one image, other threads read the next one and find the
    cells of the previous ones. Memory holds at most `inference.images_in_flight` images and the one
    that is being read. An interrupted call leaves the partial folder; the same call continues.
    """
    check_names(images)
    outputs.check(images, overlays)
    if shard is None:
        own = outputs.leave_out_kept(images, say)
        if replaced := outputs.describe_replaced(own):
            say(replaced)
    else:
        _check_shard(outputs, budget)
        own = shard.of(images)
    first = outputs.paths[0]
    store = Store(partial_folder(first) if shard is None else shard.folder(first))
    if restart:
        store.remove()
    left = [path for path in own if not store.has(path)]
    settle_precision(model, images, say)
    model = plan_prediction(model, left, store.state(), budget=budget, say=say)
    store.open(state_of(model))
    if shard is not None:
        open_part(store)
    failures = _do_images(ImageJob(model, store, overlays, say), left, len(own), report)
    n_resumed = len(own) - len(left)
    if shard is not None:
        return _leave_part(store, shard, images, n_resumed, failures)
    return conclude(store, own, outputs, n_resumed=n_resumed, failures=failures)


def _leave_part(
    store: Store, shard: Shard, images: Sequence[Path], n_resumed: int, failures: Sequence[str]
) -> FolderResult:
    done = finished_images(store, shard.of(images), failures)
    write_part(store, shard, images, failures)
    return FolderResult(
        n_images=len(done),
        n_cells=sum(len(one.prediction.scores) for one in store.load(done)),
        n_resumed=n_resumed,
        failures=tuple(failures),
        outputs=(store.folder,),
    )


def partial_folder(output: Path) -> Path:
    """Give the folder with partial results, which exists until `output` is written."""
    whole = output.absolute()
    return whole.with_name(whole.name + ".partial")


def _do_images(job: ImageJob, left: Sequence[Path], n_images: int, report: Report) -> list[str]:
    """Predict the images that are left; give one sentence for each that failed."""
    n_done, failures = n_images - len(left), []
    if n_done:
        report(n_done, {"total": n_images})
    model = job.model
    in_flight = model.config.inference.images_in_flight or IN_FLIGHT[model.device.type]
    pictures = finish_behind(left, job.read, n_behind=min(1, in_flight - 1))
    with closing(pictures), closing(finish_behind(pictures, job.begin, in_flight - 1)) as results:
        for _, failure in results:
            n_done += 1
            if failure is not None:
                failures.append(failure)
            report(n_done, {"total": n_images})
    return failures


def check_names(images: Sequence[Path]) -> None:
    """Check that there are images, and that their ids (the stems of the files) differ.

    Raises
    ------
    DataError
        There are none, or two have the same id.
    """
    if not images:
        raise DataError("no images to predict")
    seen: dict[str, Path] = {}
    for path in images:
        if path.stem in seen:
            raise DataError(
                f"{seen[path.stem]} and {path} have the same id {path.stem!r}; rename one"
            )
        seen[path.stem] = path


def _check_shard(outputs: Outputs, budget: float | None) -> None:
    if len(outputs.paths) > 1 or outputs.tables or outputs.image_names is not None:
        raise ConfigError(
            "--shard writes a part of a single --out; give further outputs, --cells, --counts and "
            "--image-names to cellflow merge"
        )
    if budget is not None:
        raise ConfigError(
            "--shard and --budget: each job would leave out other views; set inference.views"
        )
