"""SIGKILL at any instant: the run goes on, and its weights are those of an undisturbed one."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import mortal_runs
import pytest
from compared_runs import metrics_of, same_weights

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="fork, SIGKILL and /proc")


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_weights(disc_folder, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "killed"
    done = subprocess.run(
        [sys.executable, mortal_runs.__file__, disc_folder(5), whole, out, "1"],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    deaths = json.loads(done.stdout)
    assert deaths[mortal_runs.HALF] >= 2, deaths
    assert len(deaths) >= 4, deaths
    assert sum(deaths.values()) >= 8, deaths
    assert same_weights(whole, out)
    assert metrics_of(whole) == metrics_of(out)
    assert not list(out.rglob(".partial-*"))


def test_a_run_that_is_killed_with_its_loaders_goes_on_and_they_end(disc_folder, tmp_path):
    data, out = disc_folder(5), tmp_path / "killed"
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import mortal_runs;"
        "mortal_runs.train_and_die(Path(sys.argv[2]), Path(sys.argv[3]), at_step=5)"
    )
    here = Path(mortal_runs.__file__).parent
    done = subprocess.run([sys.executable, "-c", code, here, data, out], stdout=subprocess.PIPE)
    assert done.returncode == -signal.SIGKILL
    (loader,) = json.loads(done.stdout)
    mortal_runs.train(data, tmp_path / "whole")
    mortal_runs.train(data, out)
    assert same_weights(tmp_path / "whole", out)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{loader}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{loader}").exists()
