"""Checks of the doctor: calls without a token, with one, and past the gateway; and what a refusal of AWS's own means."""

import contextlib
import shlex
from collections.abc import Iterator
from typing import Final

import requests
from cognito_edge.sigv4 import EMPTY_SHA256, canonical_headers, canonical_request

from cognito_edge_cli.doctor.canonical import canonical_of, compared, masked_text
from cognito_edge_cli.doctor.refusals import fix_for, refusals
from cognito_edge_cli.doctor.report import Probe, Verdict, failed, passed, warned
from cognito_edge_cli.doctor.system import Answer, System, UnseenError, url_region

from .parameters import trial_of

# Where to look for the cause of what the caller cannot help.
_CAUSES: Final = {
    "keys_unavailable": "keys.readable, logs.errors",
    "configuration_unavailable": "parameters.*, policy.*, edge.parameters, clock.edge, logs.errors",
    "credentials_unavailable": "edge.trust",
    "internal_error": "logs.errors",
}
# What CloudFront says of its own troubles with the edge function.
# Source: CloudFront Developer Guide, lambda-edge-testing-debugging.html
_EDGE_TROUBLES: Final = {
    "LambdaValidationError": "the edge function's answer broke a rule of CloudFront's",
    "LambdaExecutionError": "the edge function failed or ran out of time",
    "LambdaLimitExceeded": "the edge function is throttled: the account's concurrency in that region is used up",
    "LambdaThrottledError": "the edge function is throttled: the account's concurrency in that region is used up",
}


def _without_token(system: System) -> Iterator[Verdict]:
    answer = system.call_gateway(with_token=False)
    expected = _expected_code(system, None)
    if expected == "":
        if answer.status < 400:
            yield passed(f"{answer.status}: a rule of the policy makes {system.path} public (see policy.rules)")
        else:
            yield _refused(system, answer)
        return
    code = answer.problem.get("code")
    if (answer.status, code) != (401, "missing_token"):
        if answer.status < 400:
            yield failed(
                f"{answer.status}: let in without a token",
                "look at behavior.function and behavior.caching; if both are right, the policy was changed within the"
                " last minute, see policy.rules",
            )
        else:
            yield _refused(system, answer)
        return
    if lacks := list(_lacks(answer)):
        yield failed(
            f"401 missing_token, but {'; '.join(lacks)}",
            "something between the edge function and here changes answers: a response headers policy, a CloudFront function,"
            " a proxy of this network",
        )
    else:
        yield passed("401 missing_token, with its challenge, as problem+json, not to be stored")


def _lacks(answer: Answer) -> Iterator[str]:
    challenge = answer.headers.get("www-authenticate", "")
    if not challenge.startswith("Bearer "):
        yield f"WWW-Authenticate is {challenge[:60]!r}, not a Bearer challenge"
    if not answer.headers.get("content-type", "").startswith("application/problem+json"):
        yield f"Content-Type is {answer.headers.get('content-type')!r}, not application/problem+json"
    if "no-store" not in answer.headers.get("cache-control", ""):
        yield f"Cache-Control is {answer.headers.get('cache-control')!r}, without no-store"


def _expected_code(system: System, token: str | None) -> str | None:
    """Return what the rules say here: a refusal's code, "" for let in, None if it cannot be told."""
    try:
        trial = trial_of(system, token)
    except (UnseenError, requests.RequestException):
        return None
    return trial.code or ""


def _with_token(system: System) -> Iterator[Verdict]:
    system.token  # noqa: B018 - raises without a token
    answer = system.call_gateway(with_token=True)
    if _is_backends(answer):
        if answer.status >= 500:
            yield warned(
                f"{answer.status}, the backend's own answer: gateway and signature are right, the function failed",
                f"its log: {_backend_log(system)}",
            )
        else:
            yield passed(f"{answer.status}, from the backend: token, signature and permissions are right")
        return
    verdict = _refused(system, answer)
    code = str(answer.problem.get("code", ""))
    expected = _expected_code(system, system.token)
    if code in refusals() and code not in _CAUSES and expected is not None and expected != code:
        note = f"here the same token, by the parameters as they are now, is {expected or 'let in'}"
        verdict = failed(
            f"{verdict.found}\n{note}: that edge still has other parameters or keys (up to 72 s and an hour old), or"
            " another time (clock.edge)",
            verdict.fix,
        )
    yield verdict


