"""The command line of the local system, up to the moment at which it would start."""

from pathlib import Path

import pytest
from cognito_edge_local.command import main
from cognito_edge_local.launcher import places


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--port", "65536"),
        ("--login-port", "-1"),
        ("--emulator-port", "http"),
        ("--function-url-port", ""),
        ("--trace-port", "8080.0"),
        ("--signing", "sigv2"),
        ("--allow-host", "http://my.test"),
        ("--allow-host", "my.test:80"),
        ("--parent-pid", "make"),
        ("--state-dir", "--quiet"),
        ("--cache-dir", "--signing"),
        ("--settings", "--quiet"),
        ("--assembly", "--port"),
    ],
)
def test_wrong_value_is_a_usage_error_that_names_its_option(capsys, option, value):
    """Status 2, and nothing is started."""
    assert main([option, value]) == 2
    assert f"Invalid value for '{option}'" in capsys.readouterr().err


def test_unknown_option_is_a_usage_error(capsys):
    """Status 2, with the way to the help."""
    assert main(["--prot", "80"]) == 2
    assert "Try 'python -m local --help'" in capsys.readouterr().err


def test_installed_package_says_that_it_needs_a_checkout(capsys, monkeypatch, tmp_path):
    """A wheel has neither the app nor what ``make install`` makes; its state would go into the current folder."""
    monkeypatch.setattr(places, "CHECKOUT", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main([]) == 1
    assert "runs from a checkout of the project" in capsys.readouterr().err
    assert places.state_dir() == tmp_path / ".local"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["EMULATOR_PYTHON", "RUNTIME_CLIENT"])
def test_what_make_install_has_not_made_is_named(capsys, monkeypatch, name):
    """Status 1, the path, and the command that makes it."""
    monkeypatch.setattr(places, name, Path("/nowhere"))
    assert main([]) == 1
    assert "/nowhere does not exist. `make install` makes it" in capsys.readouterr().err
