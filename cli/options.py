"""Options that several commands share, and the `Config` made from them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cellflow.configfile import read_config
from cellflow.errors import ConfigError

if TYPE_CHECKING:
    from cellflow.config import Config
    from cellflow.data.outputs import Outputs
    from cellflow.inference.outcome import FolderResult

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}

PATH = click.Path(path_type=Path)
EXISTING = click.Path(exists=True, path_type=Path)
SEED = click.IntRange(0, 2**63 - 1)

device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda[:N]|mps",
    help="Where to compute; auto takes a GPU where there is one and says so.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def must_end(*endings: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Give a callback for an option whose file name must end in one of `endings`."""

    def check(context: click.Context, parameter: click.Parameter, value: Path | None) -> Any:
        if value is not None and value.suffix.lower() not in endings:
            raise click.BadParameter(f"{value}: expected a name that ends in {endings[0]}")
        return value

    return check


def _needs_report(
    context: click.Context, parameter: click.Parameter, value: tuple[Path, ...]
) -> tuple[Path, ...]:
    if value and context.params.get("report_file") is None:
        raise click.UsageError("--images are only used in the report; give --report FILE too")
    return value


report_option = click.option(
    "--report",
    "report_file",
    type=PATH,
    is_eager=True,
    callback=must_end(".html", ".htm"),
    help="Also write an HTML report.",
)
images_option = click.option(
    "--images",
    type=EXISTING,
    multiple=True,
    callback=_needs_report,
    help="Images for the report; default: the folder beside --truth with its name, if any.",
)
config_option = click.option(
    "--config", "config_file", type=EXISTING, help="TOML file with settings."
)
set_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="Change one setting, for instance training.learning_rate=1e-4; may be repeated.",
)


