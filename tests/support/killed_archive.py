"""`cavsync archive` in small parts, for tests that kill it: a killed process loses a part at most."""

import sys

from cavsync.cli.main import main
from cavsync.deploy.archive import data_set

PART_FILES = 2

if __name__ == "__main__":
    data_set.PART_FILES = PART_FILES
    main(["archive", *sys.argv[1:]])
