"""The floors: imports run downwards only, shells never import each other, the domain is pure.

Read from the source with `ast`, so an import inside a function counts as well.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("vitals", "models", "transport", "ingest", "stream_processors", "dashboards", "device_sim", "deploy")

WORDS = {
    f"vitals.{name}"
    for name in ("signs", "reading", "faults", "topics", "measurements", "hops", "log", "events", "detector")
}
WARD = {"vitals.ward", "vitals.ward_telling", "vitals.ward_closing", "vitals.ward_asking"}

# Room -> the rooms it may import beside itself (docs/architecture.md). `deploy` is the only one that knows them all.
BELOW: dict[str, set[str]] = {
    "words": set(),
    "rules": {"words"},
    "ward": {"words", "rules"},
    "models": {"words", "rules", "ward"},
    "transport": {"words", "rules", "ward"},
    "ingest": {"words", "rules", "ward", "models", "transport"},
    "stream_processors": {"words", "rules", "ward", "models", "transport"},
    "dashboards": {"words", "rules", "ward", "models", "transport"},
    "device_sim": {"words", "rules", "ward", "models", "transport"},
    "models.training": {"words", "rules", "ward", "models", "transport"},
}
SHELLS = {"ingest", "stream_processors", "dashboards", "device_sim", "models.training"}
BELOW["deploy"] = set(BELOW)

PURE_PARTS = {
    "__future__", "abc", "bisect", "collections", "copy", "dataclasses", "decimal", "enum", "fractions", "functools",
    "hashlib", "heapq", "itertools", "json", "math", "operator", "re", "statistics", "string", "struct", "types",
    "typing", "zlib",
}  # fmt: skip
CODECS = {"numpy", "msgspec", "pyarrow"}

# Outside client -> the only rooms that may name it: each is named once.
NAMED_IN = {
    "torch": {"models.training"},
    "sklearn": {"models.training"},
    "onnx": {"models.training"},
    "onnxruntime": {"models"},
    "paho": {"transport"},
    "aiokafka": {"transport", "deploy"},
    "sqlite3": {"transport", "device_sim"},
    "faust": {"stream_processors"},
    "fastapi": {"dashboards"},
    "starlette": {"dashboards"},
    "uvicorn": {"deploy"},
    "grafana_api": {"dashboards"},
    "grafana_foundation_sdk": {"dashboards"},
    "influxdb_client": {"transport"},
    "iotcore": {"deploy"},
    "confluent_kafka": {"deploy"},
    "typer": {"deploy"},
}
# Programs of others, for comparison: they are no part of the house, and nobody imports them.
COMPARED = {
    f"deploy.bench.peers.{name}"
    for name in ("faust_tutorial", "quix", "bytewax_flow", "tutorial_bridge", "tutorial_alarms")
}


def modules() -> list[str]:
    """Every module of the house by its dotted name."""
    files = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    return [".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in files]


def path_of(module: str) -> Path:
    folder = ROOT.joinpath(*module.split("."))
    return folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(path_of(module).read_text(encoding="utf-8"))


def imports(module: str) -> Iterator[tuple[str, int]]:
    """What a module imports, by dotted name, and where. `from vitals import ward` names `vitals.ward`."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import hides the room it comes from"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = node.module.split(".")[0] in PACKAGES and path_of(inner).exists()
                yield (inner if is_module else node.module), node.lineno


def room_of(module: str) -> str:
    if module in WORDS:
        return "words"
    if module in WARD:
        return "ward"
    if module.startswith("models.training"):
        return "models.training"
    top = module.split(".", maxsplit=1)[0]
    return "rules" if top == "vitals" else top


@pytest.mark.parametrize("module", modules())
def test_imports_run_downwards_only(module: str):
    room = room_of(module)
    wrong = [
        f"line {line}: {room} imports {name} ({room_of(name)})"
        for name, line in imports(module)
        if name.split(".")[0] in PACKAGES and room_of(name) not in BELOW[room] | {room}
    ]
    assert not wrong, f"{module}: {wrong}"


