"""Who may import whom, and what the core may not touch: the rules that make a run repeatable."""

import ast
from pathlib import Path

import pytest
from house_sources import imported_modules, python_files, tree, type_checking_only, where

# What a room may import of the others. Its own modules are always allowed.
MAY_IMPORT = {
    "core": (),
    "io": ("walrus.core",),
    "sim": ("walrus.core", "walrus.client.session", "walrus.client.calls"),  # the client without its sockets
    "client": ("walrus.core.wire",),
    "cli": ("walrus.core", "walrus.io", "walrus.sim", "walrus.client", "walrus.__version__"),
}

# The standard library as far as it only computes, and the three pure dependencies.
CORE_IMPORTS = {
    *("__future__", "abc", "array", "base64", "binascii", "bisect", "collections", "contextlib", "copy"),
    *("dataclasses", "enum", "errno", "functools", "hashlib", "heapq", "hmac", "itertools", "json", "math"),
    *("operator", "re", "string", "struct", "textwrap", "types", "typing", "zlib"),
    *("msgspec", "sortedcontainers"),
}
TYPES_ONLY = {"random"}  # a generator is given at construction; its type may be named

# Builtins that reach the world, or whose result differs between two runs of one seed.
FORBIDDEN_BUILTINS = {
    "open",
    "print",
    "input",
    "id",
    "hash",
    "eval",
    "exec",
    "compile",
    "__import__",
    "breakpoint",
}

# Calls that give the same answer in whatever order they are fed.
ORDER_NEUTRAL = {"sorted", "min", "max", "sum", "any", "all", "len", "set", "frozenset", "Counter"}
KEEP_ORDER = {
    "list",
    "tuple",
    "iter",
    "enumerate",
    "zip",
    "map",
    "filter",
    "deque",
    "join",
    "extend",
    "fromkeys",
}


def files_of(room: str) -> list[Path]:
    return python_files(f"walrus/{room}")


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_the_rooms_below_it(room: str) -> None:
    """core imports no other room; io and sim do not know each other; nothing imports cli."""
    allowed = (f"walrus.{room}", *MAY_IMPORT[room])
    strays = [
        f"{where(path, node)} imports {name}"
        for path in files_of(room)
        for node, name in imported_modules(path)
        if name.startswith("walrus.")
        and not any(f"{name}.".startswith(f"{prefix}.") for prefix in allowed)
        and not any(f"{prefix}.".startswith(f"{name}.") and prefix != name for prefix in allowed)
    ]
    assert strays == []


def test_the_core_imports_only_what_computes() -> None:
    """No clock, random source, file, socket, environment, logger or thread can be reached from the core."""
    strays = []
    for path in files_of("core"):
        at_run_time = {node for node, _ in imported_modules(path, for_types_too=False)}
        for node, name in imported_modules(path):
            top = name.partition(".")[0]
            if top == "walrus" or top in CORE_IMPORTS or (top in TYPES_ONLY and node not in at_run_time):
                continue
            strays.append(f"{where(path, node)} imports {name}")
    assert strays == []


def test_the_core_calls_no_builtin_that_reaches_the_world_or_differs_between_runs() -> None:
    """``open``, ``print``, ``id``, ``hash`` and their like are not used in the core."""
    strays = [
        f"{where(path, node)} uses {node.id}"
        for path in files_of("core")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in FORBIDDEN_BUILTINS
    ]
    assert strays == []


@pytest.mark.parametrize("room", ["core", "sim"])
def test_no_order_comes_out_of_a_set(room: str) -> None:
    """What a file shows to be a set is sorted before it is iterated over or made a list."""
    assert [stray for path in files_of(room) for stray in unordered_iterations(path, tree(path))] == []


def unordered_iterations(path: Path, module: ast.Module) -> list[str]:
    """Places where the order of a set's members could decide what happens."""
    named = names_of_sets(module)
    hidden = type_checking_only(module)
    neutral: set[ast.AST] = set()
    found: list[str] = []
    for node in ast.walk(module):
        if node in hidden:
            continue
        if isinstance(node, ast.Call) and called_name(node) in ORDER_NEUTRAL:
            neutral.update(argument for argument in node.args if isinstance(argument, ast.GeneratorExp))
        iterated: list[ast.expr] = []
        if isinstance(node, ast.For):
            iterated = [node.iter]
        elif isinstance(node, ast.ListComp | ast.DictComp | ast.GeneratorExp) and node not in neutral:
            iterated = [generator.iter for generator in node.generators]
        elif isinstance(node, ast.Call) and called_name(node) in KEEP_ORDER:
            iterated = list(node.args)
        elif isinstance(node, ast.Starred) and isinstance(node.ctx, ast.Load):
            iterated = [node.value]
        found += [
            f"{where(path, one)} iterates over a set: {ast.unparse(one)}" for one in iterated if is_set(one, named)
        ]
    return found


def called_name(call: ast.Call) -> str:
    """The last part of what is called: ``f`` of ``f()`` and of ``x.f()``."""
    return ast.unparse(call.func).rpartition(".")[2]


def names_of_sets(module: ast.Module) -> set[str]:
    """Variables and attributes that a file annotates as sets or assigns a set to, as in its text."""
    named: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.AnnAssign) and is_set_type(node.annotation):
            named.update((ast.unparse(node.target), f"self.{ast.unparse(node.target)}"))
        elif isinstance(node, ast.Assign) and is_set(node.value, set()):
            named.update(ast.unparse(target) for target in node.targets)
    return named


def is_set_type(annotation: ast.expr) -> bool:
    return ast.unparse(annotation).partition("[")[0] in ("set", "frozenset", "Set", "AbstractSet")


def is_set(value: ast.expr, named: set[str]) -> bool:
    """Whether an expression shows itself to be a set (a dict is not one: it keeps the order of insertion)."""
    if isinstance(value, ast.Set | ast.SetComp):
        return True
    if isinstance(value, ast.Call):
        return ast.unparse(value.func) in ("set", "frozenset")
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor):
        return is_set(value.left, named) or is_set(value.right, named)
    return isinstance(value, ast.Name | ast.Attribute) and ast.unparse(value) in named


@pytest.mark.parametrize(
    "source",
    [
        "for x in {1, 2}: pass",
        "y = [x for x in set(z)]",
        "def f(self):\n    self.s: set[int] = set()\n    return list(self.s)",
        "s = frozenset(z)\nt = tuple(s | {1})",
        "print(*{1, 2})",
    ],
)
def test_the_check_for_sets_finds_what_it_should(source: str) -> None:
    """A check that never fires proves nothing: it fires on these."""
    assert unordered_iterations(Path(__file__), ast.parse(source))


def test_the_check_for_sets_leaves_sorted_and_neutral_uses_alone() -> None:
    """Sorting, counting, asking whether any or all, and making another set are no matter of order."""
    source = "s = {1}\nfor x in sorted(s): pass\nany(x > 0 for x in s)\nt = {x for x in s}\nn = len(s)\n"
    assert unordered_iterations(Path(__file__), ast.parse(source)) == []
