"""Print the tables of the studies that are named, or of all: python -m tests.studies marks."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.studies.marks import marks_table
from tests.studies.truth import truth_table

STUDIES = {"marks": marks_table, "truth": truth_table}

for name in sys.argv[1:] or STUDIES:
    with TemporaryDirectory() as folder:
        sys.stdout.write(f"{name}\n\n{STUDIES[name](Path(folder))}\n\n")