def test_shells_never_import_each_other():
    found = [
        f"{module}:{line} imports {name}"
        for module in modules()
        if room_of(module) in SHELLS
        for name, line in imports(module)
        if name.split(".")[0] in PACKAGES and room_of(name) in SHELLS - {room_of(module)}
    ]
    assert not found


@pytest.mark.parametrize("module", [m for m in modules() if m.split(".")[0] == "vitals"])
def test_the_domain_imports_nothing_but_codecs_and_the_pure_parts_of_the_standard_library(module: str):
    allowed = PURE_PARTS | CODECS | {"vitals"}
    impure = [f"line {line}: {name}" for name, line in imports(module) if name.split(".")[0] not in allowed]
    assert not impure, f"{module}: {impure}"


def test_the_list_of_pure_parts_names_parts_of_the_standard_library():
    assert sys.stdlib_module_names >= PURE_PARTS
    assert not PURE_PARTS & {"time", "os", "logging", "pathlib", "socket", "random", "datetime", "asyncio", "threading"}


@pytest.mark.parametrize("module", [m for m in modules() if m.split(".")[0] == "vitals"])
def test_the_domain_opens_prints_and_draws_nothing(module: str):
    impure = []
    for node in ast.walk(tree_of(module)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in {"open", "print", "input"}
        ):
            impure.append(f"line {node.lineno}: {node.func.id}()")
        if isinstance(node, ast.Attribute) and node.attr == "random" and isinstance(node.value, ast.Name):
            impure.append(f"line {node.lineno}: {node.value.id}.random")
    assert not impure, f"{module}: {impure}"


@pytest.mark.parametrize("module", [m for m in modules() if m.split(".")[0] == "vitals"])
def test_the_domain_awaits_nothing(module: str):
    waits = [node.lineno for node in ast.walk(tree_of(module)) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]
    assert not waits, f"{module}: {waits}"


def test_each_client_of_the_outside_world_is_named_in_its_room_only():
    wrong = [
        f"{module}:{line} imports {name}"
        for module in modules()
        for name, line in imports(module)
        if module not in COMPARED and room_of(module) not in NAMED_IN.get(name.split(".")[0], {room_of(module)})
    ]
    assert not wrong
    assert not [f"{module}:{line}" for module in modules() for name, line in imports(module) if name in COMPARED]


def test_every_room_of_the_house_has_a_floor():
    assert {room_of(module) for module in modules()} <= set(BELOW)
    known = set(modules())
    assert known >= WORDS | WARD, "a module of the words or of the ward was renamed: rename it here too"


# -- docstrings: a contract on everything public ---------------------------------------------------------------------


def public_definitions(module: str) -> Iterator[tuple[str, ast.AST]]:
    """Public classes, functions and methods; what stands inside a function is private."""

    def inside(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.AST]]:
        for node in body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or node.name[0] == "_":
                continue
            yield f"{prefix}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from inside(node.body, f"{prefix}{node.name}.")

    yield from inside(tree_of(module).body, "")


def is_told_elsewhere(node: ast.AST) -> bool:
    """An override or an overload is told where it comes from; a setter by its property."""
    names = {ast.unparse(d).split("(")[0] for d in getattr(node, "decorator_list", [])}
    return any(name.endswith(("override", "overload", ".setter")) for name in names)


@pytest.mark.parametrize("module", modules())
def test_what_is_public_says_what_it_does(module: str):
    assert ast.get_docstring(tree_of(module)), f"{module} does not say what it is"
    silent = []
    for name, node in public_definitions(module):
        if ast.get_docstring(node) or is_told_elsewhere(node):
            continue
        # Beneath a private or documented class a one-line name can be enough; in the domain nothing goes untold.
        if room_of(module) in {"words", "rules", "ward"} or "." not in name:
            silent.append(f"line {node.lineno}: {name}")
    assert not silent, f"{module}: {silent}"
