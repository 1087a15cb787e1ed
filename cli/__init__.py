"""The `cellflow` command: a table of commands, each imported only when it is called."""

import atexit
import errno
import os
import signal
import sys

import click

from cellflow._version import __version__
from cellflow.errors import CellflowError
from cellflow.processors import is_first_process
from cellflow.training.interruption import REQUEUE_EXIT_CODE, Preempted

from .compilation import announce_compilation
from .lazy_group import LazyGroup
from .process import abandon_output, prepare

COMMANDS = {
    "train": ("cellflow_cli.train", "Train a model on a folder of annotated images."),
    "tune": ("cellflow_cli.tune", "Choose thresholds by cell type on held-out images."),
    "predict": ("cellflow_cli.predict", "Find the cells in images."),
    "pseudo-label": ("cellflow_cli.pseudo_label", "Label images with models, to train on them."),
    "merge": ("cellflow_cli.merge", "Join the parts of a prediction that several jobs made."),
    "score": ("cellflow_cli.score", "Score the cells found in images, with error bars."),
    "compare": ("cellflow_cli.compare", "Compare methods image by image, with error bars."),
    "experiment": ("cellflow_cli.experiment", "Compare ways of training on the same folds."),
    "baseline": ("cellflow_cli.baseline", "Train and run Mask R-CNN, Cascade Mask R-CNN, U-Net."),
    "fuse": ("cellflow_cli.fuse", "Fuse several methods into one submission, without overlap."),
    "report": ("cellflow_cli.report", "Write an HTML report on predictions."),
    "diagnose": ("cellflow_cli.diagnose", "Show what limits the score of a prediction."),
    "check": ("cellflow_cli.check", "Check a data folder or a submission for faults."),
    "folds": ("cellflow_cli.folds", "Split a data folder into training and validation folds."),
    "split": ("cellflow_cli.split", "Write the planes of stacks as separate pictures."),
    "show": ("cellflow_cli.show", "Draw images with the outlines of their cells."),
    "synth": ("cellflow_cli.synth", "Make a synthetic competition folder."),
    "demo": ("cellflow_cli.demo", "Run the whole workflow on synthetic images."),
    "doctor": ("cellflow_cli.doctor", "Show what this machine has, for bug reports."),
}

INTERRUPTED = 130
"""Exit code of shells for a program that SIGINT ended."""

OUTPUT_FAILS = frozenset({errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EDQUOT})
"""Errors of standard output: the reader has closed the pipe (``| head``), or the disk is full."""


@click.group(
    cls=LazyGroup,
    commands_table=COMMANDS,
    before=announce_compilation,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="cellflow")
def cellflow() -> None:
    """Cellpose flow-field segmentation: train, predict, score and compare."""


def main() -> None:
    """Run the command line; the only place that turns errors into exit codes.

    Exit codes: 0 done, 1 refused (one line on stderr), 2 wrong usage, 75 stopped by a scheduler's
    signal and to be run again, 130 interrupted. A traceback means a bug in cellflow.
    """
    prepare()
    try:
        cellflow(standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt) as error:
        # A second Ctrl-C, while the message is printed or threads end, would print a traceback.
        # Python resets handlers at its very end, so SIGINT is ignored from then on.
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
        # click replaces every KeyboardInterrupt, including Preempted, by its own Abort.
        cause = error.__cause__ or error
        is_preempted = isinstance(cause, Preempted)
        if is_first_process():
            click.echo(f"stopped by {cause}" if is_preempted else "interrupted", err=True)
        sys.exit(REQUEUE_EXIT_CODE if is_preempted else INTERRUPTED)
    except CellflowError as error:
        click.echo(f"{click.style('error:', fg='red')} {error}", err=True)
        sys.exit(1)
    except OSError as error:
        # The library's own file errors name the file and are CellflowErrors.
        if error.filename is not None or error.errno not in OUTPUT_FAILS:
            raise
        abandon_output()
        if error.errno != errno.EPIPE:
            click.echo(f"error: cannot write the result: {error.strerror}", err=True)
        sys.exit(1)
