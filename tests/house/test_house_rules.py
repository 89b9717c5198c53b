"""Rules of style that a reader relies on, kept by a test instead of by memory."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
from house_sources import ROOT, python_files, tree, where

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
PRODUCT = python_files("walrus")
TESTS = python_files("tests", "fuzz")
ALL = sorted({*PRODUCT, *TESTS, *python_files("benchmarks", "docker", "scripts")})

# A path of the machine that a file was written on has no meaning on the reader's.
MACHINE_PATH = re.compile(r"(?<![\w.}~-])/(?:work|root|tmp/v|home/\w+)/|\.\./shared")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_a_file_is_short_and_says_what_it_is_for(path: Path) -> None:
    """Under 400 lines, no function of 70, and a docstring at the top."""
    module = tree(path)
    assert len(path.read_text(encoding="utf-8").splitlines()) < FILE_LINES_MAX
    assert ast.get_docstring(module) or not module.body, "no docstring at the top of the file"
    long = [
        f"{where(path, node)} {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 >= FUNCTION_LINES_MAX
    ]
    assert long == []


def test_no_exception_is_caught_without_being_named() -> None:
    """``except:``, ``except Exception`` and ``except BaseException`` hide the bug that nobody thought of."""
    broad = {"Exception", "BaseException"}
    strays = [
        where(path, node)
        for path in ALL
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or any(isinstance(n, ast.Name) and n.id in broad for n in ast.walk(node.type)))
    ]
    assert strays == []


def test_nothing_sleeps() -> None:
    """Who waits, waits for a condition with a time limit: any sleep is too short on some machine."""
    strays = []
    for path in ALL:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "time.sleep",
                "sleep",
                "asyncio.sleep",
            ):
                yields_only = bool(node.args) and ast.unparse(node.args[0]) == "0"
                if not yields_only:
                    strays.append(where(path, node))
    assert strays == []


def test_nothing_is_left_open() -> None:
    """No stub and no note of work to be done stays in the sources."""
    mark = re.compile(r"TO[D]O|FIX[M]E|X{3}|NotImplemented[E]rror|mark\.x[f]ail")
    strays = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in ALL
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if mark.search(line)
    ]
    assert strays == []


def test_the_name_or_docstring_of_a_test_is_a_sentence() -> None:
    """A failing test says what no longer holds."""
    strays = [
        f"{where(path, node)} {node.name}"
        for path in TESTS
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
        and node.name.count("_") < 4
    ]
    assert strays == []


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    """What a stranger clones must make sense on a stranger's machine."""
    documents = [
        *ROOT.glob("*.md"),
        *ROOT.glob("*.yml"),
        *ROOT.glob("*.toml"),
        ROOT / "Makefile",
        ROOT / "Dockerfile",
    ]
    scripts = [path for path in (ROOT / "scripts").rglob("*") if path.is_file()]
    strays = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in sorted({*ALL, *documents, *scripts} - {Path(__file__).resolve()})
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]
    assert strays == []


def test_every_console_script_leads_to_a_function() -> None:
    """What pyproject.toml promises to install is there."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    missing = []
    for script, target in sorted(scripts.items()):
        module, _, function = target.partition(":")
        path = ROOT / Path(*module.split(".")).with_suffix(".py")
        names = {getattr(node, "name", "") for node in tree(path).body} if path.exists() else set()
        if function not in names:
            missing.append(f"{script} = {target}")
    assert missing == []
