"""No comment, docstring, message or document refers to a file, a test, a decision or a contract that does not exist."""

import ast
import io
import os
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.docs.test_docs import slugs

PROJECT = Path(__file__).parents[2]

SUFFIXES = (
    ".py",
    ".md",
    ".toml",
    ".ts",
    ".tsx",
    ".js",
    ".mjs",
    ".cjs",
    ".yaml",
    ".yml",
    ".svg",
    ".html",
    ".css",
    ".in",
)
WITHOUT_SUFFIX = ("Makefile", "run", ".gitignore", ".editorconfig")
NOT_OURS = {"node_modules", "dist", "cdk.out", "__pycache__"}
DOTTED_FOLDERS = {".ci", ".github"}

ROOTS = ("edge", "infra", "backend", "local", "scripts", "tests", "docs", "benchmarks", "web", "requirements")
# A package's name stands for its folder.
PACKAGES = {
    "cognito_edge": "edge",
    "cognito_edge_cdk": "infra",
    "cognito_edge_cli": "scripts",
    "cognito_edge_local": "local",
}
# Made while something runs, in the wheel alone, or another project's.
ELSEWHERE = {
    *("cognito_edge_cdk/edge.zip", "cognito_edge_cli/doctor/refusals.md"),
    *("cognito_edge_local/locks/emulator.txt", "cognito_edge_local/locks/runtime.txt"),
    *("web/dist", "benchmarks/node/node_modules", "benchmarks/results/reference-3.x.json"),
    *("probe.py", "token.py", "http.py"),
}

_BEFORE = r"(?<![\w./@<$-])"
_BELOW = rf"{_BEFORE}((?:{'|'.join([*ROOTS, *PACKAGES])})"
FILE = re.compile(rf"{_BELOW}/[\w./-]+\.(?:py|md|json|svg|txt|in|pem|tsx?|mjs|css|html|zip)\b)(?:::(\w+)|#([\w-]+))?")
FOLDER = re.compile(rf"{_BELOW}/[\w-]+(?:/[\w-]+)*)(?![\w.*{{<$-]|/[\w.*{{<$])")
NAME = re.compile(rf"{_BEFORE}(\w[\w-]*\.(?:py|md))\b")
MODULE = re.compile(r"\bpython3? -m ((?:infra|local|benchmarks)(?:\.\w+)*)")
DECISION = re.compile(r"\bADRs? (\d+)\b")
CONTRACT = re.compile(r"\bcontract (C\d+)\b|\((C\d+)\)", re.IGNORECASE)
# Documents that only their writers have.
UNSEEN = re.compile(r"\b(?:the|per) design\b(?! of)|\bdesign,? (?:section|§)|\bfindings/", re.IGNORECASE)


def text_files() -> Iterator[str]:
    """Every text file of the project; environments, caches and what is built are not."""
    for folder, folders, files in os.walk(PROJECT):
        folders[:] = [n for n in folders if n not in NOT_OURS and (not n.startswith(".") or n in DOTTED_FOLDERS)]
        for name in files:
            if name.endswith(SUFFIXES) or name in WITHOUT_SUFFIX:
                yield os.path.relpath(Path(folder) / name, PROJECT)


FILES = sorted(text_files())
NAMES = {name for _, _, files in os.walk(PROJECT / "edge") for name in files} | {Path(file).name for file in FILES}
CONTRACTS = set(
    re.findall(r"^## (C\d+) ", (PROJECT / "docs" / "contracts.md").read_text(encoding="utf-8"), re.MULTILINE)
)


def said(file: str) -> Iterator[tuple[int, str]]:
    """Yield a file's lines with their numbers; of a test only comments and docstrings, since other strings are its data."""
    text = (PROJECT / file).read_text(encoding="utf-8")
    if not (file.startswith("tests/") and file.endswith(".py")):
        yield from enumerate(text.splitlines(), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            yield from enumerate(ast.get_docstring(node, clean=False).splitlines(), node.body[0].lineno)


def place_of(path: str) -> Path:
    return PROJECT / PACKAGES.get(path.partition("/")[0], "") / path


@cache
def functions(file: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(file.read_bytes())) if isinstance(node, ast.FunctionDef)}


@cache
def headings(file: Path) -> set[str]:
    return slugs(file.read_text(encoding="utf-8"))


def faults_of(line: str) -> Iterator[str]:
    """Yield what a line refers to and does not exist. A name in capitals (``NAME.py``) stands for any."""
    for path, test, anchor in FILE.findall(line):
        place = place_of(path)
        if not place.exists():
            yield path
        elif test and test not in functions(place):
            yield f"{path}::{test}"
        elif anchor and anchor not in headings(place):
            yield f"{path}#{anchor}"
    yield from (path for path in FOLDER.findall(line) if not place_of(path).exists())
    yield from (name for name in NAME.findall(line) if name not in NAMES)
    for module in MODULE.findall(line):
        place = PROJECT / module.replace(".", "/")
        if not (place.with_suffix(".py").exists() or (place / "__main__.py").exists()):
            yield module
    for number in DECISION.findall(line):
        if not list((PROJECT / "docs" / "adr").glob(f"{int(number):04}-*.md")):
            yield f"ADR {number}"
    yield from (name for pair in CONTRACT.findall(line) if (name := "".join(pair)) not in CONTRACTS)
    yield from UNSEEN.findall(line)


def is_elsewhere(reference: str) -> bool:
    return reference in ELSEWHERE or Path(reference).stem.isupper()


def test_whatever_is_referred_to_exists():
    """A reader who follows a reference finds what it promises."""
    assert [
        f"{file}:{number}: {fault}"
        for file in FILES
        for number, line in said(file)
        for fault in faults_of(line)
        if not is_elsewhere(fault)
    ] == []


@pytest.mark.parametrize(
    ("line", "faults"),
    [
        ("see docs/policy.md", []),
        ("see docs/polisy.md", ["docs/polisy.md"]),
        ("see ``docs/policy.md#matching``", []),
        ("see docs/policy.md#matchin", ["docs/policy.md#matchin"]),
        ("tests/docs/test_docs.py::test_there_are_documents_to_look_at", []),
        ("tests/docs/test_docs.py::test_gone", ["tests/docs/test_docs.py::test_gone"]),
        ("tests/docs, tests/unit", ["tests/unit"]),
        ("cognito_edge/settings.py, `settings.py`", []),
        ("cognito_edge/sittings.py, `sittings.py`", ["cognito_edge/sittings.py", "sittings.py"]),
        ("python -m benchmarks --quick; python3 -m infra.bundle", []),
        ("python -m infra.bindle", ["infra.bindle"]),
        ("the reasons are in ADR 6", []),
        ("the reasons are in ADR 600", ["ADR 600"]),
        ("contract C10, (C6)", []),
        ("contract C11, (C12)", ["C11", "C12"]),
        ("as the design says (design, section 5)", ["the design", "design, section"]),
        ("the design of the page", []),
    ],
)
def test_what_does_not_exist_is_found(line, faults):
    """The test above rests on it."""
    assert list(faults_of(line)) == faults


def test_there_are_files_to_look_at():
    """A walk that finds nothing would let the first test pass."""
    some = {"README.md", "Makefile", ".ci/run", "edge/cognito_edge/gateway.py", "web/src/api.ts", "docs/request.svg"}
    assert some <= set(FILES)
    assert len(FILES) > 300
    assert len(CONTRACTS) == 10
