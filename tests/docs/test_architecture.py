"""Who may import whom: read from the source, so that no import hides behind a condition or a function."""

import ast
import copy
import importlib.metadata
import sys
from functools import cache
from pathlib import Path

import pytest
from cognito_edge_cdk.bundling.locks import read_lock
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
STANDARD = sys.stdlib_module_names


def modules(folder):
    """Return the Python files of a package."""
    return sorted(path for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)


@cache
def tree_of(file):
    return ast.parse(file.read_text(encoding="utf-8"))


class WithoutTypes(ast.NodeTransformer):
    """Leaves out what only type checkers read."""

    def visit_If(self, node):
        return None if getattr(node.test, "id", "") == "TYPE_CHECKING" else self.generic_visit(node)


@cache
def imports_of(file, *, types=True):
    """Return (top-level name, imported module, relative level) of every import in a file, wherever it stands."""
    found = set()
    tree = tree_of(file)
    for node in ast.walk(tree if types else WithoutTypes().visit(copy.deepcopy(tree))):
        if isinstance(node, ast.Import):
            found |= {(alias.name.partition(".")[0], alias.name, 0) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            found |= {
                (module.partition(".")[0], f"{module}.{alias.name}".strip("."), node.level) for alias in node.names
            }
    return found


def foreign(folder, *allowed):
    """Return 'file imports module' for everything that is neither the standard library nor allowed."""
    return [
        f"{file.relative_to(ROOT)} imports {module}"
        for file in modules(folder)
        for top, module, level in sorted(imports_of(file))
        if level == 0 and top not in STANDARD and top not in allowed
    ]


def test_the_edge_imports_nothing_but_its_three_libraries():
    """Standard library, cryptography, httptools and pybase64: no SDK, which would cost 50 to 125 ms of every cold start."""
    assert modules("edge")
    assert foreign("edge", "cryptography", "httptools", "pybase64") == []


@pytest.mark.parametrize(
    "name",
    [
        *("boto3", "botocore", "requests", "urllib3", "asyncio", "logging", "subprocess", "pickle"),
        *("dataclasses", "email", "http", "random", "urllib"),
    ],
)
def test_the_edge_never_imports(name):
    """They are slow to import at a cold start, or have no place in a verifier."""
    assert [str(file) for file in modules("edge") for top, _, _ in imports_of(file) if top == name] == []


def test_the_edge_imports_itself_relatively():
    """The package works wherever the bundle puts it, and reaches nothing outside of itself."""
    for file in modules("edge"):
        for top, module, level in imports_of(file):
            assert top not in PACKAGES, file
            assert level in (0, 1), (file, module)


def test_only_the_shell_waits_for_anything():
    """Three modules use the network, threads and the environment, and one more has a lock; all others are pure."""
    asking = {"socket", "ssl", "http", "threading", "os", "select", "asyncio", "random", "secrets", "urllib.request"}
    shell = {"credentials.py", "fetch.py", "refreshed_value.py", "token_cache.py"}
    assert [
        f"{file.name} imports {module}"
        for file in modules("edge")
        if file.name not in shell
        for top, module, level in sorted(imports_of(file))
        if level == 0 and (top in asking or module in asking)
    ] == []


def test_no_judging_module_reads_the_clock():
    """``now`` is an argument: the handler reads the time once; other modules only measure durations."""
    calls = []
    for file in modules("edge"):
        for node in ast.walk(tree_of(file)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                called = f"{node.value.id}.{node.attr}"
                if called in ("time.time", "datetime.now", "datetime.utcnow", "datetime.today", "time.time_ns"):
                    calls.append((file.name, called))
    assert calls == [("handler.py", "time.time")]


def test_only_verify_makes_verified_claims():
    """Trust is visible: one place constructs VerifiedClaims, and one place calls it."""
    makers, callers = [], []
    for file in modules("edge"):
        for node in ast.walk(tree_of(file)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                makers += [file.name] * (node.func.id == "VerifiedClaims")
                callers += [file.name] * (node.func.id == "check_claims")
    assert (makers, callers) == (["claims.py"], ["verify.py"])


def test_the_edge_executes_no_text():
    """No eval, exec, compile or dynamic import: nothing that a token or a policy says is ever run."""
    names = {"eval", "exec", "compile", "__import__", "breakpoint", "input", "print"}
    assert [
        (file.name, node.func.id)
        for file in modules("edge")
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
    ] == []


PACKAGES = {
    **{name: name for name in ("backend", "benchmarks", "infra")},
    "cognito_edge": "edge/cognito_edge",
    "cognito_edge_cdk": "infra/cognito_edge_cdk",
    "cognito_edge_cli": "scripts/cognito_edge_cli",
    "cognito_edge_local": "local/cognito_edge_local",
}
"""Our packages, and where they lie."""

MAY_IMPORT = {
    "backend": "",
    "backend.books": "backend",
    "cognito_edge": "",
    "cognito_edge_cdk": "cognito_edge_cdk.bundling",
    "cognito_edge_cdk.bundling": "cognito_edge.settings",
    "cognito_edge_cli": "cognito_edge_cli.*",
    "cognito_edge_cli.sign_in": "cognito_edge_cli",
    "cognito_edge_cli.policy": "cognito_edge_cli cognito_edge",
    "cognito_edge_cli.logs": "cognito_edge_cli cognito_edge",
    "cognito_edge_cli.doctor": "cognito_edge_cli cognito_edge_cli.doctor.checks cognito_edge_cli.sign_in cognito_edge",
    "cognito_edge_cli.doctor.checks": "cognito_edge_cli cognito_edge_cli.doctor cognito_edge_cli.logs cognito_edge_cli.policy cognito_edge",
    "cognito_edge_local": "cognito_edge_local.*",
    "cognito_edge_local.launcher": "cognito_edge_local.peer",
    "cognito_edge_local.origins": "cognito_edge_local.web",
    "cognito_edge_local.lambda_runtime": "cognito_edge_local.launcher cognito_edge_local.origins",
    "cognito_edge_local.cloudfront": "cognito_edge_local.launcher cognito_edge_local.origins"
    " cognito_edge_local.lambda_runtime cognito_edge_local.hosts",
    "cognito_edge_local.emulator": "cognito_edge_local.launcher cognito_edge_local.cloudfront.behaviors"
    " cognito_edge_local.hosts cognito_edge_local.web",
    "cognito_edge_local.trace": "cognito_edge_local.launcher cognito_edge_local.origins cognito_edge_local.cloudfront"
    " cognito_edge_local.web",
    "infra": "cognito_edge_cdk.bundling infra.example",
    "infra.example": "cognito_edge_cdk cognito_edge_cdk.bundling infra.deploy.node",
    "infra.deploy": "cognito_edge_cdk.bundling",
    "benchmarks": "cognito_edge cognito_edge_local.lambda_runtime infra.deploy.npm",
}
"""By folder: which other folders, or single modules of them, it imports. ``*`` stands for all folders below.

``cognito_edge_local`` imports nothing of ``cognito_edge``: it is an independent witness of what the gateway signs.
"""

MAX_MODULES = 20
"""A folder with more is hard to find one's way in. ``cognito_edge`` is flat: a request walks down it."""


@cache
def all_modules():
    """Return the file of each module of ours, by the name under which it is imported."""
    found = {}
    for package, folder in PACKAGES.items():
        for file in modules(folder):
            parts = (package, *file.relative_to(ROOT / folder).with_suffix("").parts)
            if parts[:2] != ("infra", "cognito_edge_cdk"):
                found[".".join(parts).removesuffix(".__init__")] = file
    return found


def folder_of(name, file):
    return name if file.name == "__init__.py" else name.rpartition(".")[0]


@cache
def import_graph(*, types=True):
    """Return which of our modules each of our modules imports."""
    known = all_modules()
    graph = {}
    for name, file in known.items():
        graph[name] = set()
        for _, module, level in imports_of(file, types=types):
            base = folder_of(name, file).split(".")
            full = ".".join([*base[: len(base) - level + 1], module]) if level else module
            # "from package.module import name": the longest beginning that is a module of ours.
            parts = full.split(".")
            candidates = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
            graph[name] |= {next((each for each in candidates if each in known), name)} - {name}
    return graph


def test_every_folder_imports_only_what_it_may():
    """The rooms of the house, and the doors between them. A type that a module names counts as well."""
    known, graph = all_modules(), import_graph()
    found = set()
    for name, imported in graph.items():
        room = folder_of(name, known[name])
        for other in imported:
            theirs = folder_of(other, known[other])
            allowed = MAY_IMPORT[room].split()
            below = any(each.endswith(".*") and f"{theirs}.".startswith(each[:-1]) for each in allowed)
            if theirs != room and theirs not in allowed and other not in allowed and not below:
                found.add(f"{name} imports {other}")
    assert found == set()
    assert set(MAY_IMPORT) == {folder_of(name, file) for name, file in known.items()}


def test_no_door_is_left_that_nothing_goes_through():
    """What the table above allows is used."""
    known, graph = all_modules(), import_graph()
    for room, allowed in MAY_IMPORT.items():
        imported = {each for name in graph if folder_of(name, known[name]) == room for each in graph[name]}
        used = imported | {folder_of(each, known[each]) for each in imported}
        assert [each for each in allowed.split() if not each.endswith(".*") and each not in used] == [], room


def test_imports_run_in_no_circle():
    """Each module can be read with only what it imports, types aside."""
    remaining = {name: set(imported) for name, imported in import_graph(types=False).items()}
    while leaves := [name for name, imported in remaining.items() if not imported & remaining.keys()]:
        for name in leaves:
            del remaining[name]
    assert sorted(remaining) == []


def test_no_folder_holds_more_modules_than_a_reader_can_overlook():
    """But ``cognito_edge``, and the tests."""
    counts = {}
    for name, file in all_modules().items():
        folder = folder_of(name, file)
        counts[folder] = counts.get(folder, 0) + (file.name != "__init__.py")
    assert {folder: count for folder, count in counts.items() if count > MAX_MODULES and folder != "cognito_edge"} == {}


def required_by_scripts():
    """Return (file, name) of what each script asks for before it starts."""
    return [
        (file, ast.literal_eval(keyword.value))
        for file in modules("scripts")
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "start"
        for keyword in node.keywords
    ]


@cache
def provided_by_the_lock():
    """Return the modules that a first ``make run`` installs."""
    locked = {entry.name for entry in read_lock(ROOT / "requirements" / "run.txt", markers={})}
    return {
        module
        for module, distributions in importlib.metadata.packages_distributions().items()
        if locked & {canonicalize_name(name) for name in distributions}
    }


@pytest.mark.parametrize("folder", ["edge", "infra", "backend", "local", "scripts"])
def test_what_runs_imports_nothing_that_only_tests_have(folder):
    """A first ``make run`` installs run.txt alone; Lambda's runtime client has a place of its own."""
    elsewhere = {("child.py", "awslambdaric")}
    wanted = [(file, top) for file in modules(folder) for top, _, level in imports_of(file, types=False) if not level]
    wanted += [(file, name) for file, names in required_by_scripts() for name in names]
    known = (
        STANDARD | {*PACKAGES, "_environment"} | provided_by_the_lock() | {"pip"}
    )  # pip's own copy of a locked package
    assert [(file.name, top) for file, top in wanted if top not in known and (file.name, top) not in elsewhere] == []


def test_the_backends_identity_reader_needs_the_standard_library_alone():
    """It is made to be copied into any function."""
    assert [
        module for top, module, level in imports_of(ROOT / "backend" / "identity.py") if level or top not in STANDARD
    ] == []


@pytest.mark.parametrize("folder", ["edge", "infra", "backend", "local", "scripts"])
def test_every_module_says_in_its_first_line_what_it_is(folder):
    """A reader who believes the first docstring line can skip the module."""
    for file in modules(folder):
        docstring = ast.get_docstring(tree_of(file))
        assert docstring, file
        assert 15 <= len(docstring.splitlines()[0]) <= 120, file


@pytest.mark.parametrize("folder", ["edge", "infra", "backend", "local", "scripts"])
def test_no_module_shadows_the_standard_library_or_a_dependency(folder):
    """File names such as token.py or http.py break scripts beside them. Nothing is run beside site.py."""
    taken = {*STANDARD, "jose", "pybase64", "boto3", "botocore", "requests", "hypothesis", "pytest"}
    assert [str(file) for file in modules(folder) if file.stem in taken - {"site"}] == []
