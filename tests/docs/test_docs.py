"""The documents: links and anchors lead somewhere, commands parse, and what they name exists. No network."""

import argparse
import ast
import importlib
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import click
import pytest
from cognito_edge.errors import GatewayError
from cognito_edge.log import failed_refresh
from cognito_edge.settings import Settings
from cognito_edge_cli import main as cli

from benchmarks import docs_table
from tests.support.gateways import make_offline_system
from tests.support.keys_and_tokens import Pool
from tests.support.running_system import PROJECT

NOT_OURS = {"node_modules", "dist", "cdk.out", "__pycache__"}


def documents() -> Iterator[str]:
    """Every Markdown file of ours; environments and caches, whose names begin with a dot, are not."""
    for folder, folders, files in os.walk(PROJECT):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in NOT_OURS]
        yield from (os.path.relpath(Path(folder) / name, PROJECT) for name in files if name.endswith(".md"))


DOCUMENTS = sorted(documents())
PICTURES = sorted(path.relative_to(PROJECT).as_posix() for path in (PROJECT / "docs").glob("*.svg"))
# Plain programs, and modules with a command line of their own.
PROGRAM = re.compile(r"(?:\S*/)?python3?")
LOCAL_ADDRESS = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\])(:|/|$)")
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|home|Users|root|opt|mnt|var/folders)/")


def read(document: str) -> str:
    return (PROJECT / document).read_text(encoding="utf-8")


def fences(text: str) -> list[tuple[str, str]]:
    """Language and content of each fenced block; blocks in lists are indented."""
    return [
        (kind, body) for _, kind, body in re.findall(r"^([ ]*)```(\w*)\n(.*?)^\1```", text, re.MULTILINE | re.DOTALL)
    ]


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return re.sub(r"^([ ]*)```\w*\n.*?^\1```", "", text, flags=re.MULTILINE | re.DOTALL)


def code_spans(text: str) -> list[str]:
    """Inline code; in tables a pipe is escaped."""
    return [span.replace("\\|", "|").replace("\n", " ") for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose(text))]


def links(text: str) -> list[str]:
    """The targets of links and pictures."""
    plain = re.sub(r"(?<!`)`[^`]+`(?!`)", lambda code: "`" * len(code[0]), prose(text))
    return [*re.findall(r"\]\(([^)\s]+)\)", plain), *re.findall(r"<(https?://[^>]+)>", plain)]


def slugs(text: str) -> set[str]:
    """The anchors that GitHub makes of the headings: lower case, no punctuation, hyphens for spaces, numbers for repeats."""
    found: dict[str, int] = {}
    result = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", prose(text), re.MULTILINE):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        count = found.get(slug, 0)
        found[slug] = count + 1
        result.add(f"{slug}-{count}" if count else slug)
    return result


# --- links ----------------------------------------------------------------------------------------------------------


def test_there_are_documents_to_look_at():
    """A pattern that finds nothing would let every other test here pass."""
    assert {"README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/operations.md", "docs/compare.md"} <= set(DOCUMENTS)
    assert len(DOCUMENTS) > 20


def fault_of(link: str, document: str) -> str | None:
    """What is wrong with a link: it has to lead to a file and a heading that exist, or be a well-formed https address."""
    if ":" in link.partition("#")[0]:
        address = urllib.parse.urlsplit(link)
        good = address.scheme == "https" and re.fullmatch(r"[a-z0-9.-]+\.[a-z]{2,}", address.netloc)
        return None if good or LOCAL_ADDRESS.match(link) else "expected https://host/…, or this machine"
    target, _, anchor = link.partition("#")
    path = ((PROJECT / document).parent / target).resolve() if target else PROJECT / document
    if not (path.is_relative_to(PROJECT) and path.exists()):
        return "no such file"
    if anchor and anchor not in slugs(path.read_text(encoding="utf-8")):
        return "no such heading"
    return None


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document):
    """Without asking the network."""
    assert [f"{link}: {fault}" for link in links(read(document)) if (fault := fault_of(link, document))] == []


