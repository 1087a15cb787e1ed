"""Peak memory of making cells of a large image, in a process of its own."""

import subprocess
import sys

import pytest

SEGMENT = """
import numpy as np
from pathlib import Path
from cellflow import flows_to_labels, labels_to_flows

def resident(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))

labels = np.zeros((256, 256), np.int32)
rows, columns = np.indices(labels.shape)
for number in range(64):
    y, x = divmod(number, 8)
    labels[np.hypot(rows - 32 * y - 15, columns - 32 * x - 16) < 13] = number + 1
small = labels_to_flows(labels)
cellprob = np.where(labels > 0, np.float32(3), np.float32(-3))
flows_to_labels(small, cellprob)
flows, cellprob = np.tile(small, (1, 12, 12)), np.tile(cellprob, (12, 12))
own = flows.nbytes + cellprob.nbytes
Path("/proc/self/clear_refs").write_text("5")
before = resident("VmRSS")
assert flows_to_labels(flows, cellprob).max() == 64 * 144
print((resident("VmHWM") - before + own) / flows.nbytes)
"""


@pytest.mark.needs_jit
@pytest.mark.skipif(sys.platform != "linux", reason="memory as Linux counts it")
def test_cells_of_a_large_image_need_less_than_six_times_the_memory_of_its_flows():
    done = subprocess.run(
        [sys.executable, "-c", SEGMENT], check=True, capture_output=True, text=True
    )
    assert float(done.stdout) < 6
