"""`cellflow merge`: join the parts of a prediction."""

from pathlib import Path
from typing import Any

import click

from .options import EXISTING, output_options, outputs_from, tell_found


@click.command()
@click.argument("parts", type=EXISTING, nargs=-1, required=True)
@output_options
def command(parts: tuple[Path, ...], **options: Any) -> None:
    """Join the PARTS that `cellflow predict --shard` left; they stay, and may be deleted then.

    \b
    cellflow predict images/ --out submission.csv --shard 3/40       # as one of 40 jobs
    cellflow merge submission.csv.part-* --out submission.csv
    """
    from cellflow.errors import DataError
    from cellflow.inference.parts import merge_parts
    from cellflow.wording import counted

    result = merge_parts(parts, outputs_from(options), say=lambda text: click.echo(text, err=True))
    tell_found(result)
    if result.failures:
        raise DataError(f"{counted(len(result.failures), 'image')} could not be processed")
