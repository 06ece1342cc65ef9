"""The edge function's bundle (contract C3), built from the real lock and wheels."""

import importlib.util
import json
import re
import subprocess
import sys
import zipfile

import pytest
from cognito_edge_cdk.bundling.bytecode import lambda_interpreter

from tests.infra.rig import PROJECT, run_module, snapshot

REQUIRED = ("--parameter-prefix", "/gateway", "--parameter-region", "eu-west-1")

# Amazon Linux 2023, on which Lambda runs python3.13.
GLIBC = (2, 34)

LEFT_OUT = ("cffi", "pycparser", "ecdsa", "rsa", "pyasn1", "six")


def run_in(bundle, program):
    """Run a program with nothing on the path but the bundle and the standard library."""
    prepared = f"import sys; sys.path.insert(0, {str(bundle)!r}); {program}"
    finished = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-W", "error", "-c", prepared],
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


def test_it_runs_on_the_standard_library_alone(host_bundle):
    """Whatever the handler imports is in the folder."""
    assert run_in(host_bundle, "import cognito_edge.handler as h; print(callable(h.handler), h.__file__)") == (
        f"True {host_bundle}/cognito_edge/handler.py"
    )


def test_left_out_dependencies_are_needed_by_nothing(host_bundle):
    """A key checks signatures with cryptography; no module of the gateway imports more."""
    program = f"""
import importlib, pkgutil, cognito_edge
for module in pkgutil.walk_packages(cognito_edge.__path__, "cognito_edge."): importlib.import_module(module.name)
import pybase64
from cryptography.hazmat.primitives.asymmetric import rsa
numbers = rsa.generate_private_key(65537, 2048).public_key().public_numbers()
from cognito_edge.rsa import RsaPublicKey
key = RsaPublicKey(numbers.n, numbers.e)
print(type(key).__name__, key.verify(b'message', b'signature'), [m for m in {LEFT_OUT} if m in sys.modules])
"""
    assert run_in(host_bundle, f"exec({program!r})") == "RsaPublicKey False []"


def test_left_out_dependencies_are_not_there(lambda_bundle, host_bundle):
    """Only cffi's extension module is there: cryptography loads it."""
    for bundle in (lambda_bundle, host_bundle):
        names = {path.name.partition("-")[0].partition(".")[0] for path in bundle.iterdir()}
        assert names & {*LEFT_OUT, "_cffi_backend"} == {"cffi", "_cffi_backend"}  # "cffi": its licence
        assert not (bundle / "cffi").exists()


def test_settings_are_the_arguments(lambda_bundle):
    """It holds nothing else: defaults belong to the code."""
    document = json.loads((lambda_bundle / "settings.json").read_bytes())
    assert document == {"parameter_prefix": "/gateway", "parameter_region": "eu-west-1"}


