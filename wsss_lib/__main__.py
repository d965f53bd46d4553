"""Runs the command line: ``python -m wsss_lib``."""

from wsss_lib.cli import main

if __name__ == "__main__":
    main()
