"""scripts/website.py: which files are put, in which order, how they are served, and what is refused."""

import json
import shutil

import pytest
from cognito_edge_cli import site
from cognito_edge_cli.console import ScriptError
from cognito_edge_cli.main import main
from cognito_edge_cli.site import ASK_FIRST, FOREVER, site_config, site_files
from cognito_edge_cli.stack import CHECKOUT, Choice, Stack

PLACEHOLDER = CHECKOUT / "infra" / "site_placeholder"
CONFIG = site_config(
    region="eu-west-1",
    user_pool_id="eu-west-1_AbCdEfGhI",
    client_id="client",
    login_url="https://login.example.com",
)


@pytest.fixture
def folder(tmp_path):
    for name, text in {
        "index.html": "<!doctype html>",
        "assets/app-0a1B2c3D.js": "1",
        "assets/app-0a1B2c3D.js.map": "{}",
        "assets/plain.js": "2",
        "about/index.html": "<!doctype html>",
        "favicon.svg": "<svg/>",
        "config.json": '{"development": true}',
        ".DS_Store": "rubbish",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_pages_come_after_what_they_refer_to(folder):
    """Whoever loads the site meanwhile finds it whole: hashed files first, the start page last."""
    keys = [file.key for file in site_files(folder, CONFIG)]
    assert keys[:2] == ["assets/app-0a1B2c3D.js", "assets/app-0a1B2c3D.js.map"]
    assert keys[-1] == "index.html"
    assert set(keys[2:-1]) == {"about/index.html", "assets/plain.js", "config.json", "favicon.svg"}


def test_a_file_whose_name_follows_its_content_is_kept_for_ever_and_no_other(folder):
    """A page that browsers kept would lead to files that are gone."""
    served = {file.key: file.cache_control for file in site_files(folder, CONFIG)}
    assert {key for key, value in served.items() if value == FOREVER} == {
        "assets/app-0a1B2c3D.js",
        "assets/app-0a1B2c3D.js.map",
    }
    assert set(served.values()) == {FOREVER, ASK_FIRST}


def test_types_are_those_that_browsers_insist_on(folder):
    """With nosniff a script of another type is not run."""
    types = {file.key: file.content_type for file in site_files(folder, CONFIG)}
    assert types["index.html"] == "text/html; charset=utf-8"
    assert types["assets/plain.js"] == "text/javascript; charset=utf-8"
    assert types["favicon.svg"] == "image/svg+xml"


def test_the_configuration_is_the_systems_and_not_the_folders(folder):
    """A development file of that name must not get out; what does holds six public values."""
    (found,) = [file for file in site_files(folder, CONFIG) if file.key == "config.json"]
    assert json.loads(found.content) == CONFIG
    assert set(CONFIG) == {"region", "user_pool_id", "client_id", "login_url", "issuer", "api"}


@pytest.mark.parametrize("name", ["notes.docx", "README", "key.pem"])
def test_a_file_of_unknown_type_is_refused(folder, name):
    """Rather than put as something: it may not belong there at all."""
    (folder / name).write_text("x")
    with pytest.raises(ScriptError, match=name):
        site_files(folder, CONFIG)


def test_a_link_out_of_the_folder_is_refused(folder, tmp_path_factory):
    """What it leads to may be secret."""
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.txt"
    secret.write_text("secret")
    (folder / "linked.txt").symlink_to(secret)
    with pytest.raises(ScriptError, match="symbolic link"):
        site_files(folder, CONFIG)


def test_a_folder_without_a_page_is_no_site(tmp_path):
    """It says how to build one."""
    with pytest.raises(ScriptError, match=r"no index\.html"):
        site_files(tmp_path, CONFIG)


def test_the_placeholder_is_a_site():
    """A clone without npm still deploys."""
    (page,) = [file for file in site_files(PLACEHOLDER, CONFIG) if file.key == "index.html"]
    assert b"<script" not in page.content  # the site's own policy would stop inline ones


class FakeAws:
    """S3 and CloudFront, as boto3's clients tell of them."""

    def __init__(self, *keys):
        self.objects = dict.fromkeys(keys, b"old")
        self.done = []

    def put_object(self, *, Bucket, Key, Body, ContentType, CacheControl):  # noqa: N803 - boto3's spelling
        self.done.append(("put", Key))
        assert Bucket == "bucket"
        assert ContentType
        assert CacheControl
        self.objects[Key] = Body

    def get_paginator(self, name):
        assert name == "list_objects_v2"
        return self

    def paginate(self, **_):
        return [{"Contents": [{"Key": key} for key in self.objects]}, {}]

    def delete_objects(self, *, Bucket, Delete):  # noqa: N803 - boto3's spelling
        assert Bucket == "bucket"
        for entry in Delete["Objects"]:
            del self.objects[entry["Key"]]
        return {}

    def create_invalidation(self, *, DistributionId, InvalidationBatch):  # noqa: N803 - boto3's spelling
        self.done.append(("invalidate", DistributionId, InvalidationBatch["Paths"]["Items"]))


@pytest.fixture
def run(monkeypatch, folder, capsys):
    """Run the script against a deployed stack; returns status, AWS and what was printed."""

    def go(*arguments, keys=(), site_bucket="bucket", default_folder=False):
        fake = FakeAws(*keys)
        stack = Stack(
            name="Deployed",
            user_pool_id="eu-west-1_AbCdEfGhI",
            client_id="client",
            hosted_ui="https://login.example.com",
            parameter_prefix="/p",
            distribution_id="E1",
            site_bucket=site_bucket,
        )
        monkeypatch.setattr(Choice, "find", lambda _: stack)
        monkeypatch.setattr(site, "client", lambda *_, **__: fake)
        more = ["--folder", str(folder)] if arguments[0] == "put" and not default_folder else []
        status = main(["site", *arguments, *more])
        return status, fake, capsys.readouterr()

    return go


def test_put_leaves_old_hashed_files_to_open_pages_and_tells_cloudfront(run):
    """After everything is there."""
    status, aws, printed = run("put", keys=["assets/old-12345678.js"])
    assert status == 0
    assert "assets/old-12345678.js" in aws.objects
    assert aws.done[-1] == ("invalidate", "E1", ["/*"])
    assert aws.done[-2] == ("put", "index.html")
    assert "bucket: 7 files put (2 of them for ever), 0 deleted" in printed.out


def test_prune_takes_away_what_the_folder_does_not_have(run):
    """And nothing else."""
    _, aws, printed = run("put", "--prune", keys=["assets/old-12345678.js", "index.html"])
    assert "assets/old-12345678.js" not in aws.objects
    assert len(aws.objects) == 7
    assert "1 deleted" in printed.out


def test_empty_asks_to_be_told_twice(run):
    """--yes is the second time."""
    status, aws, printed = run("empty", keys=["a", "b"])
    assert (status, len(aws.objects)) == (1, 2)
    assert "add --yes" in printed.err
    status, aws, _ = run("empty", "--yes", keys=["a", "b"])
    assert (status, aws.objects) == (0, {})


def test_a_system_without_a_site_is_named(run):
    """Somebody else's stack, or one from before there was a site."""
    status, _, printed = run("put", site_bucket=None)
    assert status == 1
    assert "Deployed has no output SiteBucket" in printed.err


def test_the_placeholder_stands_in_where_no_site_is_built(run, monkeypatch, tmp_path_factory):
    """And it is said."""
    clone = tmp_path_factory.mktemp("clone")
    shutil.copytree(PLACEHOLDER, clone / "infra" / "site_placeholder")
    monkeypatch.setattr(site, "CHECKOUT", clone)
    status, aws, printed = run("put", default_folder=True)
    assert status == 0
    assert aws.objects["index.html"] == (PLACEHOLDER / "index.html").read_bytes()
    assert "web/dist has not been built" in printed.err


def test_an_installed_package_has_no_site_of_its_own(run, monkeypatch):
    """A folder has to be named there."""
    monkeypatch.setattr(site, "CHECKOUT", None)
    status, aws, printed = run("put", default_folder=True)
    assert (status, aws.done) == (1, [])
    assert "Name a folder with --folder" in printed.err
    assert run("put")[0] == 0


def test_what_s3_says_cannot_steer_the_terminal(run, monkeypatch):
    """Its message may repeat a key, and a key may hold any character."""
    refusal = {"Errors": [{"Message": "no\x1b[2Jsuch\x9b31mkey\u202e"}]}
    monkeypatch.setattr(FakeAws, "delete_objects", lambda *_, **__: refusal)
    status, _, printed = run("empty", "--yes", keys=["a"])
    assert status == 1
    assert r"no\x1b[2Jsuch\x9b31mkey\u202e" in printed.err


def test_help_has_an_example(capsys):
    """As every command's."""
    assert main(["site", "--help"]) == 0
    assert "cognito-edge site put --local" in capsys.readouterr().out
