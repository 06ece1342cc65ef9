"""The names that the gateway and the sign-in front answer to; everything else gets CloudFront's 403.

A page on the internet can rebind its own host name to 127.0.0.1 (DNS rebinding). The browser then takes the gateway for the
page's own server and lets the page read everything. Its requests carry that name in ``Host``, and are refused.
"""

import re
from collections.abc import Iterable

_LOOPBACK_NAMES = ("127.0.0.1", "localhost")
_HTTP_PORT = 80
_HOST_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))*")
_MAX_HOST_NAME_CHARS = 253


def is_host_name(text: str) -> bool:
    """Say whether a text is a host name in lower case: labels and dots, without scheme, port, path or final dot.

    >>> is_host_name("my.test"), is_host_name("http://my.test"), is_host_name("my.test:80")
    (True, False, False)
    """
    return len(text) <= _MAX_HOST_NAME_CHARS and _HOST_NAME.fullmatch(text) is not None


def answers_to(host: bytes, port: int, names: Iterable[str]) -> bool:
    """Say whether a server on *port* answers a request with this ``Host``.

    A loopback name must have the port, as browsers send it. Other names may leave it out, since they are also the names
    of the real gateway. ``*.example.com`` stands for every name below ``example.com``, as in CloudFront's alternate names.

    Args:
        host: The header's value.
        port: The server's.
        names: What it is known as besides the loopback names, in lower case.
    """
    name, colon, given = host.decode("latin-1").lower().partition(":")
    if colon and given != str(port):
        return False
    if name in _LOOPBACK_NAMES:
        return bool(colon) or port == _HTTP_PORT
    return any(name == known or (known.startswith("*.") and name.endswith(known[1:])) for known in names)