def duration(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Convert a time such as ``90s``, ``30m`` or ``9h`` to seconds; a callback for options."""
    if value is None:
        return None
    try:
        seconds = float(value[:-1]) * SECONDS[value[-1:]]
    except (ValueError, KeyError):
        seconds = float("nan")
    if not 0 < seconds < float("inf"):
        raise click.BadParameter(f"{value!r}: expected a time such as 90s, 30m or 9h", ctx, param)
    return seconds


_OF_A_TRAINING = (
    click.option("--seed", "training__seed", type=SEED, help="For weights, order and crops."),
    click.option(
        "--max-minutes",
        "training__max_minutes",
        type=float,
        help="Time budget; after the first steps the rest is planned to fit into it.",
    ),
    click.option("--max-hours", type=float, help="The same budget in hours."),
    click.option(
        "--stop-after",
        metavar="TIME",
        callback=duration,
        help="After this time, however much is left to do, save and exit with code 75, such as "
        "before a job's time limit; the same command continues.",
    ),
    click.option("--folds", "folds_file", type=EXISTING, help="Folds file of `cellflow folds`."),
    click.option(
        "--fold", type=click.IntRange(min=0), help="Fold of the file to hold out.  [default: 0]"
    ),
    click.option("--format", "layout", help="Layout of the data, when it is not recognised."),
    click.option("--overwrite", is_flag=True, help="Replace the run in --out."),
    device_option,
    config_option,
    set_option,
)


def training_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every training has; `budget_from` takes two of them together."""
    for option in reversed(_OF_A_TRAINING):
        function = option(function)
    return function


def budget_from(options: dict[str, Any]) -> None:
    """Replace ``--max-minutes`` and ``--max-hours`` in a command's options by one setting."""
    hours = options.pop("max_hours")
    if hours is None:
        return
    if options["training__max_minutes"] is not None:
        raise click.UsageError("--max-minutes and --max-hours are the same setting; give one")
    options["training__max_minutes"] = 60 * hours


def channel_options(default: str) -> Decorator:
    """Give a decorator that adds ``--chan`` and ``--chan2``, named as in Cellpose."""
    first = click.option(
        "--chan",
        type=click.IntRange(0, 3),
        help="Channel of the cells: 0 grey (the mean), 1 red, 2 green, 3 blue.  "
        f"[default: {default}]",
    )
    second = click.option(
        "--chan2",
        type=click.IntRange(0, 3),
        help=f"Channel of the nuclei, 0 = none.  [default: {default}]",
    )
    return lambda function: first(second(function))


def channels_from(options: dict[str, Any]) -> "Callable[[Config], Config]":
    """Take the values of `channel_options` out of `options`; give what applies them to a config."""
    chosen = (options.pop("chan"), options.pop("chan2"))

    def change(config: "Config") -> "Config":
        pairs = zip(chosen, config.data.channels, strict=True)
        first, second = (before if one is None else one for one, before in pairs)
        return replace(config, data=replace(config.data, channels=(first, second)))

    return change


def config_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--config`` and ``--set``."""
    return config_option(set_option(function))


def config_from(
    config_file: Path | None,
    assignments: tuple[str, ...],
    *,
    base: Any = None,
    **named: Any,
) -> Any:
    """Combine defaults < file < ``--set`` < named options; later ones take precedence.

    Parameters
    ----------
    base : Config or a dataclass like it, optional
        Replaces the defaults, which are those of `Config`; the result has its type.
    **named : any
        ``training__seed=3`` sets ``training.seed``; None leaves it unchanged.
    """
    options = {key.replace("__", "."): value for key, value in named.items()}
    try:
        return read_config(config_file, assignments, options, base)
    except ConfigError as error:
        setting, _, rest = str(error).partition(": ")
        if options.get(setting) is None:
            raise
        raise ConfigError(f"{_typed(setting)}: {rest}") from error


def _typed(setting: str) -> str:
    """Give the option of this command that stands for a setting, as the user types it."""
    section, _, key = setting.partition(".")
    names = {f"{section}__{key}", key}
    parameters = click.get_current_context().command.params
    return next((one.opts[0] for one in parameters if one.name in names), setting)


def output_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for output and its format: ``--out``, ``--as``, tables and ids."""
    out = click.option(
        "--out",
        "outputs",
        type=PATH,
        multiple=True,
        required=True,
        help="submission.csv, results.json (COCO), a folder, or rois.zip of one image; may be "
        "repeated.",
    )
    folder_format = click.option(
        "--as",
        "folder_format",
        type=click.Choice(["tif", "seg", "roi"]),
        default="tif",
        show_default=True,
        help="What to write to a folder: label TIFFs, _seg.npy for Cellpose, or ImageJ ROIs.",
    )
    cells = click.option(
        "--cells",
        type=PATH,
        callback=must_end(".csv"),
        help="Also write a CSV with the place, area, diameter and score of each cell.",
    )
    counts = click.option(
        "--counts",
        type=PATH,
        callback=must_end(".csv"),
        help="Also write a CSV with the count, confluence and cell sizes of each image.",
    )
    overwrite = click.option(
        "--overwrite",
        is_flag=True,
        help="Also replace files that were corrected, or not written by a prediction.",
    )
    image_names = click.option(
        "--image-names",
        type=EXISTING,
        help="Image ids for results.json: the COCO .json of the truth, or a CSV id,file_name.  "
        "[default: the images' names]",
    )
    return out(folder_format(overwrite(cells(counts(image_names(function))))))


def outputs_from(options: dict[str, Any]) -> "Outputs":
    """Take the values of `output_options` out of a command's options."""
    from cellflow.data.image_names import read_image_names
    from cellflow.data.outputs import Outputs

    names = options.pop("image_names")
    return Outputs(
        options.pop("outputs"),
        options.pop("folder_format"),
        cells=options.pop("cells"),
        counts=options.pop("counts"),
        image_names=None if names is None else read_image_names(names),
        overwrite=options.pop("overwrite"),
    )


def tell_found(result: "FolderResult") -> None:
    """Print what failed, then how many cells and images there are, and where the output lies."""
    from cellflow.wording import counted

    for failure in result.failures:
        click.echo(f"error: {failure}", err=True)
    where = ", ".join(str(path) for path in result.outputs)
    found = f"{counted(result.n_cells, 'cell')} in {counted(result.n_images, 'image')}"
    before = f", {result.n_resumed} of them done before" if result.n_resumed else ""
    click.echo(f"{found}{before}: {where}")