@pytest.mark.parametrize(
    ("link", "fault"),
    [
        ("docs/policy.md#matching", None),
        ("docs/policy.md#matchin", "no such heading"),
        ("docs/polisy.md", "no such file"),
        ("../outside.md", "no such file"),
        ("#layout", None),
        ("#lay-out", "no such heading"),
        ("https://docs.aws.amazon.com/lambda/", None),
        ("http://docs.aws.amazon.com/lambda/", "expected https://host/…, or this machine"),
        ("https://docs/lambda", "expected https://host/…, or this machine"),
        ("http://127.0.0.1:8080/", None),
        ("http://127.0.0.1.example.com/", "expected https://host/…, or this machine"),
    ],
)
def test_a_link_that_leads_nowhere_is_found(link, fault):
    """The test above rests on it."""
    assert fault_of(link, "README.md") == fault


@pytest.mark.parametrize(
    ("heading", "slug"),
    [
        ("# When things fail", "when-things-fail"),
        ("## `scripts/policy.py`", "scriptspolicypy"),
        ("## What's *new*? (1.0)", "whats-new-10"),
        ("### How to add …", "how-to-add-"),
        ("## See [the list](x.md)", "see-the-list"),
    ],
)
def test_anchors_are_made_as_github_makes_them(heading, slug):
    """The link test rests on it."""
    assert slugs(heading) == {slug}


def test_repeated_headings_are_numbered():
    """As GitHub does it."""
    assert slugs("# A\n## B\n## B\n") == {"a", "b", "b-1"}


def test_every_document_can_be_found_from_the_readme():
    """A document without a link to it is not read."""
    seen, todo = set(), ["README.md", *[f"docs/adr/{path.name}" for path in (PROJECT / "docs" / "adr").glob("*.md")]]
    while todo:
        document = todo.pop()
        if document in seen or not document.endswith(".md"):
            continue
        seen.add(document)
        for link in links(read(document)):
            path = ((PROJECT / document).parent / link.partition("#")[0]).resolve()
            if ":" not in link and path.is_relative_to(PROJECT) and path.is_file():
                todo.append(path.relative_to(PROJECT).as_posix())
    assert set(DOCUMENTS) - seen == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_path_of_a_machine_is_named(document):
    """A document is read on machines that have no such folder."""
    assert not MACHINE_PATH.findall(read(document))


# --- what is named exists -------------------------------------------------------------------------------------------


def test_every_control_of_the_threat_model_names_its_test():
    """Each row of each table of attacks has one."""
    text = read("docs/security.md")
    section = text[text.index("## What stands in the way") : text.index("## What is not protected")]
    rows = [row for row in re.findall(r"^\| (.+) \|$", section, re.MULTILINE) if not row.startswith("---")]
    headers = [row for row in rows if row.endswith("| control | test")]
    assert len(headers) >= 10
    assert [row for row in rows if row not in headers and "::test_" not in row.rpartition(" | ")[2]] == []


def test_every_make_command_exists():
    """In blocks and in the text."""
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    named = {
        target
        for document in DOCUMENTS
        for code in [*code_spans(read(document)), *(body for _, body in fences(read(document)))]
        for target in re.findall(r"(?:^|[\s$&|])make ([a-z-]+)", code)
    }
    assert named - targets == set()
    assert len(named) > 10


def test_every_make_target_is_in_a_document():
    """All that ``make`` prints is told somewhere."""
    told = {
        target
        for document in DOCUMENTS
        for code in [*code_spans(read(document)), *(body for _, body in fences(read(document)))]
        for target in re.findall(r"make ([a-z-]+)", code)
    }
    printed = set(re.findall(r"^([a-z-]+):.*## ", read("Makefile"), re.MULTILINE))
    assert printed - told - {"help", "clean"} == set()


