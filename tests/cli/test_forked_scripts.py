"""tests/support/forked_scripts.py: a fork is to a script what ``python FILE`` is; and scripts start without its help."""

import os
import subprocess
import sys

import pytest
from cognito_edge_cli.stack import CHECKOUT

from tests.support import forked_scripts

SEEN = """
import json, os, sys
print(json.dumps([sys.argv, sys.path[0], os.getcwd(), dict(os.environ), sys.stdin.read(), __name__, __file__]))
print(os.getsid(0) == os.getpid(), sys.stdout.isatty(), file=sys.stderr)
"""


@pytest.fixture
def both(tmp_path):
    """Run a program both ways, in a folder and an environment of its own: (exit status, stdout, stderr) of each."""
    (tmp_path / "folder").mkdir()
    script = tmp_path / "folder" / "script.py"

    def run(program, *arguments, stdin=""):
        script.write_text(program)
        # An interpreter without a locale would add one of its own.
        environment = {"PATH": os.environ["PATH"], "GREETING": "hello", "LC_ALL": "C.UTF-8"}
        argv = ["folder/script.py", *arguments]
        forked = forked_scripts.run(argv, cwd=tmp_path, env=environment, stdin=stdin)
        started = subprocess.run(
            [sys.executable, *argv],
            cwd=tmp_path,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
        return [(done.returncode, done.stdout, done.stderr) for done in (forked, started)]

    return run


def test_a_script_sees_the_same(both):
    """Arguments, path, folder, environment, input, name and file; a session of its own, and no terminal."""
    forked, started = both(SEEN, "a", "--b=ü", stdin="two\nlines")
    assert forked == started
    assert forked[0] == 0


@pytest.mark.parametrize(
    "program",
    [
        "import sys; sys.exit(3)",
        "import sys; sys.exit('said')",
        "import atexit; atexit.register(print, 'at the end'); print('first')",
        "import threading; threading.Timer(0.1, print, ['from a thread']).start()",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    ],
)
def test_it_ends_the_same_way(both, program):
    """Status, signal, and all that the interpreter does at the end."""
    forked, started = both(program)
    assert forked == started


def test_a_bug_is_a_traceback_and_status_1(both):
    """For the person, on standard error."""
    for status, out, err in both("1 / 0"):
        assert (status, out) == (1, "")
        assert err.startswith("Traceback")
        assert err.endswith("ZeroDivisionError: division by zero\n")


def test_a_script_that_does_not_end_is_killed_and_the_next_one_runs(tmp_path):
    """And whoever waited is told."""
    script = tmp_path / "script.py"
    script.write_text("import time; time.sleep(600)")
    with pytest.raises(subprocess.TimeoutExpired):
        forked_scripts.run([str(script)], cwd=tmp_path, env=os.environ, timeout_s=0.1)
    script.write_text("print('well')")
    assert forked_scripts.run([str(script)], cwd=tmp_path, env=os.environ).stdout == "well\n"


@pytest.mark.parametrize("name", ["fault.py", "logs.py", "user.py", "website.py"])
def test_a_script_imports_all_that_it_needs(name):
    """In an interpreter that has imported nothing; the other scripts' own tests do the same."""
    command = [sys.executable, str(CHECKOUT / "scripts" / name), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: python scripts/{name} ")
