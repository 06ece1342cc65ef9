"""Who may import whom: read from the source, so that no import hides behind a condition or a function."""

import ast
import importlib.metadata
import sys
from pathlib import Path

import pytest
from cognito_edge_cdk.bundling.locks import read_lock
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
STANDARD = sys.stdlib_module_names


def modules(folder):
    """Return the Python files of a package."""
    return sorted(path for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)


class WithoutTypes(ast.NodeTransformer):
    """Leaves out what only type checkers read."""

    def visit_If(self, node):
        return None if getattr(node.test, "id", "") == "TYPE_CHECKING" else self.generic_visit(node)


def imports_of(file, *, types=True):
    """Return (top-level name, imported module, relative level) of every import in a file, wherever it stands."""
    found = set()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree if types else WithoutTypes().visit(tree)):
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
    """What is dear at a cold start, or has no place in a verifier."""
    assert [str(file) for file in modules("edge") for top, _, _ in imports_of(file) if top == name] == []


def test_the_edge_imports_itself_relatively():
    """The package works wherever the bundle puts it, and reaches nothing outside of itself."""
    for file in modules("edge"):
        for top, module, level in imports_of(file):
            assert top not in ("cognito_edge", "infra", "local", "backend", "scripts", "tests"), file
            assert level in (0, 1), (file, module)


def test_only_the_shell_waits_for_anything():
    """Network, threads and the environment are asked in four modules, and one more has a lock; every judging module is pure."""
    asking = {"socket", "ssl", "http", "threading", "os", "select", "asyncio", "random", "secrets", "urllib.request"}
    shell = {"aws.py", "fetch.py", "refreshing.py", "handler.py", "token_cache.py"}
    assert [
        f"{file.name} imports {module}"
        for file in modules("edge")
        if file.name not in shell
        for top, module, level in sorted(imports_of(file))
        if level == 0 and (top in asking or module in asking)
    ] == []


def test_no_judging_module_reads_the_clock():
    """`now` is an argument: the time is read once, in the handler; elsewhere only durations are measured."""
    calls = []
    for file in modules("edge"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                called = f"{node.value.id}.{node.attr}"
                if called in ("time.time", "datetime.now", "datetime.utcnow", "datetime.today", "time.time_ns"):
                    calls.append((file.name, called))
    assert calls == [("handler.py", "time.time")]


def test_only_verify_makes_verified_claims():
    """Trust is visible: one place constructs VerifiedClaims, and one place calls it."""
    makers, callers = [], []
    for file in modules("edge"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
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
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
    ] == []


def test_the_local_system_shares_no_code_with_what_it_checks():
    """local/ is an independent witness: it imports neither the edge nor the infrastructure's runtime code."""
    assert modules("local")
    assert [
        f"{file.relative_to(ROOT)} imports {module}"
        for file in modules("local")
        for top, module, level in sorted(imports_of(file))
        if level == 0 and top in ("cognito_edge", "backend", "tests", "scripts")
    ] == []


def test_the_infrastructure_asks_the_edge_for_its_settings_alone():
    """cognito_edge.settings validates settings.json at build time; nothing else of the edge runs there."""
    assert [
        f"{file.relative_to(ROOT)} imports {module}"
        for file in modules("infra")
        for top, module, level in sorted(imports_of(file))
        if level == 0
        and top in ("cognito_edge", "local", "backend", "scripts", "tests")
        and not module.startswith("cognito_edge.settings")
    ] == []


OWN = {
    "cognito_edge_cdk",
    "cognito_edge_local",
    "_environment",
    "cognito_edge_cli",
    "edge",
    "cognito_edge",
    "infra",
    "local",
    "tests",
    "benchmarks",
    "backend",
    "scripts",
}


def own_imports(folder, *allowed):
    """Return 'file imports module' for everything of this project beside *folder* itself and what is allowed."""
    return [
        (file.name, module)
        for file in modules(folder)
        for top, module, level in sorted(imports_of(file))
        if level == 0 and top in OWN - {folder, "_environment", "cognito_edge_cli", *allowed}
    ]


def test_the_backend_stands_alone():
    """What is deployed to the backend imports nothing of the rest of the project."""
    assert modules("backend")
    assert own_imports("backend") == []


def test_only_the_policy_script_and_the_doctor_judge_with_the_edges_own_code():
    """They answer what the gateway would do, and so ask the gateway; every other script stands alone."""
    assert own_imports("scripts", "cognito_edge") == []
    cli = ROOT / "scripts" / "cognito_edge_cli"
    askers = {
        file.relative_to(cli).parts[0]
        for file in modules("scripts")
        for top, _, _ in imports_of(file)
        if top == "cognito_edge"
    }
    assert askers == {"policy", "doctor"}


def required_by_scripts():
    """Return (file, name) of what each script asks for before it starts."""
    return [
        (file, ast.literal_eval(keyword.value))
        for file in modules("scripts")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "start"
        for keyword in node.keywords
    ]


@pytest.mark.parametrize("folder", ["edge", "infra", "backend", "local", "scripts"])
def test_what_runs_imports_nothing_that_only_tests_have(folder):
    """A first `make run` installs run.txt alone; Lambda's runtime client has a place of its own."""
    locked = {entry.name for entry in read_lock(ROOT / "requirements" / "run.txt", markers={})}
    provided = {
        module
        for module, distributions in importlib.metadata.packages_distributions().items()
        if locked & {canonicalize_name(name) for name in distributions}
    }
    elsewhere = {("child.py", "awslambdaric")}
    wanted = [(file, top) for file in modules(folder) for top, _, level in imports_of(file, types=False) if not level]
    wanted += [(file, name) for file, names in required_by_scripts() for name in names]
    known = STANDARD | OWN | provided | {"pip"}  # pip's own copy of a locked package
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
        docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
        assert docstring, file
        assert 15 <= len(docstring.splitlines()[0]) <= 120, file


@pytest.mark.parametrize("folder", ["edge", "infra", "backend", "local", "scripts"])
def test_no_module_shadows_the_standard_library_or_a_dependency(folder):
    """File names such as token.py or http.py break whoever runs a script beside them. Nothing is run beside site.py."""
    taken = {*STANDARD, "jose", "pybase64", "boto3", "botocore", "requests", "hypothesis", "pytest"}
    assert [str(file) for file in modules(folder) if file.stem in taken - {"site"}] == []