@pytest.mark.parametrize(
    ("version", "taken"), [("(3, 10, 20)", False), ("(3, 11, 0)", True), ("(3, 14, 99)", True), ("(3, 15, 0)", False)]
)
def test_the_makefile_takes_the_pythons_that_the_readme_names(version, taken):
    """Another is refused at once, by a line that says which would do, and not by pip after half a minute."""
    assert "Python 3.11 to 3.14" in read("README.md")
    (guard,) = re.findall(r"@\$\(PYTHON\) -c '(import sys; .*)'$", read("Makefile"), re.MULTILINE)
    played = f"class V(tuple): major, minor = {version}[:2]\nimport sys\nsys.version_info = V({version})\n{guard}"
    done = subprocess.run([sys.executable, "-c", played], capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is taken
    assert taken or f"is 3.{version.split(', ')[1]}. Choose another: make PYTHON=" in done.stderr


# --- command lines --------------------------------------------------------------------------------------------------


class ParsedError(Exception):
    """The parser took the command line; nothing has been done yet."""


@pytest.fixture
def parse(monkeypatch):
    """Run a program as far as its parser and no further; return its exit status if it gets no further than that."""
    argparse_parses, click_invokes = argparse.ArgumentParser.parse_args, click.Command.invoke

    def parse_args(self, args=None, namespace=None):
        argparse_parses(self, args, namespace)
        raise ParsedError

    def invoke(self, context):
        if isinstance(self, click.Group):
            return click_invokes(self, context)  # which parses the rest
        raise ParsedError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
    monkeypatch.setattr(click.Command, "invoke", invoke)

    def run(words: list[str]) -> int:
        try:
            if (command := command_of(words[0])) is not None:
                return cli.main([*command, *words[1:]])
            return importlib.import_module(module_of(words[0])).main(words[1:])
        except ParsedError:
            return 0
        except SystemExit as ended:
            return ended.code

    return run


def command_of(program: str) -> list[str] | None:
    """What of the command ``cognito-edge`` a program is; None for others."""
    if program.startswith("scripts/"):
        return re.findall(r'start\("(\w+)"\)', read(program))
    return {"cognito-edge": [], "local": ["local"]}.get(program)


def module_of(program: str) -> str:
    name = program.removesuffix(".py").replace("/", ".")
    package = (PROJECT / name.replace(".", "/") / "__main__.py").exists()
    return f"{name}.__main__" if package else name


def commands(code: str) -> Iterator[list[str]]:
    """Our own programs' command lines in a piece of shell: the script or module, then its arguments."""
    code = re.sub(r"\\\n", " ", code)
    for typed in code.splitlines():
        line = re.sub(r"(?:^|\s)#.*", "", typed).removeprefix("$ ")
        line = line.replace("$(", "; ").replace(")", " ;")  # what is substituted is a command of its own
        for make in re.findall(r"\b(RUN|BENCH|DEPLOY|DESTROY|ROLLBACK|LOAD|TEST)_ARGS=(\"[^\"]*\"|[^\s;|]+)", line):
            program, first = MAKE[make[0]]
            if program:
                yield [program, *first, *shlex.split(make[1].strip('"'))]
        for part in re.split(r"[;|&]+", line):
            if not re.search(r"python3? (?:-m |scripts/|tests/)|\bcognito-edge [a-z-]", part):
                continue
            words = shlex.split(part.replace("<", " ").replace(">", " > "))
            words = words[: words.index(">")] if ">" in words else words
            if "cognito-edge" in words:
                yield words[words.index("cognito-edge") :]
                continue
            starts = [place for place, word in enumerate(words) if PROGRAM.fullmatch(word)]
            if not starts:
                continue
            words = words[starts[0] + 1 :]
            words = words[1:] if words[0] == "-m" else words
            if re.match(r"(?:scripts/\w+\.py|infra|local|benchmarks)(?:\.|$|\b)", words[0]):
                yield words


MAKE = {
    "RUN": ("local", []),
    "BENCH": ("benchmarks", []),
    "LOAD": ("benchmarks.load", []),
    "DEPLOY": ("infra.deploy.cdk_cli", ["deploy"]),
    "DESTROY": ("infra.deploy.cdk_cli", ["destroy"]),
    "ROLLBACK": ("infra.deploy.cdk_cli", ["rollback"]),
    "TEST": ("", []),
}


def shell_of(document: str) -> Iterator[str]:
    text = read(document)
    yield from (body for kind, body in fences(text) if kind in ("sh", "console", "shell", "bash"))
    yield from code_spans(text)


def all_commands() -> list[tuple[str, ...]]:
    found = {tuple(words) for document in DOCUMENTS for code in shell_of(document) for words in commands(code)}
    return sorted(words for words in found if len(words) > 1)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("python3 scripts/user.py list --local", [["scripts/user.py", "list", "--local"]]),
        ("$ TOKEN=$(python3 scripts/get_token.py --local)", [["scripts/get_token.py", "--local"]]),
        ("python scripts/logs.py --json >x.jsonl   # all", [["scripts/logs.py", "--json"]]),
        ("python a.py; python -m benchmarks --quick | head", [["benchmarks", "--quick"]]),
        ('make run RUN_ARGS="--port 9000"', [["local", "--port", "9000"]]),
        (
            "cognito-edge token --local | cognito-edge doctor --token-file -",
            [["cognito-edge", "token", "--local"], ["cognito-edge", "doctor", "--token-file", "-"]],
        ),
        ("echo python; pip install cognito-edge-gateway", []),
    ],
)
def test_command_lines_are_found(code, expected):
    """The test below rests on it."""
    assert list(commands(code)) == expected