def test_our_code_is_all_there_and_little_else(lambda_bundle):
    """Every module of ``cognito_edge`` and Amazon's root certificates, byte for byte."""
    sources = {
        path.relative_to(PROJECT / "edge").as_posix(): path.read_bytes()
        for path in (PROJECT / "edge").rglob("*")
        if path.suffix in (".py", ".pem")
    }
    files = [path for path in (lambda_bundle / "cognito_edge").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert {path.relative_to(lambda_bundle).as_posix(): path.read_bytes() for path in files} == sources


@pytest.mark.parametrize("platform", ["lambda", "host"])
def test_another_folder_builds_the_same_bytes(platform, elsewhere, lambda_bundle, host_bundle, tmp_path):
    """Names, modes, times and contents, wherever the project lies and whatever the umask is."""
    finished = run_module(
        *("infra.bundle", "--output", tmp_path / "again", *REQUIRED, "--platform", platform),
        project=elsewhere,
        umask=0o077,
    )
    assert finished.returncode == 0, finished.stderr
    assert snapshot(tmp_path / "again") == snapshot({"lambda": lambda_bundle, "host": host_bundle}[platform])


def test_a_second_build_does_nothing(host_bundle):
    """The inputs are the same, and the folder has not changed since."""
    before = host_bundle.stat().st_ino
    finished = run_module("infra.bundle", "--output", host_bundle, *REQUIRED, "--platform", "host")
    assert "up to date" in finished.stderr
    assert host_bundle.stat().st_ino == before


def test_modes_times_and_contents_are_the_same_on_every_machine(lambda_bundle, host_bundle):
    """644 and 755, the oldest time a zip can hold, and nothing that an installer or a build left behind."""
    for bundle in (lambda_bundle, host_bundle):
        for name, (mode, mtime, _) in snapshot(bundle).items():
            assert mode == (oct(0o100644) if (bundle / name).is_file() else oct(0o40755))
            assert mtime == 315_532_800
            assert not re.search(
                r"(^|/)(bin|tests?|RECORD|INSTALLER|REQUESTED|direct_url\.json)(/|$)|/test_[^/]*\.py$", name
            )
            assert (bundle / name).is_dir() or str(PROJECT).encode() not in (bundle / name).read_bytes()


def test_licences_are_kept(lambda_bundle):
    """People who deploy this distribute the libraries, and our code."""
    assert (lambda_bundle / "LICENSE").read_bytes() == (PROJECT / "LICENSE").read_bytes()
    for project in ("cryptography", "httptools", "pybase64", "cffi"):
        assert list(lambda_bundle.glob(f"{project}-*.dist-info/**/LICENSE*")), project


def test_extension_modules_load_on_lambda(lambda_bundle):
    """x86_64 ELF, for CPython 3.13 or the stable ABI, and no symbol newer than Amazon Linux 2023's glibc."""
    modules = list(lambda_bundle.rglob("*.so"))
    assert {path.name.partition(".")[0] for path in modules} == {
        *("_rust", "_cffi_backend"),  # cryptography
        *("parser", "url_parser"),  # httptools
        "_pybase64",
    }
    for module in modules:
        content = module.read_bytes()
        assert re.search(r"\.(cpython-313-x86_64-linux-gnu|abi3)\.so$", module.name)
        assert content[:4] == b"\x7fELF"
        assert int.from_bytes(content[18:20], "little") == 62  # EM_X86_64
        versions = [tuple(map(int, found)) for found in re.findall(rb"GLIBC_(\d+)\.(\d+)", content)]
        assert versions
        assert max(versions) <= GLIBC


def test_lambda_bytecode_is_python_3_13s_or_none(lambda_bundle):
    """The runtime would ignore another version's, and compile every module at every cold start."""
    names = [path.name for path in lambda_bundle.rglob("*.pyc")]
    assert bool(names) == (lambda_interpreter() is not None)
    assert not [name for name in names if not name.endswith(".cpython-313.pyc")]
    assert json.loads((lambda_bundle / "bundle.json").read_bytes())["bytecode"].startswith("CPython 3.13") == bool(
        names
    )


def test_host_bytecode_is_taken_without_looking_at_the_source(host_bundle):
    """Unchecked-hash files (PEP 552) of this interpreter, for every module."""
    sources = sorted(host_bundle.rglob("*.py"))
    for source in sources:
        header = (source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc").read_bytes()[:8]
        assert header == importlib.util.MAGIC_NUMBER + (0b01).to_bytes(4, "little")
    assert len(list(host_bundle.rglob("*.pyc"))) == len(sources) > 100


def test_it_stays_far_below_the_limit(lambda_bundle, tmp_path):
    """Lambda allows 50 MB, but fetches and unpacks each of them at cold starts."""
    with zipfile.ZipFile(tmp_path / "bundle.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(lambda_bundle.rglob("*")):
            archive.write(path, path.relative_to(lambda_bundle))
    assert (tmp_path / "bundle.zip").stat().st_size < 6_000_000


def test_no_bytecode_is_made_when_none_is_wanted(tmp_path):
    """Machines with and without a CPython 3.13 then build the same bytes."""
    finished = run_module("infra.bundle", "--output", tmp_path / "b", *REQUIRED, "--bytecode", "none")
    assert "no bytecode" in finished.stderr
    assert not list(tmp_path.rglob("*.pyc"))


@pytest.mark.parametrize(
    ("arguments", "content", "status", "message"),
    [
        (REQUIRED, '{"polcy_required": true}', 1, "polcy_required: unknown setting"),
        (REQUIRED, '{"keys_lifetime_s": "soon", "cooldown_s": 9999}', 1, "cooldown_s"),
        (REQUIRED, "[]", 1, "expected a JSON object"),
        (REQUIRED, "{", 1, "infra.bundle:"),
        (REQUIRED, '{"cooldown_s": 1, "cooldown_s": 2}', 1, "given twice: cooldown_s"),
        (REQUIRED, '{"parameter_prefix": "/other"}', 1, "parameter_prefix given here and, differently, as an option"),
        (("--parameter-prefix", "no-slash", "--parameter-region", "eu-west-1"), "{}", 1, "must be an SSM path"),
        (("--parameter-prefix", "/gateway"), "{}", 2, "required: --parameter-region"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_built(arguments, content, status, message, tmp_path):
    """Run time is too late: no environment variable can repair an edge function."""
    (tmp_path / "settings.json").write_text(content)
    finished = run_module(
        "infra.bundle", "--output", tmp_path / "b", *arguments, "--settings", tmp_path / "settings.json"
    )
    assert finished.returncode == status
    assert message in finished.stderr
    assert "Traceback" not in finished.stderr
    assert not (tmp_path / "b").exists()


def test_settings_from_a_file_and_policy_required_go_in(tmp_path):
    """The file may add settings, and repeat an option's."""
    (tmp_path / "settings.json").write_text('{"cooldown_s": 1, "parameter_prefix": "/gateway"}')
    finished = run_module(
        *("infra.bundle", "--output", tmp_path / "b", *REQUIRED, "--bytecode", "none"),
        *("--settings", tmp_path / "settings.json", "--policy-required"),
    )
    assert finished.returncode == 0, finished.stderr
    assert json.loads((tmp_path / "b" / "settings.json").read_bytes()) == {
        "cooldown_s": 1,
        "parameter_prefix": "/gateway",
        "parameter_region": "eu-west-1",
        "policy_required": True,
    }


def test_a_wheelhouse_that_lacks_something_says_what_to_run(tmp_path):
    """A build never uses the network."""
    finished = run_module("infra.bundle", "--output", tmp_path / "b", *REQUIRED, "--wheelhouse", tmp_path)
    assert finished.returncode == 1
    assert "cryptography==" in finished.stderr
    assert "python -m infra.bundle --download-wheels" in finished.stderr


def test_help_names_every_option():
    """Contract C3's options and a few more."""
    text = run_module("infra.bundle", "--help").stdout
    for option in (
        "--output",
        "--parameter-prefix",
        "--parameter-region",
        "--platform",
        "--bytecode",
        "--download-wheels",
    ):
        assert option in text
