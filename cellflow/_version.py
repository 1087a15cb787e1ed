"""The version, alone in a file so that `setup.cfg` and everything else can read it."""

__version__ = "0.1.0"
PROGRAM = f"cellflow {__version__}"
"""Name and version of the program, written into files."""
