"""What the package exports is what it says, and loading it is cheap."""

import ast
import subprocess
import sys
from pathlib import Path

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


def test_a_type_checker_sees_public_names_only():
    # A module with an unconditional __getattr__ has every name for a type checker.
    source = ast.parse(Path(cellflow.__file__).read_text(encoding="utf-8"))
    assert "__getattr__" not in [getattr(one, "name", None) for one in source.body]
    assert callable(vars(cellflow)["__getattr__"])
