"""What the policy judged is what arrives, whichever of many servers stands behind: identity, method, path and host."""

import string

import pytest
from cognito_edge.cloudfront import is_dropped
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.events import is_forwarded, problem_of
from tests.support.framework_readers import NAME_READERS, READERS, cgi
from tests.support.policy_oracle import Ask
from tests.support.policy_rig import OWN, gateway_under, outcome, token_of

USER = OWN.id_claims(**{"cognito:groups": ["users"]})

# docs/policy.md: read for everyone, write for editors; and a part for admins alone.
POLICY = {
    "routes": [
        {"path": "/articles/*", "methods": ["GET"]},
        {"path": "/articles/*", "methods": ["POST", "PUT", "DELETE"], "groups": ["editors"]},
        {"path": "/admin/*", "groups": ["admins"]},
    ]
}
SYSTEM = gateway_under(POLICY)
TOKEN = token_of(USER)


def what_servers_see(method: str, path: str, headers: dict[str, str]) -> set[tuple[str, str]]:
    """Return (method, resource) as each server reads the request that leaves; empty if it is refused."""
    result = SYSTEM(method=method, uri=path, token=TOKEN, headers=headers)
    if not is_forwarded(result):
        return set()
    sent = {name: ",".join(item["value"] for item in items) for name, items in result["headers"].items()}
    return {seen for reader in READERS if (seen := reader(result["method"], result["uri"], sent)) is not None}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "path",
    [
        *("/articles", "/articles.json", "/articles.csv", "/articles.xyz9", "/articles.json/", "/articles.%6Ason"),
        *(
            "/articles%2Ejson",
            "/articles.api",
            "/articles.tar.gz",
            "/articles/.json",
            "/articles/7.json",
            "/articles/7",
        ),
        *(
            "/articles.json%2F",
            "/articles.json%20",
            "/articles.json;x",
            "/articles%20.json",
            "/articles+",
            "/+articles",
        ),
        *(
            "/%20articles",
            "/%01articles",
            "/articles%1F",
            "/articles%7F",
            "/articles%0A",
            "/articles%09",
            "/articles%C2%85",
        ),
        *("/articles%C2%A0", "/%E3%80%80articles", "/articles%E2%80%A8", "/%EF%BB%BFarticles", "/articles%0D%0A"),
        *("/articles%3Fx", "/articles%23x", "/articles%253Fx", "/articles%3F/../x", "/articles%23/7", "/articles;x=1"),
        *("/art%C4%B1cles", "/ART%C4%B0CLES", "/article%C5%BF", "/%EF%BD%81rticles", "/articl%E2%85%87s", "/ARTICLES"),
    ],
)
def test_no_spelling_of_a_resource_lets_somebody_else_write(method, path):
    """A user who is no editor gets 403, or 400 where the path is unclear; never a handler."""
    assert outcome(SYSTEM, Ask(method, path, USER)) in ("missing_group", "ambiguous_path")
    assert what_servers_see(method, path, {}) == set()


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/articles", "/articles"),
        ("/articles/7", "/articles/7"),
        ("/articles/7.json", "/articles/7"),
        ("/articles/", "/articles"),
    ],
)
def test_what_the_rule_takes_arrives(path, resource):
    """The accepting half: reading is for everyone, also in a format of one's choice below the rule's path."""
    assert ("GET", resource) in what_servers_see("GET", path, {})


