"""One HTTP request to Cognito: it goes to the URL it names and nowhere else, and its answer is bounded."""

from collections.abc import Mapping

import requests

from cognito_edge_cli.console import ScriptError
from cognito_edge_cli.stack import is_loopback

_TIMEOUT_S = (5, 20)  # connect, read
_MAX_ANSWER_BYTES = 262_144


def exchange(url: str, form: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """Return status and body of the answer to a GET, or to a POST of *form*.

    Raises:
        ScriptError: No whole answer came, or it is too long.
    """
    try:
        with requests.Session() as session:
            # A proxy has no business between this machine and itself.
            session.trust_env = not is_loopback(url)
            with session.request(
                "GET" if form is None else "POST",
                url,
                data=form,
                headers={"Accept": "application/json"},
                auth=_no_authorization,
                timeout=_TIMEOUT_S,
                # A redirect would carry a code or a refresh token to another place, or let that place name the keys.
                allow_redirects=False,
                stream=True,
            ) as answer:
                return answer.status_code, _body(answer)
    except requests.RequestException as error:
        raise ScriptError(
            f"no answer from {url} ({type(error).__name__}). For --local, is `make run` still running?"
        ) from None


def _body(answer: requests.Response) -> bytes:
    body = b""
    for piece in answer.iter_content(16_384):
        body += piece
        if len(body) > _MAX_ANSWER_BYTES:
            raise ScriptError(f"{answer.url}: expected at most {_MAX_ANSWER_BYTES:,} bytes, got more.")
    return body


def _no_authorization(request: requests.PreparedRequest) -> requests.PreparedRequest:
    # Without it, requests would add what ~/.netrc says for this host.
    return request
