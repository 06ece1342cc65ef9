"""docs/contracts.md, docs/settings.md and the README's layout say what the code says."""

import ast
import re
import subprocess
import sys

import pytest
from cognito_edge import claims, discovery, identity, jwks, parameters, readings, target
from cognito_edge.cloudfront import is_dropped
from cognito_edge.settings import Settings, SettingsError, parse_settings
from cognito_edge_cli.main import cli

from tests.docs.test_docs import PROJECT, contract, fences, read, strings

CONTRACTS = read("docs/contracts.md")
SETTINGS = read("docs/settings.md")


def section(text: str, heading: str) -> str:
    """Return what stands below a heading, up to the next one of its level."""
    level = heading.partition(" ")[0]
    found = re.search(rf"^{re.escape(heading)}(?!\w).*?(?=^{level} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, heading
    return found[0]


def rows(text: str) -> list[list[str]]:
    """Return the cells of a table's rows, without its head."""
    found = re.findall(r"^\|(.*)\|$", text, re.MULTILINE)
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)] for row in found]
    return [row for row in cells[1:] if not row[0].startswith("---")]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def first_column(text: str) -> set[str]:
    return {name for row in rows(text) for name in names(row[0])}


# --- contracts ------------------------------------------------------------------------------------------------------


def test_the_contracts_are_ten():
    """C1 to C10, in order; code and tests name them so."""
    assert re.findall(r"^## C(\d+) ", CONTRACTS, re.MULTILINE) == [str(number) for number in range(1, 11)]


def test_c2_names_every_output_of_the_local_system():
    """The keys of ``outputs.json``, as the launcher writes them."""
    literals = [
        {key.value for key in node.keys if isinstance(key, ast.Constant)}
        for path in (PROJECT / "local" / "cognito_edge_local").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Dict)
    ]
    (written,) = [keys for keys in literals if {"gateway_url", "aws_endpoint_url"} <= keys]
    assert first_column(section(CONTRACTS, "## C2")) == written


def test_c3_has_every_option_of_the_bundle_builder():
    """As its own ``--help`` lists them."""
    done = subprocess.run(
        [sys.executable, "-m", "infra.bundle", "--help"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    listed = {re.match(r"--[\w-]+", name)[0] for name in first_column(section(CONTRACTS, "## C3"))}
    assert listed == set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", done.stdout, re.MULTILINE)) - {"--help"}


def test_c5_names_the_three_parameters():
    """The same in docs/settings.md."""
    expected = {f"/{name}" for name in parameters.NAMES}
    assert {name.removeprefix("P") for name in first_column(section(CONTRACTS, "## C5"))} == expected
    table = first_column(section(SETTINGS, "## SSM parameters"))
    assert {name.removeprefix("<prefix>") for name in table} == expected


def test_c6_has_every_code_with_its_status():
    """And no other."""
    table = rows(section(CONTRACTS, "## C6"))
    assert {code: int(row[0]) for row in table for code in names(row[1])} == contract()
    assert len(table) == len(set(contract().values()))


def test_c7_has_every_identity_header():
    """As the gateway states them of a token that has everything."""
    everything = claims.VerifiedClaims(
        pool_id="us-east-1_AbCdEfGhI",
        issuer="https://cognito-idp.us-east-1.amazonaws.com/us-east-1_AbCdEfGhI",
        sub="s",
        username="u",
        email="e@example.com",
        token_use="access",
        client_id="c",
        exp=2,
        not_before=1,
        issued_at=1,
        auth_time=1,
        origin_jti="o",
        jti="j",
        groups=("g",),
        scopes=("s",),
        payload="e30",
    )
    stated = {name for name, _ in identity.identity_of(everything).headers}
    assert first_column(section(CONTRACTS, "## C7")) == stated


def test_what_the_documents_say_to_be_dropped_is_dropped():
    """Each name in docs/headers.md, and the two that stay of a family that goes."""
    listed = [name for row in rows(read("docs/headers.md")) for name in names(row[0].partition(" (")[0])]
    dropped = [name.replace("*", "x") for name in listed if re.fullmatch(r"[A-Za-z][\w.*-]+", name) and name != "a-z"]
    assert [name for name in dropped if not is_dropped(name)] == []
    assert len(dropped) > 30
    assert not is_dropped("x-forwarded-for")
    assert not is_dropped("x-forwarded-proto")


def test_c10_names_every_command_and_its_launcher():
    """The group's own list; a launcher starts the command beside which it stands."""
    table = rows(section(CONTRACTS, "## C10"))
    commands = [names(row[0])[0] for row in table]
    assert commands == cli.list_commands(None)
    assert f"`cognito-edge {'|'.join(commands)}`" in CONTRACTS
    launchers = {
        f"scripts/{path.name}": started[1]
        for path in (PROJECT / "scripts").glob("[a-z]*.py")
        if (started := re.search(r'start\("([\w.]+)"', path.read_text(encoding="utf-8")))
    }
    listed = dict(zip((names(row[1])[0] for row in table), commands, strict=True))
    assert {name: command for name, command in listed.items() if name != "python -m local"} == launchers


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("left out above 4,096 bytes", identity.MAX_CLAIMS_BYTES),
        ("may have 8,191 characters together", target.MAX_TARGET_CHARACTERS),
        ("more than 65,536 characters together", readings.MAX_READING_CHARACTERS),
        ("(5 levels)", readings.MAX_NESTED_ESCAPES),
        ("up to 300 s ahead", claims.MAX_CLOCK_LEAD_S),
        ("of 2,048 to", jwks.MIN_MODULUS_BITS),
        ("to 8,192 bits", jwks.MAX_MODULUS_BITS),
    ],
)
def test_numbers_are_the_codes_own(said, number):
    """A bound that moves takes its sentence with it."""
    assert said in " ".join(CONTRACTS.split())
    assert f"{number:,}" in said


