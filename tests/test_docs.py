"""What the documents show runs as it stands there."""

from __future__ import annotations

import ast
import doctest
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from discord.ext import commands

import bot.commands
import liqmap
from bot.commands.maps import Maps
from liqmap.cli.main import main
from liqmap.compute.margin import Brackets, MarginRules, liquidation_price
from liqmap.model import Side, Valuation

ROOT = Path(__file__).parents[1]
COGS = [
    each
    for module in pkgutil.iter_modules(bot.commands.__path__, "bot.commands.")
    for each in vars(import_module(module.name)).values()
    if isinstance(each, type) and issubclass(each, commands.Cog) and each.__module__ == module.name
]
README = (ROOT / "README.md").read_text(encoding="utf-8")
USING = (ROOT / "docs" / "using.md").read_text(encoding="utf-8")
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
PAGES = {
    path.name: path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
}
EXAMPLES = [
    (page, example)
    for page, text in sorted(PAGES.items())
    for example in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
]
REFERENCE_CODE = "\n".join(re.findall(r"```pycon\n(.*?)```", PAGES["reference.md"], re.DOTALL))


@pytest.mark.parametrize(
    ("page", "example"), EXAMPLES, ids=[f"{page} {number}" for number, (page, _) in enumerate(EXAMPLES)]
)
def test_python_example_runs_and_prints_something(page: str, example: str, config: Path, tmp_path: Path):
    assert page in PAGES
    if "distributed" in example:
        pytest.importorskip("distributed", reason="the extra dask is not installed")
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
    assert done.stdout


def test_python_example_without_its_main_guard_gets_a_sentence_that_names_it(config: Path, tmp_path: Path):
    example = next(each for _, each in EXAMPLES if "__main__" in each)
    unguarded = re.sub(r"^if __name__ == .*\n    (.*)", r"\1", example, flags=re.MULTILINE)
    assert "__name__" not in unguarded
    (tmp_path / "example.py").write_text(unguarded)
    done = subprocess.run(
        [sys.executable, "example.py"],
        cwd=tmp_path,
        env={**os.environ, "LIQMAP_CONFIG": str(config)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert done.stderr.endswith('needs a main guard: put what it runs under `if __name__ == "__main__":`.\n')


def test_reference_shows_what_its_examples_return(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LIQMAP_CONFIG", str(config))
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(REFERENCE_CODE, {}, "reference.md", None, 0)
    assert len(test.examples) > 40
    lines: list[str] = []
    doctest.DocTestRunner().run(test, out=lines.append)
    assert lines == []


def test_every_public_name_is_described_once_and_used_in_an_example():
    rows = re.findall(r"^\| (`.*?) \| ", PAGES["reference.md"], re.MULTILINE)
    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row)) == sorted(liqmap.__all__)
    code = [each.source for each in doctest.DocTestParser().get_examples(REFERENCE_CODE)]
    code += [example for _, example in EXAMPLES]
    used = {
        node.id if isinstance(node, ast.Name) else node.attr
        for text in code
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Name | ast.Attribute)
    }
    assert {*liqmap.__all__} - used == set()


def test_command_line_prints_the_numbers_of_the_picture(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    block = README.partition("```console\n$ liqmap BTCUSDT")[2].partition("```")[0]
    line, _, shown = block.partition("\n")
    monkeypatch.chdir(tmp_path)
    assert main(["BTCUSDT", *shlex.split(line), "--config", str(config)]) == 0
    assert capsys.readouterr().out.startswith(shown.removesuffix("  ...\n"))
    assert shown.count("\n") > 4


def test_command_reference_names_every_option():
    options = re.findall(r"^\| (\w+) \| ", USING.partition("## Scheduled maps")[0], re.MULTILINE)[1:]
    assert options == [parameter.name for parameter in Maps.liqmap.parameters]


def test_every_command_of_the_bot_is_named():
    rows = [line.split("|")[1] for line in README.splitlines() if line.startswith("| `/")]
    named = {name for row in rows for name in re.findall(r"`/([\w-]+)", row)}
    groups = {command.name for cog in COGS for command in cog.__cog_app_commands__}
    assert named == groups - {"any", "near", "list", "remove"} | {"alert"}


def test_worked_examples_match_the_models():
    """Each formula of the design, with the engine's own result to two decimals."""
    entry = {"entry_price": np.array([60_000.0]), "notional": np.array([600_000.0])}
    binance = Brackets.of([(300_000, 0.004, 150), (800_000, 0.005, 100)])
    bybit = Brackets.of([(300_000, 0.0033, 150), (np.inf, 0.005, 100)])
    rules = [
        MarginRules(binance),
        MarginRules(bybit),
        MarginRules(bybit, Valuation.ENTRY),
        MarginRules(Brackets.of([(10, 0.004, 100)]), Valuation.SIZE, fee=0.0005),
        MarginRules(),
        MarginRules(inverse=True),
    ]
    written = re.findall(r"^    (long|short) .* = ([\d,]+\.\d\d)$", DESIGN, re.MULTILINE)
    found = [
        (name, f"{liquidation_price(each, side, leverage=25, **entry)[0]:,.2f}")
        for each in rules
        for name, side in (("long", Side.BUY), ("short", Side.SELL))
    ]
    assert written == found


def test_every_picture_is_there():
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert len(set(pictures)) == 10
    assert all((ROOT / picture).read_bytes().startswith(b"\x89PNG") for picture in pictures)


@pytest.mark.parametrize(
    "command",
    ["make demo", "make test", "make bench", "make check", "make gallery", "make soak", "make ledger-study"],
)
def test_make_knows_every_command_that_a_page_names(command: str):
    assert any(command in text for text in PAGES.values())
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(rf"^{command.split()[1]}:", makefile, re.MULTILINE)


def test_docker_context_has_only_what_its_file_copies():
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {each[1:] for each in ignored if each.startswith("!")} == set(" ".join(copied).split())


def test_readme_is_short_and_every_link_leads_somewhere():
    assert len(README.splitlines()) <= 200
    links = [
        (page, link)
        for page, text in PAGES.items()
        for link in re.findall(r"\]\(((?!https?:)[^)#]+)\)", text)
    ]
    missing = [
        (page, link)
        for page, link in links
        if not ((ROOT if page == "README.md" else ROOT / "docs") / link).exists()
    ]
    assert missing == []
