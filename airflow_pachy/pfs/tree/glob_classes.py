"""Character classes of globs: `[a-z]`, `[!a]`, `[^a]`, `[[:digit:]]`. None of them ever matches a slash."""

from __future__ import annotations

import re

from airflow_pachy.errors import InvalidGlob

_POSIX = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "blank": r"\t ", "cntrl": r"\x00-\x1f\x7f", "digit": "0-9",
    "graph": r"!-.0-~", "lower": "a-z", "print": r" -.0-~", "punct": r"!-.:-@\[-`{-~", "space": r"\t\n\v\f\r ",
    "upper": "A-Z", "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f", "ascii": r"\x00-.0-\x7f",
}  # fmt: skip
_NAMED = re.compile(r"\[:(\^?)([a-z]*):\]")


def parse_class(pattern: str, start: int) -> tuple[str, int]:
    """The expression of the class whose `[` ends before `start`, and where it ends. Raises `InvalidGlob`."""
    at = start
    negated = pattern[at : at + 1] in {"!", "^"} and at < len(pattern)
    at += negated
    items = ""
    first = True
    while at < len(pattern) and (pattern[at] != "]" or first):
        named = _NAMED.match(pattern, at)
        if named:
            items += _posix(pattern, named)
            at = named.end()
        else:
            low, at = _character(pattern, at)
            high = low
            if pattern[at : at + 1] == "-" and pattern[at + 1 : at + 2] not in {"", "]"}:
                high, at = _character(pattern, at + 1)
            if high < low:
                raise InvalidGlob(f"{pattern!r} is not a glob pattern: the range {low}-{high} is the wrong way round")
            items += _range(low, high)
        first = False
    if at >= len(pattern):
        raise InvalidGlob(
            f"{pattern!r} is not a glob pattern: the '[' at {start - 1} is never closed; escape it with \\"
        )
    if negated:
        return f"[^/{items}]", at + 1
    return (f"[{items}]" if items else r"[^\s\S]"), at + 1


def _posix(pattern: str, named: re.Match[str]) -> str:
    if named[1] or named[2] not in _POSIX:
        raise InvalidGlob(
            f"{pattern!r} is not a glob pattern: {named[0]} is not a POSIX class; known are {', '.join(sorted(_POSIX))}"
        )
    return _POSIX[named[2]]


def _character(pattern: str, at: int) -> tuple[str, int]:
    if pattern[at] == "\\" and at + 1 < len(pattern):
        return pattern[at + 1], at + 2
    return pattern[at], at + 1


def _range(low: str, high: str) -> str:
    """The range as class items, without the slash."""
    if low <= "/" <= high:
        return (_range(low, ".") if low < "/" else "") + (_range("0", high) if high > "/" else "")
    return _escape(low) if low == high else f"{_escape(low)}-{_escape(high)}"


def _escape(char: str) -> str:
    return f"\\{char}" if char in "\\]^-[&~|" else char
