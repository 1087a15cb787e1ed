"""Entry point of ``python -m cellflow_cli`` and of ``torchrun -m cellflow_cli``."""

from . import main

if __name__ == "__main__":
    main()
