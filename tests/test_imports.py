"""How modules import each other: never in a circle, not even for the sake of types."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_no_module_imports_itself_by_way_of_others():
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for folder in ("liqmap", "bot")
        for path in sorted((ROOT / folder).rglob("*.py"))
    }
    assert len(modules) > 100
    graph = {
        name: imported(path, frozenset(modules)) - {name}
        for name, path in modules.items()
        # The public names stand on top of all, and import when they are asked for.
        if name != "liqmap"
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def imported(path: Path, modules: frozenset[str]) -> set[str]:
    """Return the modules of this repository that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{each.name}" for each in node.names} & modules
            found.update(inner or {node.module})
    return found & modules