def test_c9_names_the_path():
    """RFC 9728's."""
    assert f"`GET {discovery.WELL_KNOWN}`" in section(CONTRACTS, "## C9")


# --- settings -------------------------------------------------------------------------------------------------------

REQUIRED = {"parameter_prefix": "/gateway", "parameter_region": "eu-west-1"}
SETTING_ROWS = {names(row[0])[0]: row for row in rows(section(SETTINGS, "## `settings.json`"))}


def test_every_setting_is_listed_with_its_default():
    """In the order of the code, and no other."""
    assert list(SETTING_ROWS) == list(Settings._fields)
    for name, row in SETTING_ROWS.items():
        default = Settings._field_defaults.get(name, "required")
        written = row[2].strip("`").replace(",", "")
        assert written == {None: "null", False: "false"}.get(default, str(default)), name


@pytest.mark.parametrize(
    "name", [name for name, row in SETTING_ROWS.items() if re.fullmatch(r"[\d.,]+ to [\d.,]+", row[3])]
)
def test_bounds_are_taken_and_what_lies_beyond_is_refused(name):
    """Both bounds belong to the range."""
    low, high = (float(bound.replace(",", "")) for bound in SETTING_ROWS[name][3].split(" to "))
    number = int if isinstance(Settings._field_defaults[name], int) and low == int(low) else float
    for value in (low, high):
        parse_settings({**REQUIRED, name: number(value)})
    for value in (low - 0.01 if number is float else low - 1, high + 1):
        with pytest.raises(SettingsError):
            parse_settings({**REQUIRED, name: number(value)})


def test_every_number_has_bounds():
    """Or the test above would leave one out."""
    numbers = {name for name, default in Settings._field_defaults.items() if type(default) in (int, float)}
    assert {name for name, row in SETTING_ROWS.items() if " to " in row[3]} == numbers


def test_every_context_key_is_listed():
    """The example's own, and no other."""
    assert first_column(section(SETTINGS, "## CDK context")) == strings("infra/example/stack.py", "CONTEXT")


def class_of(path: str, name: str) -> ast.ClassDef:
    (found,) = [node for node in ast.parse(read(path)).body if isinstance(node, ast.ClassDef) and node.name == name]
    return found


