"""Options of `compare`, `fuse`, `score`: what entries need, and how they are made comparable."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

import click

from cellflow.config import ComparisonConfig, OverlapRule

from .options import EXISTING, device_option
from .progress import Progress

if TYPE_CHECKING:
    from cellflow.comparison.importers import Sources

_PREPARATION = (
    click.option(
        "--truth",
        type=EXISTING,
        required=True,
        help="train.csv, a COCO .json, or a folder of annotated images.",
    ),
    click.option(
        "--overlap-rule",
        type=click.Choice(get_args(OverlapRule)),
        default=ComparisonConfig().overlap_rule,
        show_default=True,
        help="Which detection keeps a pixel that several cover.",
    ),
    click.option(
        "--no-tuning",
        is_flag=True,
        help="Count all detections; by default, cut-offs of score and area are chosen on folds.",
    ),
    click.option(
        "--image-names",
        type=EXISTING,
        help="File names for the image ids in COCO results: a COCO .json, or a CSV id,file_name.",
    ),
)
_MODELS = (
    click.option(
        "--images", type=EXISTING, multiple=True, help="Images for entries that are model folders."
    ),
    device_option,
)


def entry_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command that takes model folders too."""
    for option in reversed((*_PREPARATION, *_MODELS)):
        function = option(function)
    return function


def file_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command that takes all kinds of entries but model folders."""
    for option in reversed(_PREPARATION):
        function = option(function)
    return function


def comparison_settings(options: dict[str, Any], **others: Any) -> ComparisonConfig:
    """Take the options that make entries comparable out of `options`, as a config."""
    return ComparisonConfig(
        overlap_rule=options.pop("overlap_rule"),
        tune_cutoffs=not options.pop("no_tuning"),
        **others,
    )


@contextmanager
def comparison_sources(options: dict[str, Any]) -> Iterator["Sources"]:
    """Take the options for `Sources` out of `options`; show progress while models predict."""
    from cellflow.comparison.importers import Sources
    from cellflow.data.image_names import read_image_names

    names = options.pop("image_names")
    sources = Sources(
        image_names=None if names is None else read_image_names(names),
        images=options.pop("images", ()),
        device=options.pop("device", "auto"),
    )
    if not sources.images:
        yield sources
        return
    with Progress("predict", unit="image") as progress:
        yield replace(sources, report=progress)