@pytest.mark.parametrize("words", all_commands(), ids=" ".join)
def test_every_command_line_is_one_that_its_program_takes(words, parse, capsys):
    """Programs' own parsers judge; nothing is run. A group that is named alone has to exist."""
    if words[0] == "cognito-edge" and len(words) == 2 and words[1] in cli.cli.list_commands(None):
        return
    assert parse(list(words)) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["scripts/user.py", "lisst"],
        ["cognito-edge", "doctor", "--nonsense"],
        ["local", "--port", "x"],
        ["benchmarks", "--no"],
    ],
    ids=" ".join,
)
def test_a_command_line_that_a_program_does_not_take_is_found(words, parse):
    """The test above rests on it."""
    assert parse(words) == 2


def test_command_lines_were_found():
    """Or the test above would have nothing to say."""
    programs = {words[0] for words in all_commands()}
    scripts = {f"scripts/{path.name}" for path in (PROJECT / "scripts").glob("[a-z]*.py")}
    assert scripts <= programs
    assert len(all_commands()) > 60


def probes() -> set[str]:
    source = "".join(
        path.read_text(encoding="utf-8") for path in (PROJECT / "scripts" / "cognito_edge_cli" / "doctor").rglob("*.py")
    )
    return set(re.findall(r'Probe\(\s*"([\w.-]+)"', source))


def test_checks_and_codes_in_command_lines_exist():
    """Parsers take any text for these two."""
    pairs = {pair for words in all_commands() for pair in itertools.pairwise(words)}
    only = {value for option, value in pairs if option == "--only"}
    assert {
        name for name in only if not any(probe == name or probe.startswith(f"{name}.") for probe in probes())
    } == set()
    assert {value for option, value in pairs if option == "--code"} <= set(contract())
    assert len(only) > 5


def strings(path: str, name: str) -> set[str]:
    """The strings in a module's constant, without importing it (CDK takes seconds); those of ``*waf.CONTEXT`` are in waf.py."""
    tree = ast.parse(read(path))
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            found = set()
            for part in node.value.elts:
                if isinstance(part, ast.Starred):
                    found |= strings(f"infra/example/{part.value.value.id}.py", part.value.attr)
                else:
                    found.add(part.value)
            return found
    raise AssertionError(f"{path} has no {name}")


def test_every_context_key_that_is_used_exists():
    """``-c KEY=VALUE`` in any document."""
    text = "\n".join(read(document) for document in DOCUMENTS)
    named = {key for key in re.findall(r"(?:-c|--context)[ \n]+(\w+)=", text) if key != "KEY"}
    assert named <= strings("infra/example/stack.py", "CONTEXT")
    assert len(named) >= 5


