"""Which images are compared: those that every method covers; others are refused or left out."""

from collections.abc import Collection, Mapping, Sequence

from cellflow.errors import ConfigError, SubmissionError
from cellflow.wording import counted, some_of

_EMPTY_HINT = (
    "; if nothing was found there, --image-names tells so: the COCO file that the model was run on"
)


def compared_images(
    truth: Sequence[str],
    covered: Mapping[str, Collection[str]],
    *,
    common_only: bool = False,
    all_truth: bool = False,
    without_empty: Collection[str] = (),
) -> tuple[list[str], list[str]]:
    """Choose the images of a comparison.

    Parameters
    ----------
    truth : sequence of str
        The images with known truth.
    covered : mapping of method to collection of image names
        The images that the method was run on, with or without cells.
    common_only : bool
        Take the images common to all methods, instead of refusing when they differ.
    all_truth : bool
        Take all images of the truth; those that no method covers count as without prediction.
    without_empty : collection of str
        Methods whose files cannot list an image without cells.

    Returns
    -------
    list of str
        In the order of the truth.
    list of str
        What was left out or scored as 0, and why: one sentence each.

    Raises
    ------
    ConfigError
        Both `common_only` and `all_truth` are given.
    SubmissionError
        The methods cover different images, or none in common.
    """
    if common_only and all_truth:
        raise ConfigError("common-only and all-truth exclude each other")
    known = set(truth)
    covered_truth = {name: known & set(images) for name, images in covered.items()}
    by_any = set[str]().union(*covered_truth.values())
    if apart := {name: covered[name] for name, images in covered_truth.items() if not images}:
        raise SubmissionError(f"no image of the truth is among those of {_examples(apart)}")
    remarks = []
    for name, images in covered.items():
        if unknown := [image for image in images if image not in known]:
            remarks.append(
                f"{name}: {counted(len(unknown), 'image')} left out that the truth does not have: "
                f"{some_of(unknown)}"
            )
        lacking = by_any - covered_truth[name]
        missing = [image for image in truth if image in lacking]
        if missing and not common_only:
            raise SubmissionError(
                f"{name} lacks {counted(len(missing), 'image')} that others have "
                f"({some_of(missing)}); "
                "--common-only compares on the images that all have"
                + (_EMPTY_HINT if name in without_empty else "")
            )
        if missing:
            remarks.append(
                f"{name} lacks {counted(len(missing), 'image')} that others have, left out for "
                f"all: {some_of(missing)}"
            )
    common = set.intersection(*covered_truth.values())
    if not common:
        raise SubmissionError(f"no image of the truth is covered by all: {_examples(covered)}")
    uncovered = [image for image in truth if image not in by_any]
    if uncovered:
        fate = "counted as without prediction" if all_truth else "left out"
        may_be_empty = set(covered) <= set(without_empty) and not all_truth
        n_images = f"{counted(len(uncovered), 'image')} of the truth"
        told = f"{n_images} in no entry"
        if len(covered) == 1:
            told = f"{next(iter(covered))} lacks {n_images}"
        remarks.append(
            f"{told}, {fate}: {some_of(uncovered)}" + (_EMPTY_HINT if may_be_empty else "")
        )
    return [image for image in truth if all_truth or image in common], remarks


def _examples(covered: Mapping[str, Collection[str]]) -> str:
    return ", ".join(
        f"{name} ({counted(len(images), 'image')}, the first {next(iter(images))!r})"
        if images
        else f"{name} (no images)"
        for name, images in covered.items()
    )
