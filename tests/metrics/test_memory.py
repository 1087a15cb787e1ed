"""Peak memory of scoring as many cells as a large image holds, each in a process of its own."""

import subprocess
import sys

import pytest

SCORE = """
import resource, sys
import numpy as np
from cellflow.data.rle import labels_to_masks
from cellflow.metrics.average_precision import average_precision

def draw(n_rows):
    y, x = np.indices((2 * n_rows, 2 * 250), np.int32) // 2
    return y * 250 + x + 1

def score(truth):
    found = np.roll(truth, 1, axis=1)
    if sys.argv[1] == "masks":
        truth, found = labels_to_masks(truth), labels_to_masks(found)
    return average_precision(truth, found)

score(draw(4))
truth = draw(240)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert score(truth).n_truths == score(truth).n_predicted == 60_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.needs_jit
@pytest.mark.skipif(sys.platform != "linux", reason="kilobytes as Linux counts them")
@pytest.mark.parametrize("form", ["labels", "masks"])
def test_60000_cells_against_60000_need_memory_for_the_pairs_that_meet(form):
    done = subprocess.run(
        [sys.executable, "-c", SCORE, form], check=True, capture_output=True, text=True
    )
    # A table of all pairs would take 27 GiB as int64; these are 120,000 pairs.
    assert int(done.stdout) < 150_000, "kB"