def _is_backends(answer: Answer) -> bool:
    """Say whether the function behind the gateway answered, and not something on the way."""
    if answer.headers.get("x-amzn-errortype") or answer.headers.get("x-cache", "").startswith("Lambda"):
        return False
    if answer.status == 403 and {"Message", "message"} & set(answer.problem):
        return False
    if answer.headers.get("server", "") == "AmazonS3" or "x-amz-bucket-region" in answer.headers:
        return False
    known = refusals().get(str(answer.problem.get("code", "")))
    is_gateways = known is not None and answer.headers.get("content-type", "").startswith("application/problem+json")
    return not is_gateways and not (answer.status in (502, 503, 504) and "x-amzn-requestid" not in answer.headers)


def _backend_log(system: System) -> str:
    names = [url.name.partition(":")[0] for url in system.function_urls]
    region = system.function_urls[0].region if names else "us-east-1"
    return system.aws(f"logs tail /aws/lambda/{names[0] if names else 'FUNCTION'} --since 10m", region)


def _refused(system: System, answer: Answer) -> Verdict:
    """Name the cause of an answer that is not the backend's."""
    code = str(answer.problem.get("code", ""))
    if code in refusals():
        return _gateways_refusal(system, answer, code)
    kind = answer.headers.get("x-amzn-errortype", "").partition(":")[0]
    message = str(answer.problem.get("message") or answer.problem.get("Message") or "")
    if answer.status == 403 and (kind or message):
        return _lambdas_refusal(system, answer, kind, message)
    cache = answer.headers.get("x-cache", "").partition(" ")[0]
    if cache in _EDGE_TROUBLES:
        fix = f"its last words: {system.command('logs --all --since 10m')}"
        if "throttled" in _EDGE_TROUBLES[cache]:
            fix += "\nand have the quota 'Concurrent executions' of Lambda raised in the region where it was (logs.regions)"
        return failed(
            f"{answer.status} {cache}: {_EDGE_TROUBLES[cache]} (request {answer.request_id or 'unknown'})", fix
        )
    server = answer.headers.get("server", "unknown")
    return failed(
        f"{answer.status} from {server}, without a code of the gateway's: {cache or 'no x-cache'} (request"
        f" {answer.request_id or 'unknown'})",
        f"does {system.path} fall to a behavior with the edge function (behavior.function)? Is the distribution switched on"
        " (distribution.enabled)? Else choose a path of your API with --path",
    )


def _gateways_refusal(system: System, answer: Answer, code: str) -> Verdict:
    detail = str(answer.problem.get("detail", ""))
    found = f"{answer.status} {code}: {detail} (request {answer.problem.get('request_id') or answer.request_id})"
    line = system.log_line(answer.request_id)
    if reason := line.get("reason"):
        found += f"\nthe edge's log: {reason}"
    fix = fix_for(code)
    if code in _CAUSES:
        fix += f"\nthe cause is at the gateway's side: see {_CAUSES[code]}"
        if system.stack.is_local:
            fix += "; a fault made on purpose: cognito-edge fault show"
        if answer.request_id:
            fix += "\n" + system.command(f"logs --request-id={shlex.quote(answer.request_id)}")
    return failed(found, fix)


def _lambdas_refusal(system: System, answer: Answer, kind: str, message: str) -> Verdict:
    """Explain a 403 of Lambda's, which says little by itself."""
    said = f"{answer.status} {kind or 'Forbidden'} of Lambda's at the function URL: {message.partition(chr(10))[0]}"
    if "not yet current" in message or "Signature expired" in message:
        return failed(
            f"{said}\nthe signature was made by a clock that is more than five minutes wrong",
            "see clock.edge; AWS sets the clocks of its own edges"
            + ("; here: cognito-edge fault clock 0" if system.stack.is_local else ""),
        )
    if "signature" in message.lower():
        return failed(
            f"{said}\n{_difference(system, answer, message)}",
            "what arrived is not what was signed: see behavior.body and behavior.forwarding; a body with a wrong"
            " x-amz-content-sha256 is refused in the same way. If both are right, report it with the lines above",
        )
    return failed(
        f"{said}\nthe signature was right, or missing; a permission is not there",
        "see url.permissions, url.signer, and behavior.function (an unsigned request gets the same answer)",
    )


