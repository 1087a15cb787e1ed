"""Compiled kernels give what their plain Python gives, bit for bit, and none is left out."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cellflow

ROOT = Path(cellflow.__file__).parent
FILES = [
    ROOT / "data/rle_kernels.py",
    *(path for room in ("targets", "dynamics", "metrics") for path in (ROOT / room).glob("*.py")),
]
SCENE = Path(__file__).with_name("kernel_scene.py")


def kernels():
    """Yield ``module.function`` and its syntax tree, of every kernel of the numeric rooms."""
    for path in FILES:
        module = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            decorators = map(ast.unparse, getattr(node, "decorator_list", []))
            if any(text.startswith("njit") for text in decorators):
                yield f"{module}.{node.name}", node


@pytest.mark.needs_jit
def test_every_kernel_gives_what_its_python_gives(tmp_path):
    scenes = {}
    for flag in ("0", "1"):
        file = tmp_path / f"{flag}.npz"
        environment = {**os.environ, "NUMBA_DISABLE_JIT": flag}
        subprocess.run([sys.executable, SCENE, file], check=True, env=environment)
        scenes[flag] = dict(np.load(file))
    compiled, plain = scenes["0"], scenes["1"]
    ran = set(plain.pop("ran").tolist())
    compiled.pop("ran")
    assert {name for name, _ in kernels()} - ran == set()
    for name, values in compiled.items():
        np.testing.assert_array_equal(values, plain[name], err_msg=name)
    assert compiled["labels 0.001"].max() >= 3
    assert compiled["nested"].max() == 1


def test_every_kernel_is_described_and_short():
    for name, node in kernels():
        description = ast.get_docstring(node, clean=False) or ""
        assert description, name
        n_lines = node.body[-1].end_lineno - node.body[0].end_lineno
        assert n_lines <= 40, f"{name}: {n_lines} lines"
