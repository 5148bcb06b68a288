"""The files by which the bot is deployed keep to what they promise."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UNIT = ROOT / "docs" / "liqmap-bot.service"


def test_systemd_unit_is_exposed_little():
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze on this machine (Debian: apt-get install systemd)")
    # The threshold is ten times the exposure, of which 10.0 is the worst.
    done = subprocess.run(  # noqa: S603
        [analyze, "security", "--offline=yes", "--threshold=20", "--no-pager", str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_token_is_in_no_environment_of_the_deployments():
    assert "EnvironmentFile" not in UNIT.read_text(encoding="utf-8")
    compose = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    assert re.findall(r"DISCORD_TOKEN\w*", compose) == ["DISCORD_TOKEN_FILE"]