def _difference(system: System, answer: Answer, message: str) -> str:
    if theirs := canonical_of(message):
        return compared(theirs, _ours(system, theirs))
    if system.stack.is_local:
        try:
            record = system.control("trace.json", "/request", {"id": answer.request_id})
        except UnseenError:
            record = {}
        if why := str((record.get("door") or {}).get("why", "")):
            return masked_text(why.splitlines())
        return "the console of `make run` shows both canonical requests side by side"
    return "AWS did not send its canonical request; docs/unknowns.md has commands that find out where the two differ"


def _ours(system: System, theirs: list[str]) -> list[str]:
    """Return the canonical request of the same call as the edge would sign it, with AWS's own values of what differs by call."""
    names = theirs[-2].split(";") if len(theirs) > 2 else []
    arrived = dict(line.partition(":")[::2] for line in theirs if ":" in line)
    trial = trial_of(system, system.token)
    host = next((url.host for url in system.function_urls), "")
    signed = {**arrived, **trial.headers, "host": arrived.get("host") if url_region(arrived.get("host", "")) else host}
    headers = canonical_headers([(name, str(signed.get(name, ""))) for name in names])
    path, _, query = system.path.partition("?")
    return canonical_request("GET", path, query, headers, EMPTY_SHA256).split("\n")


def _uncached(system: System) -> Iterator[Verdict]:
    answers = [system.call_gateway(with_token=False)]
    with contextlib.suppress(UnseenError):  # one answer can tell as well
        answers.append(system.call_gateway(with_token=True))
    for answer in answers:
        cache = answer.headers.get("x-cache", "")
        if "age" in answer.headers or "hit" in cache.lower():
            yield failed(
                f"{answer.status} came from a cache (X-Cache {cache!r}, Age {answer.headers.get('age', 'none')}): answers of"
                " one user go to others, and the token is not looked at",
                "see behavior.caching; then empty the cache: "
                + system.aws(
                    f"cloudfront create-invalidation --paths '/*' --distribution-id {system.output('DistributionId')}",
                    "us-east-1",
                ),
            )
            return
    yield passed("no Age, and no hit in X-Cache")


def _direct(system: System) -> Iterator[Verdict]:
    addresses = system.local_outputs.get("function_urls", {})
    for url in system.function_urls:
        name = next((key for key, value in system.outputs.items() if url.host in value), "")
        address = addresses.get(name.removeprefix("FunctionUrl").lower()) or f"https://{url.host}/"
        if system.stack.is_local and url_region(address.split("/")[2]) is not None:
            raise UnseenError(f"outputs.json does not say where {url.name} is", "stop `make run` and start it again")
        answer = system.fetch(address.rstrip("/") + system.path)
        if answer.status == 403 and not answer.problem.get("code"):
            yield passed("403: this way past the gateway is closed", subject=url.name)
        else:
            yield failed(
                f"{answer.status} for a request without a signature: whoever knows the address walks around the gateway",
                "see url.auth and url.open",
                subject=url.name,
            )


def _faults(system: System) -> Iterator[Verdict]:
    if not system.stack.is_local:
        return
    knobs = system.control("control.json", "/faults")
    wrong = [f"{name} {value}" for name, value in knobs.items() if name != "calls" and value not in ("ok", 0, 0.0)]
    if wrong:
        yield warned(f"faults made on purpose: {', '.join(wrong)}", "cognito-edge fault reset")
    else:
        yield passed("none")


PROBES: Final = (
    Probe("gateway.missing-token", "401 missing_token with a Bearer challenge, as problem+json", _without_token),
    Probe("gateway.call", "an answer of the backend to a call with the token", _with_token),
    Probe("gateway.uncached", "answers that come from no cache", _uncached),
    Probe("url.direct", "403 for a call to the function URL without a signature", _direct),
    Probe("local.faults", "no fault turned on with `cognito-edge fault`", _faults),
)
