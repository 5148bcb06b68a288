"""What the README shows runs as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bot.cogs.maps import Maps

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_python_example_runs(config: Path, tmp_path: Path):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "example.py").write_text(example)
    done = subprocess.run(
        [sys.executable, "example.py"],
        cwd=tmp_path,
        env={**os.environ, "LIQMAP_CONFIG": str(config)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(" 1.0\n")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_command_reference_names_every_option():
    options = re.findall(r"^\| (\w+) \| ", README.partition("## The command line")[0], re.MULTILINE)[1:]
    assert options == [parameter.name for parameter in Maps.liqmap.parameters]


@pytest.mark.parametrize("command", ["make demo", "make test", "make bench", "make check"])
def test_make_knows_what_the_readme_tells(command: str):
    assert command in README
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    assert re.search(rf"^{command.split()[1]}:", makefile, re.MULTILINE)
