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
    own = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "OMP_", "GLIBC"))}
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


@pytest.mark.parametrize(("given", "found"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "x"}, "x")])
def test_threads_wait_passively_unless_the_user_says_otherwise(given, found):
    code = (
        "import os; from cellflow_cli.process import prepare; prepare();"
        "print(os.environ['OMP_WAIT_POLICY'])"
    )
    assert run(code, **given) == found
