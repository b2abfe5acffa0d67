"""Parsing of glob patterns into a small tree, and rendering of that as a regular expression."""

from __future__ import annotations

import re
from dataclasses import dataclass

from airflow_pachy.errors import InvalidGlob
from airflow_pachy.pfs.tree.glob_classes import parse_class

SPECIAL = frozenset("*?[{(\\")
_PREFIXED = "?*+@!"
_DEEP = r"[\s\S]*"


@dataclass(frozen=True, slots=True)
class Text:
    """Characters that stand for themselves."""

    text: str


@dataclass(frozen=True, slots=True)
class Wild:
    """A wildcard, as a regular expression."""

    regex: str
    crosses: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """`{a,b}` (kind "{") or a group (kind "@", "?", "*", "+" or "!")."""

    kind: str
    options: tuple[tuple[Part, ...], ...]


Part = Text | Wild | Choice


@dataclass(slots=True)
class Group:
    """Where a group that captures stands in the pattern, and how many groups and braces it is inside of."""

    start: int
    end: int
    depth: int


class Parser:
    """Recursive descent over one pattern; `groups` are in the order of their opening parentheses."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._depth = 0
        self.groups: list[Group] = []

    def parse(self) -> tuple[Part, ...]:
        """The whole pattern; raises `InvalidGlob`."""
        parts = self._sequence("")
        if self._at < len(self._pattern):
            raise self._error(f"unexpected {self._pattern[self._at]!r}")
        return parts

    def _sequence(self, ends: str) -> tuple[Part, ...]:
        parts: list[Part] = []
        while self._at < len(self._pattern) and (char := self._pattern[self._at]) not in ends:
            parts.append(self._part(char))
        return tuple(parts)

    def _part(self, char: str) -> Part:
        start = self._at
        following = self._pattern[start + 1 : start + 2]
        if char in _PREFIXED and following == "(":
            self._at += 2
            return self._choice(start, char, ")", "|")
        if char == "*":
            return self._star()
        self._at += 1
        if char == "(":
            return self._choice(start, "@", ")", "|")
        if char == "{":
            return self._choice(start, "{", "}", ",")
        return self._character(char, following)

    def _character(self, char: str, following: str) -> Part:
        if char == "?":
            return Wild("[^/]")
        if char == "[":
            regex, self._at = parse_class(self._pattern, self._at)
            return Wild(regex)
        if char == "\\":
            if not following:
                raise self._error(r"a \ at the end escapes nothing; write \\ for a backslash")
            self._at += 1
            return Text(following)
        return Text(char)

    def _star(self) -> Part:
        deep = self._pattern.startswith("**", self._at) and self._pattern[self._at + 2 : self._at + 3] != "("
        self._at += 2 if deep else 1
        return Wild(_DEEP, crosses=True) if deep else Wild("[^/]*")

    def _choice(self, start: int, kind: str, close: str, separator: str) -> Choice:
        opened = self._at - 1
        group = Group(start, opened, self._depth)
        if kind != "{":
            self.groups.append(group)
        self._depth += 1
        options = [self._sequence(close + separator)]
        while self._pattern[self._at : self._at + 1] == separator:
            self._at += 1
            options.append(self._sequence(close + separator))
        if self._pattern[self._at : self._at + 1] != close:
            raise self._error(
                f"the {self._pattern[opened]!r} at {opened} is never closed; escape it with \\ if meant as is"
            )
        self._at += 1
        self._depth -= 1
        group.end = self._at
        return Choice(kind, tuple(options))

    def _error(self, reason: str) -> InvalidGlob:
        return InvalidGlob(f"{self._pattern!r} is not a glob pattern: {reason}")


def render(parts: tuple[Part, ...], *, capturing: bool, rest: str = "$") -> str:
    """A regular expression for `parts`; `rest` is what follows up to the end, which a negation has to know."""
    rendered = ""
    for place in range(len(parts) - 1, -1, -1):
        part = parts[place]
        if isinstance(part, Text):
            piece = following = re.escape(part.text)
        elif isinstance(part, Wild):
            piece = following = part.regex
        else:
            piece = _render_choice(part, rest, capturing=capturing)
            following = _render_choice(part, rest, capturing=False) if capturing else piece
        rendered, rest = piece + rendered, following + rest
    return rendered


def _render_choice(choice: Choice, rest: str, *, capturing: bool) -> str:
    repeated = choice.kind in "*+"
    alternatives = "|".join(
        # Inside a repetition what follows is not known, so a negation there looks no further than itself.
        render(option, capturing=capturing, rest="" if repeated else rest)
        for option in choice.options
    )
    if choice.kind == "{":
        return f"(?:{alternatives})"
    body = {
        "@": alternatives,
        "?": f"(?:{alternatives})?",
        "*": f"(?:{alternatives})*",
        "+": f"(?:{alternatives})+",
        "!": f"(?!(?:{alternatives}){rest})[^/]*",
    }[choice.kind]
    return f"({body})" if capturing else f"(?:{body})"


def crosses(parts: tuple[Part, ...]) -> bool:
    """Whether the pattern may match paths of different depths."""
    for part in parts:
        if isinstance(part, Wild) and part.crosses:
            return True
        if isinstance(part, Choice) and any(crosses(option) or _has_slash(option) for option in part.options):
            return True
    return False


def negates(parts: tuple[Part, ...]) -> bool:
    """Whether the pattern has a negation, which linear-time engines cannot do."""
    return any(
        isinstance(part, Choice) and (part.kind == "!" or any(negates(option) for option in part.options))
        for part in parts
    )


def _has_slash(parts: tuple[Part, ...]) -> bool:
    return any(isinstance(part, Text) and "/" in part.text for part in parts)
