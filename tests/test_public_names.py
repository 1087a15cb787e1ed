"""What the package exports is what it says, and loading it is cheap."""

import subprocess
import sys

import cellflow


def test_every_public_name_loads_and_is_documented():
    for name in set(cellflow.__all__) - {"__version__"}:
        assert getattr(cellflow, name).__doc__, name


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(cellflow, "segment_everything")


def test_importing_the_package_imports_no_heavy_library():
    code = (
        "import sys, cellflow;"
        "heavy = {'torch', 'numba', 'scipy', 'cellpose', 'numpy'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
