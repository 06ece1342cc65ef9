"""``make soak``: 200,000 requests with 5,000 distinct tokens in one process; memory has to stay where it was.

SSM and the key endpoint are fakes on loopback, the rest is the gateway as the handler builds it: refreshes, rotations of
the policy, unknown ``kid``s and bad tokens included. Resident memory after the first 20,000 requests may grow by less than
2 %. Prints figures; the exit code is 1 if it grew more, or if a request ended otherwise than expected.
"""

import argparse
import gc
import os
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))


from tests.support.events import make_event
from tests.support.fake_aws import FakeAws
from tests.support.gateways import make_system
from tests.support.keys_and_tokens import NOW, Pool, compact

WARM_UP = 20_000
MOST_GROWTH = 0.02
# Requests between two looks at memory.
STEP = 20_000
# How fast the gateway's clock goes: 200,000 requests are five and a half hours, so that everything is refreshed often.
SECONDS_A_REQUEST = 0.1


def resident_bytes() -> int:
    """Return the process's resident memory; garbage that waits for the collector is no leak."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main(argv: list[str] | None = None) -> int:
    """Run the soak, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200_000, help="how many (default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=5_000, help="distinct good tokens (default: %(default)s)")
    options = parser.parse_args(argv)

    pool = Pool()
    started = time.monotonic()
    end = NOW + int(options.requests * SECONDS_A_REQUEST) + 3_600
    tokens = [pool.id_token(sub=f"user-{number}", exp=end, **{"custom:n": number}) for number in range(options.tokens)]
    unknown = compact(pool.key("unknown"), {"kid": "unknown", "alg": "RS256"}, pool.id_claims(exp=end))
    bad = [unknown, pool.id_token(exp=NOW - 1), tokens[0][:-1] + "!", tokens[1].rpartition(".")[0], "x" * 20_000]
    print(f"soak: {options.tokens} tokens signed in {time.monotonic() - started:.1f} s", flush=True)

    fake = FakeAws(pool)
    os.environ.update({"AWS_ENDPOINT_URL": fake.url, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "x"})
    system = make_system()
    answers: Counter[str] = Counter()
    baseline = used = 0
    unexpected = 0
    started = time.monotonic()
    try:
        for number in range(options.requests):
            now = NOW + number * SECONDS_A_REQUEST
            is_bad = number % 10 == 9
            token = bad[number // 10 % len(bad)] if is_bad else tokens[number * 7_919 % len(tokens)]
            uri = f"/api/item/{number % 3_000}/caf\u00e9%2F{number % 7}"
            event = make_event(method="POST", uri=uri, querystring=f"n={number}", token=token, body=b"x" * 1_024)
            status = system(event, now).get("status", "sent on")
            system.lines.clear()
            answers[status] += 1
            unexpected += status != ("401" if is_bad else "sent on")
            if number % 50_000 == 25_000:
                fake.policy = {"version": 1, "leeway_s": number // 50_000}
            fake.ssm.requests.clear()
            fake.cognito.requests.clear()
            if (number + 1) % STEP == 0:
                used = resident_bytes()
                if number + 1 == WARM_UP:
                    baseline = used
                growth = f"{used / baseline - 1:+.2%}" if baseline else ""
                print(f"soak: {number + 1:>7} requests, {used / 2**20:6.2f} MiB resident {growth}", flush=True)
    finally:
        fake.close()
    seconds = time.monotonic() - started
    growth_share = used / baseline - 1 if baseline else 1.0
    print(
        f"soak: {options.requests / seconds:.0f} requests/s, answers {dict(answers)}, {unexpected} unexpected; "
        f"{fake.ssm.calls} reads of parameters, {fake.cognito.calls} of keys; growth after {WARM_UP}: {growth_share:+.2%} "
        f"(limit {MOST_GROWTH:.0%})"
    )
    return 0 if growth_share < MOST_GROWTH and not unexpected else 1


if __name__ == "__main__":
    sys.exit(main())
