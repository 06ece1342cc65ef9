"""CloudWatch's filter patterns for JSON lines, as far as infra/example/alarms.py uses them: what matches, and which metric it counts.

Read from the documentation, not from what our patterns need: a field that is missing or null equals nothing, numbers equal
numbers and never strings, ``*`` in a quoted string stands for any run of characters, ``&&`` binds closer than ``||``, a line
that is no JSON object matches nothing. Whatever is not implemented is an error and never "no match".

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntaxForMetricFilters.html
"""

import json
import re

_TOKEN = re.compile(
    r"""\s*(?:(\|\||&&|\(|\)|!=|<=|>=|=|<|>)|("(?:[^"\\]|\\.)*")|(\$(?:\.\w+)+)|(-?\d+(?:\.\d+)?)|(\S+))"""
)


class UnknownSyntaxError(Exception):
    """The pattern has something that this module does not implement."""


def matches(pattern, line):
    """Say whether a log line matches a pattern such as ``{ ($.a = "x*") && ($.b.c = 5) }``."""
    text = pattern.strip()
    if not (text.startswith("{") and text.endswith("}")):
        raise UnknownSyntaxError(f"no JSON pattern: {pattern}")
    parser = _Parser(text[1:-1])
    condition = parser.either()
    parser.expect_end()
    try:
        document = json.loads(line)
    except ValueError:
        return False
    return isinstance(document, dict) and condition(document)


def field(selector, document):
    """Return what a selector such as ``$.cache.keys`` stands for in a line; None where there is nothing."""
    for name in selector.removeprefix("$.").split("."):
        document = document.get(name) if isinstance(document, dict) else None
    return document


def counted(filter_properties, line):
    """Return what an ``AWS::Logs::MetricFilter`` publishes for a line: (name, value, dimensions), or None.

    A line without the field that a dimension names publishes nothing under that dimension.
    """
    if not matches(filter_properties["FilterPattern"], line):
        return None
    (transformation,) = filter_properties["MetricTransformations"]
    document = json.loads(line)
    dimensions = {one["Key"]: field(one["Value"], document) for one in transformation.get("Dimensions", [])}
    named = {key: value for key, value in dimensions.items() if value is not None}
    return transformation["MetricName"], float(transformation["MetricValue"]), named


class _Parser:
    def __init__(self, text):
        self._tokens = [next(filter(None, found)) for found in _TOKEN.findall(text)]
        self._next = 0

    def _peek(self):
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self):
        token = self._peek()
        if token is None:
            raise UnknownSyntaxError("the pattern ends too early")
        self._next += 1
        return token

    def expect_end(self):
        if self._peek() is not None:
            raise UnknownSyntaxError(f"left over: {self._peek()}")

    def either(self):
        parts = [self._both()]
        while self._peek() == "||":
            self._take()
            parts.append(self._both())
        return lambda document: any(part(document) for part in parts)

    def _both(self):
        parts = [self._one()]
        while self._peek() == "&&":
            self._take()
            parts.append(self._one())
        return lambda document: all(part(document) for part in parts)

    def _one(self):
        if self._peek() == "(":
            self._take()
            inside = self.either()
            if self._take() != ")":
                raise UnknownSyntaxError("a bracket that is never closed")
            return inside
        selector, operator, value = self._take(), self._take(), self._take()
        if not selector.startswith("$.") or operator != "=":
            raise UnknownSyntaxError(f"{selector} {operator} {value}")
        if value.startswith('"'):
            pattern = ".*".join(re.escape(part) for part in json.loads(value).split("*"))
            return lambda document: (
                isinstance(found := field(selector, document), str) and bool(re.fullmatch(pattern, found, re.DOTALL))
            )
        if not re.fullmatch(r"-?\d+(?:\.\d+)?", value):
            raise UnknownSyntaxError(f"{selector} {operator} {value}")
        return lambda document: (
            isinstance(found := field(selector, document), int | float)
            and not isinstance(found, bool)
            and found == float(value)
        )
