"""What the program sets for its whole process: waiting threads and freed memory."""

import os
import platform
import subprocess
import sys

import pytest

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")

PAGES_CLEARED = """
import resource
from cellflow_cli.process import prepare

prepare()

def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

size = 2**26
b"x" * size
before = pages()
for _ in range(20):
    b"x" * size
print(pages() - before)
"""


def run(code, **environment):
    ours = ("MALLOC_", "OMP_", "GOMP_", "GLIBC")
    own = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**own, **environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


@glibc
def test_freed_memory_is_used_again_without_new_pages():
    assert int(run(PAGES_CLEARED)) < 1000


@glibc
def test_the_users_own_settings_of_memory_stand():
    assert int(run(PAGES_CLEARED, MALLOC_ARENA_MAX="4")) > 10_000


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "PASSIVE 10000"),
        ({"OMP_WAIT_POLICY": "active"}, "active None"),
        ({"GOMP_SPINCOUNT": "7"}, "None 7"),
    ],
)
def test_threads_hardly_spin_unless_the_user_says_otherwise(given, found):
    code = (
        "import os; from cellflow_cli.process import prepare; prepare();"
        "print(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT'))"
    )
    assert run(code, **given) == found
