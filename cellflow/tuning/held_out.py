"""The images that each model has not seen in training; only these may be used to tune it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cellflow.data.dataset import Dataset, Entry
from cellflow.errors import ModelError
from cellflow.network.model_folder import ModelFolder, learnt_images
from cellflow.training.survey import fingerprint, survey_images
from cellflow.wording import counted


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOut:
    """An image, and a model that has not seen it.

    Parameters
    ----------
    model : int
        Index into the models.
    entry : Entry
    """

    model: int
    entry: Entry


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOutImages:
    """All pairs of a model and an image that it has not seen.

    Parameters
    ----------
    pairs : tuple of HeldOut
        Sorted by model, then by the name of the image.
    images_sha256 : str
        Hash of names, pixels and truth of the images.
    remarks : tuple of str
        Sentences that a reader of a score on them must know.
    """

    pairs: tuple[HeldOut, ...]
    images_sha256: str
    remarks: tuple[str, ...]


def find_held_out(folders: Sequence[ModelFolder], dataset: Dataset) -> HeldOutImages:
    """Pair each model with the images of a data set that were held out according to its record.

    Parameters
    ----------
    folders : sequence of ModelFolder
    dataset : Dataset
        The folder that the models were trained on, or one with other images only; with truth.

    Raises
    ------
    ModelError
        A model was trained on all images, its record does not say on which, or the data set holds
        other pixels or truth under the same names.

    Notes
    -----
    If a data set shares no name with a model's record, all of its images are used, with a remark:
    nothing proves that they are new to the model.
    """
    pairs: list[HeldOut] = []
    remarks: list[str] = []
    for number, folder in enumerate(folders):
        entries = _held_out_of(folder, dataset, remarks)
        pairs += [HeldOut(model=number, entry=entry) for entry in entries]
    facts = survey_images({pair.entry.name: pair.entry for pair in pairs}.values())
    return HeldOutImages(
        pairs=tuple(pairs), images_sha256=fingerprint(facts), remarks=tuple(remarks)
    )


def training_images(folder: ModelFolder, dataset: Dataset) -> tuple[Entry, ...]:
    """Give the images of a data set that a model was trained on according to its record."""
    trained = set(_data_record(folder).get("train", []))
    return tuple(entry for entry in dataset.annotated if entry.name in trained)


def _held_out_of(folder: ModelFolder, dataset: Dataset, remarks: list[str]) -> list[Entry]:
    data = _data_record(folder)
    known = dataset.by_name
    trained = learnt_images(folder.record) | set(data.get("left_out", []))
    validation = list(data.get("validation", []))
    if not known.keys() & {*trained, *validation}:
        remarks.append(
            f"{folder.path.name} has no record of the {counted(len(known), 'image')} of "
            f"{dataset.root.name}: they are assumed to be new to it"
        )
        return list(known.values())
    found = [known[name] for name in sorted(validation) if name in known]
    if not found:
        raise ModelError(
            f"{folder.path}: it was trained on every image of {dataset.root} in its record, so "
            "none can choose its thresholds honestly; train with images held out "
            "(training.validation_share, or --folds)"
        )
    if len(found) < len(validation):
        n_missing = len(validation) - len(found)
        remarks.append(f"{counted(n_missing, 'held-out image')} of {folder.path.name} not found")
    if not _has_same_content(folder, data, known):
        remarks.append(
            f"not all images that {folder.path.name} was trained with are in "
            f"{dataset.root.name}: the others are assumed unchanged"
        )
    run = folder.record.get("run", {})
    for is_so, chosen in (
        (run.get("kept") == "best", "the weights of {} were selected on"),
        (run.get("patience") is not None, "the length of the training of {} was decided by"),
    ):
        if is_so:
            remarks.append(
                f"{chosen.format(folder.path.name)} its held-out images, so every score here is "
                "too high by an unknown amount"
            )
    return found


def _data_record(folder: ModelFolder) -> dict[str, Any]:
    data = folder.record.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("train"), list):
        raise ModelError(
            f"{folder.path}: its record does not say which images it was trained on, so none can "
            "be shown to be new to it"
        )
    return data


def _has_same_content(folder: ModelFolder, data: dict[str, Any], known: dict[str, Entry]) -> bool:
    """Tell whether the data are provably those of the training; raise if they have changed."""
    names = [*data["train"], *data["validation"]]
    if not all(name in known for name in names):
        return False
    facts = survey_images(known[name] for name in names)
    if fingerprint(facts) != data.get("sha256"):
        raise ModelError(
            f"{folder.path}: images or truth differ from those that it was trained with; give "
            "the folder that it was trained on"
        )
    return True
