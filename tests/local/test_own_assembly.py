"""``--assembly``: which stack of a user's own cloud assembly is deployed, and the message if it has no such stack."""

import pytest
from cognito_edge_local.command import main
from cognito_edge_local.emulator import deploy


def _assembly(folder, *names):
    for name in names:
        (folder / f"{name}.template.json").write_text("{}")
    return folder


@pytest.mark.parametrize(
    ("names", "stack"),
    [
        (["Mine"], "Mine"),
        (["My.Stage-Api"], "My.Stage-Api"),
        ([deploy.STACK_NAME], deploy.STACK_NAME),
        (["Mine", deploy.STACK_NAME, "Other"], deploy.STACK_NAME),
    ],
)
def test_the_only_stack_or_the_projects_is_deployed(tmp_path, names, stack):
    """The user has to say which only if it cannot be known."""
    assert deploy.stack_in(_assembly(tmp_path, *names)) == stack


@pytest.mark.parametrize(("names", "told"), [([], "it has none"), (["Mine", "Other"], "it has Mine, Other")])
def test_no_stack_or_one_of_several_is_an_error_that_says_so(tmp_path, names, told):
    """What was expected, and what is there."""
    with pytest.raises(deploy.DeployError, match=f"one stack, or one called {deploy.STACK_NAME}; {told}"):
        deploy.stack_in(_assembly(tmp_path, *names))


def test_help_says_what_an_assembly_needs(capsys):
    """The outputs that the launcher reads are part of the option."""
    assert main(["--help"]) == 0
    assert "FunctionUrl<Name>" in capsys.readouterr().out
