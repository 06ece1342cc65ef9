"""Runs one Python contestant in a process of its own: ``python -I -S child.py MODE MODULE FOLDER...``.

Standard library and the named folders only, as on Lambda. MODE is ``cold`` (one request, then exit), ``worker`` (commands
on standard input, one JSON object a line) or ``lambda`` (Lambda's own runtime client).
"""
# ruff: noqa: E402, PLC0415, PTH123  what is imported here, and when, is charged to the contestant
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

import time

# Before anything else is imported: the first moment that a contestant can do anything about.
STARTED = time.monotonic_ns()

import sys


def peak_kb():
    """Return the most memory that this process has held, in KB."""
    try:
        # Not getrusage: its ru_maxrss survives exec, so a child would report the size of the process that started it.
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak // 1024 if sys.platform == "darwin" else peak


def resident_kb():
    """Return the memory that this process holds now, in KB; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * 4
    except OSError:
        return 0


def load(module):
    import importlib

    return importlib.import_module(module).handler


def cold(module):
    """Answer the one event on standard input and say when what happened (nanoseconds on the monotonic clock)."""
    event = sys.stdin.buffer.read()
    handler = load(module)
    imported = time.monotonic_ns()
    import json

    result = handler(json.loads(event), None)
    answered = time.monotonic_ns()
    report = {"started": STARTED, "imported": imported, "answered": answered, "peak_kb": peak_kb(), "result": result}
    sys.stdout.write("\n" + json.dumps(report) + "\n")


class Unbuffered:
    """What awslambdaric puts in the place of ``sys.stdout``: every line is written at once."""

    def __init__(self, stream):
        self.stream = stream

    def write(self, text):
        self.stream.write(text)
        self.stream.flush()

    def __getattr__(self, name):
        return getattr(self.stream, name)


def split(batch):
    """Return the quarter that only fills the CPU's caches, and the rest, which is timed."""
    untimed = len(batch) // 4
    return batch[:untimed], batch[untimed:]


class Worker:
    """A handler and what it is asked. Files stay read and the runtime's JSON stays built."""

    def __init__(self, handler):
        from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller

        self.handler = handler
        self.marshaller = LambdaMarshaller()
        self.files = {}

    def obey(self, command):
        raw = self.events(**{name: command[name] for name in ("event", "tokens", "first", "calls")})
        match command["do"]:
            case "answer":
                return {"result": self.handler(self.parse(raw)[0], None)}
            case "profile":
                return {"profile": self.profile(self.parse(raw))}
            case _:
                took = self.with_json(raw) if command["json"] else self.alone(self.parse(raw))
                return {"ns": took / len(split(raw)[1]), "kb": resident_kb(), "peak_kb": peak_kb()}

    def events(self, event, tokens, first, calls):
        """Return events as they arrive: no string in them has been seen, or hashed, before."""
        template, tokens = self.read(event), self.read(tokens).split(b"\n")
        return [
            template.replace(b"@TOKEN@", tokens[number % len(tokens)]).replace(b"@N@", b"%d" % number)
            for number in range(first, first + calls)
        ]

    def read(self, path):
        if path not in self.files:
            with open(path, "rb") as file:
                self.files[path] = file.read()
        return self.files[path]

    def parse(self, raw):
        import json

        return [json.loads(event) for event in raw]

    def alone(self, events):
        handler, (first, events) = self.handler, split(events)
        for event in first:
            handler(event, None)
        start = time.perf_counter_ns()
        for event in events:
            handler(event, None)
        return time.perf_counter_ns() - start

    def with_json(self, raw):
        handler, loads, dumps = self.handler, self.marshaller.unmarshal_request, self.marshaller.marshal_response
        first, raw = split(raw)
        for event in first:
            dumps(handler(loads(event), None))[0].encode()
        start = time.perf_counter_ns()
        for event in raw:
            dumps(handler(loads(event), None))[0].encode()
        return time.perf_counter_ns() - start

    def profile(self, events):
        import cProfile
        import io
        import pstats

        profiler = cProfile.Profile()
        profiler.runcall(self.alone, events)
        text = io.StringIO()
        pstats.Stats(profiler, stream=text).sort_stats("tottime").print_stats(25)
        return text.getvalue()


def worker(module):
    import json
    import os

    answers = os.fdopen(os.dup(1), "w")
    with open(os.devnull, "w") as nowhere:
        sys.stdout = Unbuffered(nowhere)
        server = Worker(load(module))
        for line in sys.stdin:
            answers.write(json.dumps(server.obey(json.loads(line))) + "\n")
            answers.flush()
        sys.stdout = sys.__stdout__


def runtime(module):
    sys.argv[:] = ["awslambdaric", f"{module}.handler"]
    from awslambdaric.__main__ import main

    main(sys.argv)


if __name__ == "__main__":
    mode, name, *folders = sys.argv[1:]
    sys.path[:0] = folders
    {"cold": cold, "worker": worker, "lambda": runtime}[mode](name)