@pytest.mark.parametrize(
    "path",
    ["/app.css", "/v1.2/x", "/a+b", "/a.b.c", "/x/report.pdf", "/q+a/1", "/%20x", "/caf%C3%A9", "/x%3Fy", "/.env"],
)
def test_odd_paths_beside_no_such_rule_are_forwarded(path):
    """Strictness costs nothing where no other rule is near."""
    assert outcome(SYSTEM, Ask("GET", path, USER)) == "allowed"


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        *(
            ("/favicon.ico", "/favicon.ico"),
            ("/robots.txt", "/robots.txt"),
            ("/v1.2/*", "/v1.2"),
            ("/v1.2/*", "/v1.2/x"),
        ),
        *(("/c++", "/c++"), ("/a+b/*", "/a+b/c%2Fd"), ("/openapi.v3.json", "/openapi.v3.json"), ("/.env", "/.env")),
        *(("/Straße.html", "/Stra%C3%9Fe.html"), ("/ﬁle/*", "/%EF%AC%81le/x")),
    ],
)
def test_a_rule_that_spells_a_name_is_met_by_it(pattern, path):
    """Who writes a rule for /favicon.ico means that very name: it is not taken for a format of /favicon."""
    system = gateway_under({"routes": [{"path": pattern, "allow": "anyone"}]})
    assert outcome(system, Ask("GET", path)) == "allowed"


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        *(
            ("/x;v=1", "/x;v=1"),
            ("/x;v=1/*", "/x;v=1/y"),
            ("/a./*", "/a./x"),
            ("/a/", "/a/"),
            ("/a ", "/a%20"),
            ("/ a/*", "/%20a/x"),
        ),
    ],
)
def test_a_pattern_with_what_servers_drop_is_met_by_nothing(pattern, path):
    """To many servers it names something else; ``policy.py check`` says so."""
    assert (
        outcome(gateway_under({"routes": [{"path": pattern, "allow": "anyone"}]}), Ask("GET", path, USER))
        == "ambiguous_path"
    )


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        *(("/favicon.ico", "/favicon"), ("/favicon.ico", "/favicon.png"), ("/favicon.ico", "/favicon.ico.json")),
        *(("/favicon.ico", "/FAVICON.ico"), ("/v1.2/*", "/v1"), ("/v1.2/*", "/v1.2.json"), ("/c++", "/c%20%20")),
    ],
)
def test_nothing_else_is_met_by_it(pattern, path):
    """The refusing half: its neighbours fall to their own rule, or are unclear."""
    system = gateway_under({"routes": [{"path": pattern, "allow": "anyone"}]})
    assert outcome(system, Ask("GET", path)) == "missing_token"


PIECES = st.sampled_from(
    [
        *(
            "articles",
            "admin",
            "ARTICLES",
            "7",
            "x",
            "/",
            "/",
            "/",
            ".json",
            ".csv",
            ".a.b",
            ".",
            "+",
            "%20",
            "%0A",
            "%09",
        ),
        *(
            "%01",
            "%7F",
            "%C2%A0",
            "%3F",
            "%23",
            "%253F",
            ";",
            ";x",
            "%3B",
            "%2F",
            "%252F",
            "%2E",
            "%61",
            "\u0131",
            "\u0130",
            "\u017f",
            "\uff41",
        ),
        *("%C4%B1", "%E2%85%87", "articl", "es", "adm", "in", "%EF%BB%BF"),
    ]
)


@given(
    path=st.lists(PIECES, min_size=1, max_size=6).map(lambda pieces: "/" + "".join(pieces)),
    method=st.sampled_from(["GET", "POST", "DELETE"]),
)
@example(path="/articles.json", method="POST")
@settings(max_examples=600, deadline=None)
def test_whatever_is_forwarded_reaches_only_what_its_sender_may_ask_for(path, method):
    """The resource as any server reads it, asked for by its plain name, would have been allowed as well."""
    for seen_method, resource in what_servers_see(method, path, {}):
        plain = "/".join(resource.split("/")[:2])
        assert outcome(SYSTEM, Ask(seen_method, plain, USER)) == "allowed"


# --- headers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *(
            "X-HTTP-Method-Override",
            "X-HTTP-Method",
            "X-Method-Override",
            "x-http-method-override",
            "X_HTTP_METHOD_OVERRIDE",
        ),
        *("X.HTTP.Method.Override", "x-override-method", "X-Original-Method", "X-Forwarded-Method"),
    ],
)
def test_no_header_makes_another_method_of_a_post(name):
    """Express with method-override deleted the item once: what is judged is the method that came."""
    policy = {
        "routes": [
            {"path": "/articles/*", "methods": ["GET", "POST"]},
            {"path": "/articles/*", "methods": ["DELETE"], "groups": ["admins"]},
        ]
    }
    system = gateway_under(policy)
    assert outcome(system, Ask("DELETE", "/articles/7", USER)) == "missing_group"
    result = system(method="POST", uri="/articles/7", token=TOKEN, headers={name: "DELETE"})
    sent = {key: items[0]["value"] for key, items in result["headers"].items()}
    assert {reader("POST", result["uri"], sent) for reader in READERS} - {None} == {("POST", "/articles/7")}
    assert "DELETE" not in str(result["headers"])


