"""How servers behind a function read a request: whom it is from, which method it has and which resource it is about.

Each reader does what the named software was seen to do with raw requests over a socket (Django REST framework 3.18, Express
5.3 with method-override 3.0, Starlette 1.10, gunicorn 27.0, php-fpm 8.2) or what its documentation says; none shares code
with the edge. A resource is named by its plain path, as a rule of the policy would name it.
"""

import re
from collections.abc import Callable
from urllib.parse import unquote, unquote_to_bytes

# The resources of every application here: two lists, with one item each at any id, and one page.
COLLECTIONS = ("articles", "admin")

Headers = dict[str, str]
Reader = Callable[[str, str, Headers], tuple[str, str] | None]


def django_rest_framework(method: str, path: str, _headers: Headers) -> tuple[str, str] | None:
    """``DefaultRouter(trailing_slash=False)``: the path decoded once; ``.format`` at its end, and a slash after that."""
    decoded = unquote_to_bytes(path).decode("utf-8", "replace")
    if re.match(r"^/(\.[a-z0-9]+/?)?$", decoded):
        return method, "/"
    return _routed(method, decoded, r"^/NAME(?:\.[a-z0-9]+/?)?$", r"^/NAME/([^/.]+)(?:\.[a-z0-9]+/?)?$")


def rails(method: str, path: str, _headers: Headers) -> tuple[str, str] | None:
    """``resources``, with its optional ``(.:format)``: any characters but dot, slash and question mark."""
    decoded = unquote(re.sub("/+", "/", path))
    return _routed(method, decoded, r"/NAME(?:\.[^./?]+)?/?\Z", r"/NAME/([^./?]+)(?:\.[^./?]+)?/?\Z")


def express(method: str, path: str, headers: Headers) -> tuple[str, str] | None:
    """Routes match the raw path in any case, with or without a final slash; method-override turns a POST into what it says."""
    if method == "POST":
        for name in ("x-http-method-override", "x-http-method", "x-method-override"):
            override = headers.get(name, "").split(",")[0].strip().upper()
            if override in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"):
                method = override
    return _routed(method, path, r"(?i)/NAME/?\Z", r"(?i)/NAME/([^/]+)/?\Z")


def starlette(method: str, path: str, _headers: Headers) -> tuple[str, str] | None:
    """``re.match`` with ``$``, which also stands before a final line feed."""
    return _routed(method, unquote(path), r"^/NAME$", r"^/NAME/([^/]+)$")


def _routed(method: str, path: str, collection: str, item: str) -> tuple[str, str] | None:
    """Find the resource by a router's expressions for a list and for an item of it."""
    for name in COLLECTIONS:
        if re.match(collection.replace("NAME", name), path):
            return method, f"/{name}"
        if found := re.match(item.replace("NAME", name), path):
            return method, f"/{name}/{unquote(found[1])}"
    return None


def spring(method: str, path: str, _headers: Headers) -> tuple[str, str] | None:
    """Parameters dropped, names trimmed as Java does, compared by ``equalsIgnoreCase``, any suffix taken for a format."""
    names = [unquote(name.partition(";")[0]).strip("".join(map(chr, range(33)))) for name in path.split("/") if name]
    for collection in COLLECTIONS:
        if names and _equals_ignore_case(names[0].partition(".")[0] if len(names) == 1 else names[0], collection):
            return method, "/" + "/".join([collection, *names[1:]])
    return None


def _equals_ignore_case(one: str, other: str) -> bool:
    """Java's: equal by upper case, or by the lower case of that, character by character."""
    return len(one) == len(other) and all(
        a == b or a.upper() == b.upper() or a.upper().lower() == b.upper().lower() or (a in "İı" and b in "iI")
        for a, b in zip(one, other, strict=True)
    )


def url_builder(method: str, path: str, _headers: Headers) -> tuple[str, str] | None:
    """Who builds a URL of ``requestContext.http.path``, which Lambda decodes: it ends at ``?`` or ``#``, and ``+`` is a space."""
    decoded = re.split(r"[?#]", unquote(path))[0].replace("+", " ")
    names = [name.strip() for name in decoded.split("/") if name.strip()]
    return (method, "/" + "/".join(names)) if names and names[0] in COLLECTIONS else None


def windows(method: str, path: str, _headers: Headers) -> tuple[str, str] | None:
    """File names as Windows compares them: in any case, without dots and spaces at their end."""
    names = [name.rstrip(". ").lower() for name in unquote(path).split("/") if name.rstrip(". ")]
    return (method, "/" + "/".join(names)) if names and names[0] in COLLECTIONS else None


def gunicorn(method: str, path: str, headers: Headers) -> tuple[str, str] | None:
    """Cuts a request header SCRIPT_NAME off the path, when it comes from the same machine; then as Starlette."""
    script = {name.upper(): value for name, value in headers.items()}.get("SCRIPT_NAME", "")
    return starlette(method, path.removeprefix(script) if script else path, headers)


READERS: tuple[Reader, ...] = (
    django_rest_framework,
    rails,
    express,
    starlette,
    spring,
    url_builder,
    windows,
    gunicorn,
)


# --- names of headers -----------------------------------------------------------------------------------------------


def wsgi(name: str) -> str:
    """Return the variable that PEP 3333 makes of a header's name."""
    return name.upper().replace("-", "_")


def php(name: str) -> str:
    """Return the key in ``$_SERVER`` behind Bref: php-fpm turns dots and spaces into ``_`` as well."""
    return re.sub(r"[-. ]", "_", name.upper())


def cgi(name: str) -> str:
    """Return lighttpd's variable: ``_`` for whatever is no letter or digit."""
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


NAME_READERS: tuple[Callable[[str], str], ...] = (wsgi, php, cgi)
