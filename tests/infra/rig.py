"""Helpers of this folder's tests: the template as a lookup, runs of infra's commands, hand-made wheels."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
COPIED = ("infra", "edge", "backend", "requirements", "cdk.json", "LICENSE")


class Template:
    """A CloudFormation template that can be asked for the resources of a type."""

    def __init__(self, document):
        self.document = document
        self.resources = document["Resources"]

    def all(self, kind):
        """Return the resources of a type by logical id."""
        return {name: body for name, body in self.resources.items() if body["Type"] == kind}

    def one(self, kind, *, below=""):
        """Return the only resource of a type, or the only one whose logical id begins with *below*."""
        found = {name: body for name, body in self.all(kind).items() if name.startswith(below)}
        assert len(found) == 1, f"{kind} below {below!r}: {sorted(found)}"
        return next(iter(found.items()))

    def properties(self, kind, *, below=""):
        """Return the properties of ``one``."""
        return self.one(kind, below=below)[1]["Properties"]


def run_module(module, *arguments, project=PROJECT, umask=-1):
    """Run ``python -m`` in a project folder, without AWS settings and without a network."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "CDK_", "PYTHON")) and "proxy" not in name.lower()
    }
    # A copy's own packages, not those that are installed here.
    environment["PYTHONPATH"] = os.pathsep.join(str(project / folder) for folder in ("edge", "infra"))
    # Port 9 (discard) of this machine: every attempt to reach anything fails at once.
    environment |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=project,
        env=environment,
        umask=umask,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def made_once(tmp_path_factory, name, make):
    """Return a folder that ``make(folder)`` fills once in a run of pytest, for all of its workers: synthesis takes seconds."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, complete = root / name, root / f"{name}.complete"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            make(folder)
            complete.touch()
    return folder


def project_copy(folder):
    """Copy the inputs of bundles and templates; the wheels are read where they are."""
    folder.mkdir(parents=True)
    ignore = shutil.ignore_patterns("__pycache__")
    for name in COPIED:
        source = PROJECT / name
        shutil.copytree(source, folder / name, ignore=ignore) if source.is_dir() else shutil.copy(source, folder / name)
    (folder / ".venv-wheels").symlink_to(PROJECT / ".venv-wheels")


def snapshot(folder):
    """Return everything about a folder that a bundle promises to repeat: names, modes, times, bytes."""
    return {
        path.relative_to(folder).as_posix(): (
            oct(path.stat().st_mode),
            path.stat().st_mtime,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder",
        )
        for path in sorted(folder.rglob("*"))
    }


def make_wheel(folder, name, files, *, version="1.0", tag="py3-none-any", requires=None):
    """Write a wheel and return its path; with *requires* (PEP 508), it has the metadata that pip needs too."""
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for filename, content in {
            **files,
            **({} if requires is None else _about(name, version, tag, requires)),
        }.items():
            archive.writestr(zipfile.ZipInfo(filename), content)
    return path


def _about(name, version, tag, requires):
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata += [f"Provides-Extra: {extra}" for extra in re.findall(r"extra == '(\w+)'", " ".join(requires))]
    metadata += [f"Requires-Dist: {text}" for text in requires]
    return {
        f"{name}-{version}.dist-info/METADATA": "\n".join(metadata) + "\n",
        f"{name}-{version}.dist-info/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{name}-{version}.dist-info/RECORD": "",
    }


def make_lock(path, *wheels, marker=""):
    """Write a hashed requirements file that names exactly these wheels."""
    lines = []
    for wheel in wheels:
        name, version = wheel.name.split("-")[:2]
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        lines.append(
            f"{name}=={version}{f' ; {marker}' if marker else ''} \\\n    --hash=sha256:{digest}\n    # via x\n"
        )
    path.write_text("# a comment\n" + "".join(lines))
    return path
