"""Bring your own tagged photos into the one layout: `wsss prepare` from a clone.

python data_scripts/prepare_folder.py my_photos data/mine
python data_scripts/prepare_folder.py --help
"""

import sys
from collections.abc import Sequence

from wsss_lib import cli


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says, or say in one sentence why not."""
    cli.main(["prepare", *(sys.argv[1:] if arguments is None else arguments)])


if __name__ == "__main__":
    main()
