"""`cellflow synth`: make a synthetic competition folder."""

from pathlib import Path

import click

from .options import PATH, SEED


@click.command()
@click.option("--out", type=PATH, required=True, help="A new folder.")
@click.option("--images", default=40, show_default=True, help="Annotated images for training.")
@click.option("--test-images", default=3, show_default=True, help="Images of the test set.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Same seed, same images.")
def command(out: Path, images: int, test_images: int, seed: int) -> None:
    """Make synthetic phase-contrast images, laid out like the competition's folder.

    The truth of the test images goes to test.csv, which training never reads.
    """
    from cellflow.synth.competition import write_competition

    from .progress import Progress

    with Progress("synth", unit="image") as progress:
        write_competition(out, images, seed, n_test_images=test_images, report=progress)
    click.echo(f"{out}: {images} training and {test_images} test images, seed {seed}")