@pytest.mark.parametrize(
    "name", ["SCRIPT_NAME", "script_name", "Script_Name", "SCRIPT-NAME", "X-Script-Name", "PATH_INFO", "Path-Info"]
)
def test_no_header_cuts_a_piece_off_the_path(name):
    """Gunicorn served /articles for /public/articles."""
    system = gateway_under(
        {"routes": [{"path": "/public/*", "allow": "anyone"}, {"path": "/articles/*", "groups": ["editors"]}]}
    )
    result = system(uri="/public/articles", headers={name: "/public"})
    sent = {key: items[0]["value"] for key, items in result["headers"].items()}
    assert [seen for reader in READERS if (seen := reader("GET", result["uri"], sent))] == []
    assert "/public" not in [item["value"] for items in result["headers"].values() for item in items]


# RFC 9110 §5.6.2: all that a field name may hold.
TCHAR = "!#$%&'*+-.^_`|~" + string.digits + string.ascii_letters
# What a server takes from a proxy, in the names that it makes of headers.
OURS = tuple(
    map(cgi, ("x-cognito-", "x-amz-", "authorization", "forwarded", "x-forwarded-host", "script-name", "path-info"))
)
LIKE_OURS = st.sampled_from(
    ["x-cognito-groups", "x-cognito-sub", "x-amz-date", "script-name", "x-forwarded-host", "forwarded"]
)


@st.composite
def look_alikes(draw):
    """A name of ours, with any of its hyphens replaced by any other character that a name may have."""
    name = draw(LIKE_OURS)
    marks = st.sampled_from([mark for mark in TCHAR if not mark.isalnum()])
    return "".join(draw(marks) if mark == "-" else mark for mark in name)


@given(name=st.one_of(st.text(TCHAR, min_size=1, max_size=24), look_alikes()), claims=st.sampled_from([None, USER]))
@example(name="x.cognito.groups", claims=USER)
@example(name="X~Cognito~Groups", claims=None)
@example(name="Content-Length", claims=None)
@example(name="Transfer-Encoding", claims=None)
@settings(max_examples=500, deadline=None)
def test_no_name_that_http_allows_is_read_as_one_of_ours(name, claims):
    """One name per header, for every mapping of names to variables: what the gateway states, it alone states."""
    system = gateway_under({"routes": [{"path": "/public/*", "allow": "anyone"}]})
    token = None if claims is None else TOKEN
    plain = system(uri="/public/x", token=token)["headers"]
    # The event's keys are in lower case.
    result = system(uri="/public/x", token=token, headers={name.lower(): "forged"})
    if not is_forwarded(result):  # a body is announced that the edge cannot see
        assert name.lower() in ("content-length", "transfer-encoding")
        return
    sent = result["headers"]
    forged = [key for key, items in sent.items() if any(item["value"] == "forged" for item in items)]
    for key in forged:
        assert key == name.lower()
        assert set(key) <= set(string.ascii_lowercase + string.digits + "-")
        for read in NAME_READERS:
            # CloudFront shows no function a viewer's X-Amz-Cf-*, and none may touch one.
            assert not read(key).startswith(OURS) or key.startswith("x-amz-cf-")
            assert read(key) not in {read(other) for other in plain if other != key}
    if not forged and name.lower() not in plain:
        assert is_dropped(name)


@pytest.mark.parametrize("separator", [mark for mark in TCHAR if not mark.isalnum() and mark != "-"])
@pytest.mark.parametrize("name", ["x-cognito-groups", "x-request-id", "accept-language", "cloudfront-viewer-address"])
def test_a_name_with_any_character_but_letters_digits_and_hyphens_ends_at_the_edge(name, separator):
    """Nginx's rule; the same name in its one spelling goes on, unless it is ours."""
    assert is_dropped(name.replace("-", separator))
    assert is_dropped(name.upper().replace("-", separator, 1))
    assert is_dropped(name) == name.startswith("x-cognito-")


def test_a_refusal_of_an_odd_path_says_what_to_mind():
    """The person who meets it has typed ``/admin.json``."""
    result = SYSTEM(uri="/admin.json", token=TOKEN)
    assert problem_of(result)["code"] == "ambiguous_path"
    assert "suffix such as '.json'" in problem_of(result)["detail"]
