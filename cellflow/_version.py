"""The version, alone in a file so that `setup.cfg` and everything else can read it."""

VERSION = "0.1.0"