def keyword_arguments(path: str, name: str) -> dict[str, ast.expr | None]:
    """Return a class's keyword arguments with their defaults, without importing CDK."""
    (function,) = [
        node for node in class_of(path, name).body if isinstance(node, ast.FunctionDef) and node.name == "__init__"
    ]
    return dict(zip((argument.arg for argument in function.args.kwonlyargs), function.args.kw_defaults, strict=True))


def test_every_argument_of_the_construct_is_listed():
    """In their order; those that have to be given say so."""
    folder = "infra/cognito_edge_cdk"
    gateway = keyword_arguments(f"{folder}/gateway.py", "EdgeGateway")
    construct = section(SETTINGS, "## The construct")
    table, parts = construct.split("`Cors` and `Site`")
    assert [names(row[0])[0] for row in rows(table)] == list(gateway)
    assert [names(row[0])[0] for row in rows(table) if row[1] == "required"] == [
        name for name, default in gateway.items() if default is None
    ]
    cors = [node.target.id for node in class_of(f"{folder}/cors.py", "Cors").body if isinstance(node, ast.AnnAssign)]
    site = list(keyword_arguments(f"{folder}/site.py", "Site"))
    assert [names(row[0])[0] for row in rows(parts)] == [f"Cors.{name}" for name in cors] + [f"Site.{n}" for n in site]


# Lambda's, the SDK's and pytest's own, and what one process of ours tells another.
NOT_SET_BY_PEOPLE = re.compile(
    r"AWS_(?:ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|REGION|LAMBDA_\w+)|GATEWAY_P\w+|CDK_OUTDIR|JSII_NODE|PATH|PYTHON\w+|PYTEST_XDIST_WORKER|CI"
)


def test_every_environment_variable_is_listed():
    """What the code reads, and no other."""
    reading = r'(?:environ(?:\.get|\.pop)?[(\[]\s*|(?=.* in os\.environ\b))"([A-Z_]+)"'
    read_by_code = {
        name
        for folder in ("edge", "infra", "backend", "local", "scripts", "tests")
        for path in (PROJECT / folder).rglob("*.py")
        for name in re.findall(reading, path.read_text(encoding="utf-8"))
        if not NOT_SET_BY_PEOPLE.fullmatch(name)
    }
    listed = first_column(section(SETTINGS, "## Environment variables"))
    # The edge makes these two names from the service's.
    assert listed - {"AWS_ENDPOINT_URL_SSM", "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER"} == read_by_code


# --- the README's layout --------------------------------------------------------------------------------------------


def layout() -> dict[str, list[str]]:
    """Return the files that the README's tree names, by folder."""
    text = read("README.md")
    (tree,) = [body for kind, body in fences(section(text, "## Layout")) if not kind]
    found: dict[str, list[str]] = {}
    for line in tree.splitlines():
        words = re.split(r" {2,}", line.strip())[0].split()
        if not line.startswith(" "):
            folders = words
            found |= {folder: [] for folder in folders}
        else:
            found[folders[0]] += words
    return found


def test_the_layout_names_what_exists():
    """Folders, and files in them."""
    assert [
        f"{folder}{name}"
        for folder, files in layout().items()
        for name in ["", *files]
        if not (PROJECT / folder / name).exists()
    ] == []


@pytest.mark.parametrize(
    "folder",
    ["edge/cognito_edge/", "infra/cognito_edge_cdk/", "scripts/cognito_edge_cli/", "local/cognito_edge_local/"],
)
def test_the_layout_has_every_file_at_the_root_of(folder):
    """A stranger finds each by what stands beside it."""
    files = {path.name for path in (PROJECT / folder).iterdir() if path.is_file()}
    named = {name for name in layout()[folder] if "/" not in name}
    assert named == files - {"__init__.py", "py.typed", "settings.json"}


def test_the_layout_has_every_folder_of_the_packages():
    """So that no room is found by chance alone."""
    named = layout()
    for folder in ("infra/cognito_edge_cdk/", "scripts/cognito_edge_cli/", "local/cognito_edge_local/"):
        rooms = {path.parent.name for path in (PROJECT / folder).glob("*/__init__.py")}
        assert rooms <= {name.partition("/")[0] for name in named[folder]}, folder
