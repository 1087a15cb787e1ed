"""The command line in this process, and a small competition to run it on."""

import signal

import numpy as np
import pytest
from cellflow_cli import main
from competition_folder import write_competition_folder


class Done:
    """What a command left behind: exit code, stdout, stderr."""

    def __init__(self, code, output):
        self.code, self.out, self.err = code, output.out, output.err

    @property
    def errors(self):
        """The lines that say what was wrong."""
        return [line for line in self.err.splitlines() if line.startswith("error: ")]


@pytest.fixture
def cellflow(monkeypatch, capsys):
    """Run `cellflow` with arguments, through the function that turns errors into exit codes."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["cellflow", *map(str, arguments)])
        monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
        handler = signal.getsignal(signal.SIGINT)
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        finally:
            signal.signal(signal.SIGINT, handler)
        return Done(code, capsys.readouterr())

    return run


def discs(shape, centres, radius=4):
    """Draw one mask a centre, (N, H, W) bool."""
    y, x = np.indices(shape)
    return np.array([np.hypot(y - cy, x - cx) < radius for cy, cx in centres]).reshape(-1, *shape)


@pytest.fixture
def competition(tmp_path):
    """A folder of four 40x120 images with three cells each, `ä b` in one's name."""
    rng = np.random.default_rng(7)
    images = []
    for number, name in enumerate(("a", "ä b", "c", "d")):
        centres = [(10, 10 + number), (28, 22), (17 + number, 45)]
        masks = discs((40, 120), centres)
        picture = rng.normal(128, 4, (40, 120)) - 60 * masks.any(axis=0)
        images.append((name, picture, masks, {"cell_type": "cort" if number % 2 else "astro"}))
    return write_competition_folder(tmp_path / "competition é", images)
