"""``python -m cellflow_cli``, which ``torchrun -m cellflow_cli`` needs too."""

from . import main

if __name__ == "__main__":
    main()
