"""Who may write an attribute: rules that hold for the whole source, read as a syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = [path for name in ("liqmap", "bot") for path in sorted((ROOT / name).rglob("*.py"))]
QUESTIONS = ("is_", "_is_", "has_", "_has_", "wants_")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def classes(path: Path) -> Iterator[tuple[ast.ClassDef, list[Function]]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            yield (
                node,
                [each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)],
            )


def written(node: ast.AST, *, to_self: bool) -> set[str]:
    """Return the attributes that `node` assigns, of `self` or of any other object."""
    return {
        each.attr if to_self else ast.unparse(each)
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute)
        and isinstance(each.ctx, ast.Store)
        and (isinstance(each.value, ast.Name) and each.value.id == "self") == to_self
    }


def test_sources_are_found():
    assert len(SOURCES) > 100


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_attributes_exist_from_init_on(path: Path):
    for owner, methods in classes(path):
        fields = {
            each.target.id
            for each in owner.body
            if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
        }
        exist = fields.union(*(written(each, to_self=True) for each in methods if each.name == "__init__"))
        for method in methods:
            born = written(method, to_self=True) - exist
            assert not born, f"{owner.name}.{method.name} makes {born}; __init__ should"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_getters_write_nothing(path: Path):
    for owner, methods in classes(path):
        for method in methods:
            decorators = [ast.unparse(each) for each in method.decorator_list]
            if "property" in decorators or method.name.startswith(QUESTIONS):
                changed = written(method, to_self=True) | written(method, to_self=False)
                assert not changed, f"{owner.name}.{method.name} looks like a getter but writes {changed}"


@pytest.mark.parametrize("path", [each for each in SOURCES if "live" in each.parts], ids=name_of)
def test_recorders_write_only_their_own_attributes(path: Path):
    assert written(ast.parse(path.read_text()), to_self=False) == set()
