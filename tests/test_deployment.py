"""The files by which the bot is deployed keep to what they promise."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UNIT = ROOT / "docs" / "liqmap-bot.service"


@pytest.mark.parametrize("name", ["bot", "scheduler", "worker"])
def test_systemd_unit_is_exposed_little(name: str):
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze on this machine (Debian: apt-get install systemd)")
    # The threshold is ten times the exposure, of which 10.0 is the worst.
    done = subprocess.run(  # noqa: S603
        [
            analyze,
            "security",
            "--offline=yes",
            "--threshold=20",
            "--no-pager",
            str(ROOT / "docs" / f"liqmap-{name}.service"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_token_is_in_no_environment_of_the_deployments():
    assert "EnvironmentFile" not in UNIT.read_text(encoding="utf-8")
    compose = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    assert re.findall(r"DISCORD_TOKEN\w*", compose) == ["DISCORD_TOKEN_FILE"]


INSTALLERS = ("Dockerfile", "Makefile", ".github/workflows/check.yml")
SAFE = ("--require-hashes", "--no-build-isolation", "--no-index")


@pytest.mark.parametrize("name", INSTALLERS)
def test_nothing_is_installed_that_no_hash_pins(name: str):
    text = (ROOT / name).read_text(encoding="utf-8")
    install = re.search(r"^INSTALL := (.*)\n", text, re.MULTILINE)
    if install:
        text = text.replace(install[0], "").replace("$(INSTALL)", install[1])
    calls = re.findall(r"^.*pip (?:install|wheel) .*$", text, re.MULTILINE)
    assert bool(calls) == (name != ".github/workflows/check.yml")
    assert [call for call in calls if not any(option in call for option in SAFE)] == []
    assert [call for call in calls if "--no-deps" not in call] == []


def test_images_and_actions_are_named_by_digest():
    images = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    workflow = (ROOT / ".github/workflows/check.yml").read_text(encoding="utf-8")
    actions = re.findall(r"uses: (\S+)", workflow)
    assert len(set(images)) == 1
    assert all(re.fullmatch(r"[\w/]+:[\w.-]+@sha256:[0-9a-f]{64}", each) for each in images)
    assert actions
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", each) for each in actions)


def test_build_tools_are_in_their_lock_file():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["build-system"]["requires"], *project["dependency-groups"]["build"]]
    lock = (ROOT / "requirements-build.lock").read_text(encoding="utf-8")
    pinned = set(re.findall(r"^([\w-]+)==", lock, re.MULTILINE))
    assert {re.split(r"[<>=]", each)[0] for each in wanted} <= pinned


def test_workflow_runs_every_python_that_is_supported():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    reported = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    workflow = (ROOT / ".github/workflows/check.yml").read_text(encoding="utf-8")
    matrix = re.search(r"python: \[(.*)\]", workflow)
    assert matrix
    assert re.findall(r"[\d.]+", matrix[1]) == reported
    assert project["requires-python"] == f">={reported[0]}"
    assert re.findall(r"run: (.*)", workflow) == ["make demo", "make test", "make check"]


def test_commit_hooks_run_the_tools_of_make_check():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.partition("\ncheck:")[2].partition("\n\n")[0]
    tools = re.findall(r"\$\(RUN\)/([\w-]+)(?: (check|format))?", recipe)
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert tools
    assert re.findall(r"entry: .venv/bin/([\w-]+)(?: (check|format))?", hooks) == tools
