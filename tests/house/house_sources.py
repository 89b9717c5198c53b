"""The project's files as the house tests read them."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def python_files(*folders: str) -> list[Path]:
    """All Python files below these folders of the repository, in a fixed order."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def where(path: Path, node: ast.AST) -> str:
    """``file:line`` for a message."""
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def type_checking_only(module: ast.Module) -> set[ast.AST]:
    """Every node below an ``if TYPE_CHECKING:``, which does not exist when the program runs."""
    hidden: set[ast.AST] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for statement in node.body:
                hidden.update(ast.walk(statement))
    return hidden


def imported_modules(path: Path, *, for_types_too: bool = True) -> Iterator[tuple[ast.AST, str]]:
    """Each import of a file, with the absolute name of what it imports."""
    module = tree(path)
    hidden = set() if for_types_too else type_checking_only(module)
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(module):
        if node in hidden:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            name = ".".join([*base, *([node.module] if node.module else [])])
            yield node, name
            for alias in node.names:
                yield node, f"{name}.{alias.name}"