def test_the_app_of_the_deploy_page_is_the_one_that_is_tried():
    """tests/infra/test_wheel.py runs that of the README."""

    def apps(document: str) -> list[str]:
        return [body for kind, body in fences(read(document)) if kind == "python" and "app.synth()" in body]

    assert len(apps("README.md")) == 1
    assert apps("README.md") == apps("docs/deploy.md")


def test_settings_that_other_documents_name_exist():
    """``x_s`` and ``x_bytes`` are the forms that settings have."""
    names = set(Settings._fields)
    schema = read("docs/policy.schema.json")
    for document in ("docs/operations.md", "docs/deploy.md", "docs/refusals.md", "docs/policy.md"):
        spans = {span for span in code_spans(read(document)) if re.fullmatch(r"\w+_(?:s|bytes)", span)}
        assert {span for span in spans if f'"{span}"' not in schema} <= names


# --- codes ----------------------------------------------------------------------------------------------------------


def contract() -> dict[str, int]:
    """Every code of contract C6 with its status."""
    found, kinds = {}, [GatewayError]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        if "code" in vars(kind) and (kind is GatewayError or not kind.__subclasses__()):
            found[kind.code] = kind.status
    return found


def test_docs_refusals_explains_every_code_with_its_status_and_no_other():
    """The table is also what ``doctor.py --code`` prints."""
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \|", read("docs/refusals.md"), re.MULTILINE)
    assert {code: int(status) for status, code in rows} == contract()
    assert len(rows) == len(contract())


def test_the_readme_names_every_code_but_a_fault_of_ours():
    """In the table of what is checked where."""
    text = read("README.md")
    table = text[text.index("## What is checked") : text.index("## Large bodies")]
    rows = re.findall(r"^\| .+ \| .+ \| (\d{3}) \| (.+) \|$", table, re.MULTILINE)
    listed = {code: int(status) for status, cell in rows for code in re.findall(r"`(\w+)`", cell)}
    assert listed == {code: status for code, status in contract().items() if code != "internal_error"}


def test_operations_has_every_alarm():
    """With the first command to type."""
    text = read("docs/operations.md")
    table = text[text.index("## Alarms") : text.index("## Quotas")]
    listed = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`\w+`) \|", table, re.MULTILINE))))
    made = set(re.findall(r'"(\w+)Alarm"', read("infra/example/alarms.py"))) | set(
        re.findall(r'"(Failures)"', read("infra/example/alarms.py"))
    )
    assert listed == made | {"Failures"}
    assert listed <= set(re.findall(r"`(\w+)`", read("docs/deploy.md")))


def test_operations_has_every_field_of_the_log():
    """Contract C8, as the edge writes it: of requests that pass, are refused or fail, and of a failed refresh."""
    text = read("docs/operations.md")
    table = text[text.index("## The edge function's log") : text.index("## The trace page")]
    listed = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE))))
    pool = Pool()
    system = make_offline_system({"version": 1, "routes": [{"path": "/open", "allow": "anyone"}]}, pools=[pool])
    system(token=pool.id_token(more="x" * 5_000))
    system(uri="/open", token="no token")
    system()
    system(event={})
    lines = [*system.log, json.loads(failed_refresh("keys", "why", 0))]
    assert {field for line in lines for field in line} == listed
    assert {line.get("decision") for line in lines} == {"forward", "refuse", "error", None}


def test_every_step_of_the_doctor_is_told():
    """A check that cannot be looked up is noise."""
    steps = {probe.partition(".")[0] for probe in probes()}
    text = read("docs/operations.md")
    table = text[text.index("## The doctor") : text.index("## The edge function's log")]
    rows = " ".join(re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE))
    assert set(re.findall(r"`([a-z]+)`", rows)) == steps


