"""`cellflow demo`: the whole pipeline on synthetic images."""

from pathlib import Path

import click

from .options import PATH, SEED, device_option, json_option


@click.command()
@click.option("--out", type=PATH, default="runs/demo", show_default=True, help="A new folder.")
@click.option(
    "--seed", type=SEED, default=0, show_default=True, help="For images, weights and crops."
)
@click.option("--minutes", default=4.5, show_default=True, help="Training time.")
@device_option
@json_option
def command(out: Path, seed: int, minutes: float, device: str, as_json: bool) -> None:
    """Draw a synthetic competition, train on it, predict, score, and compare."""
    from cellflow.demo import run_demo
    from cellflow.jsontext import to_json

    from .progress import Progress

    with Progress("demo") as progress:
        result = run_demo(
            out,
            seed=seed,
            minutes=minutes,
            device=device,
            report=progress,
            say=lambda text: click.echo(text, err=True),
        )
    if as_json:
        click.echo(to_json(result.comparison.to_dict()))
        return
    click.echo(f"\n{result.score.table()}\n\n{result.comparison.table()}\n")
    where = f"model {result.model}, pictures {result.pictures}, report {result.page}"
    click.echo(f"{where}, {result.seconds:.0f} s in all")
