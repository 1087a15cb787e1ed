"""Where the real data is, and a visible price for every test that skips without it; no GPU."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The first call of a kernel compiles it; a deadline would measure the compiler.
settings.register_profile("cellflow", deadline=None)
settings.load_profile("cellflow")

DATA = Path(os.environ.get("CELLFLOW_DATA", "../shared/data"))


def pytest_configure(config):
    """Hide the GPUs from all tests but those marked gpu, which run by themselves: ``-m gpu``.

    The others expect what a processor gives, by themselves and in the commands that they start.
    """
    if config.getoption("markexpr") != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real microscopy data; skips the test when there is none."""
    if DATA.is_dir():
        return DATA.resolve()
    if os.environ.get("CELLFLOW_REQUIRE_DATA"):
        pytest.fail(f"CELLFLOW_REQUIRE_DATA is set, but {DATA} is not there")
    pytest.skip(f"no real data at {DATA}; set CELLFLOW_DATA")


@pytest.fixture
def one_thread():
    """Small tensors: on a busy machine two threads wait for each other a thousand times longer."""
    import torch

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def rng():
    """A fresh generator with a fixed seed."""
    import numpy as np

    return np.random.default_rng(0)