# --- pictures and figures -------------------------------------------------------------------------------------------

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("picture", PICTURES)
def test_pictures_stand_alone_and_say_what_they_show(picture):
    """Well-formed, nothing loaded from elsewhere, no script, a title for who cannot see it."""
    root = ET.fromstring(read(picture))  # noqa: S314  our own file
    assert root.tag == f"{SVG}svg"
    assert root.find(f"{SVG}title").text
    for element in root.iter():
        assert element.tag not in {f"{SVG}script", f"{SVG}image", f"{SVG}foreignObject"}
        for name, value in element.attrib.items():
            assert not name.endswith("href") or value.startswith("#")
            assert not name.lower().startswith("on")
            assert "url(" not in value or re.fullmatch(r"url\(#[\w-]+\)", value)
    style = "".join(element.text or "" for element in root.iter(f"{SVG}style"))
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.parametrize("picture", ["docs/architecture.svg", "docs/request.svg"])
def test_drawn_pictures_are_legible_in_light_and_dark(picture):
    """Every colour is a variable that the dark style sets too."""
    root = ET.fromstring(read(picture))  # noqa: S314  our own file
    style = "".join(element.text for element in root.iter(f"{SVG}style"))
    light, dark = style.split("prefers-color-scheme: dark", 1)
    names = set(re.findall(r"(--[\w-]+):", light))
    assert names == set(re.findall(r"(--[\w-]+):", dark))
    assert set(re.findall(r"var\((--[\w-]+)\)", read(picture))) <= names
    assert root.find(f"{SVG}desc").text


def test_the_picture_of_a_request_has_the_gateways_steps_and_codes():
    """Six steps, and no code that does not exist."""
    text = read("docs/request.svg")
    assert re.findall(r'class="number"[^>]*>(\d)<', text) == list("123456")
    assert len(re.findall(r"^            (\d)\. ", read("edge/cognito_edge/gateway.py"), re.MULTILINE)) == 6
    named = set(re.findall(r"\b(?:[a-z]+_)+[a-z]+\b", " ".join(re.findall(r'class="mono"[^>]*>([^<]+)<', text))))
    assert named - {"blocked_by_firewall"} <= set(contract())
    assert len(named) > 15


def test_the_figures_of_the_bench_are_those_of_the_reference_runs():
    """``python -m benchmarks.docs_table --write`` puts them there, each under the interpreter that it was measured with."""
    assert docs_table.block(read("docs/performance.md")) == docs_table.tables()
    for version in (docs_table.DEPLOYED, docs_table.OLDEST):
        reference = json.loads(docs_table.reference(version).read_bytes())
        assert f"CPython {version}." in " ".join(reference["conditions"])


@pytest.mark.parametrize(
    "document", ["", f"{docs_table.BEGIN}\n", f"{docs_table.END}\n{docs_table.BEGIN}\n", f"{docs_table.BEGIN}\n" * 2]
)
def test_a_document_without_its_marks_is_left_alone(document):
    """Rather than written over in the wrong place."""
    with pytest.raises(ValueError, match="expected one"):
        docs_table.with_block(document, "x")


def test_a_block_is_replaced_and_nothing_else():
    """What stands around the marks stays."""
    before = f"a\n{docs_table.BEGIN}\nold\n{docs_table.END}\nb\n"
    assert docs_table.with_block(before, "new\n") == before.replace("old", "new")


def examples(epilog: str) -> Iterator[str]:
    """The commands, without what stands behind each, or further in below it."""
    for line in epilog.splitlines():
        if re.match(r"  \S|Example: ", line):
            yield re.split(r" {3,}", line.removeprefix("Example:").strip())[0].replace("…", "x")


def test_no_command_shows_an_example_that_it_does_not_take(parse, capsys):
    """The examples of ``--help``, by the same parsers; each command has some."""
    count = 0
    for name in cli.cli.list_commands(None):
        epilog = cli.cli.get_command(None, name).epilog
        found = [words for example in examples(epilog) for words in commands(example)]
        assert found, name
        for words in found:
            assert parse(words) == 0, capsys.readouterr().err
        count += len(found)
    assert count > 30
