"""Glob patterns over paths: the grammar that pipeline inputs, `glob_file` and the command line share.

`*` any run without a slash, `**` any run, `?` one character but a slash, `[a-z] [!a] [^a] [[:digit:]]`, `{a,b}`, `\\`
takes the next character as it is, and groups, which capture: `(a|b)` or `@(a|b)` one of, `?( )` at most once, `*( )`
any number, `+( )` at least once, `!( )` anything without a slash that the group would not match
here. Patterns are anchored at the root and at both ends; a leading slash and a trailing one make no difference.
`/` and the empty pattern match the root alone.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from airflow_pachy.pfs.tree.glob_syntax import Parser, Part, Text, crosses, negates, render

_REFERENCE = re.compile(r"\$(?:(\$)|\{(\d+)\}|(\d+))")


@dataclass(frozen=True)
class Glob:
    """A compiled pattern. Get one from `compile_glob`."""

    pattern: str
    parts: tuple[Part, ...]

    @functools.cached_property
    def literal_prefix(self) -> str:
        """What every match starts with, without a leading slash; the whole path if the pattern has no wildcards."""
        prefix = ""
        for part in self.parts:
            if not isinstance(part, Text):
                break
            prefix += part.text
        return prefix

    @property
    def is_root(self) -> bool:
        """Whether it matches the root directory (and nothing else)."""
        return not self.parts

    @property
    def is_literal(self) -> bool:
        """Whether it can match one path only."""
        return all(isinstance(part, Text) for part in self.parts)

    @functools.cached_property
    def depth(self) -> int | None:
        """Number of path segments of every match; None if matches may differ in that."""
        if crosses(self.parts):
            return None
        return 1 + sum(part.text.count("/") for part in self.parts if isinstance(part, Text))

    @functools.cached_property
    def linear_regex(self) -> str | None:
        """An anchored expression for engines without look-ahead; None if the pattern needs it."""
        return None if negates(self.parts) else f"^(?:{render(self.parts, capturing=False)})$"

    @functools.cached_property
    def regex(self) -> re.Pattern[str]:
        """Matches whole paths without a leading slash, with a group for each of the pattern's."""
        return re.compile(render(self.parts, capturing=True, rest=r"\Z"))

    def matches(self, path: str) -> bool:
        """Whether `path` (of a file or a directory, with or without slashes at its ends) is matched."""
        bare = path.strip("/")
        return self.is_root if not bare else not self.is_root and self.regex.fullmatch(bare) is not None

    def captures(self, path: str) -> tuple[str, ...] | None:
        """What each group matched, in the order of their opening parentheses, nothing as ""; None without a match."""
        bare = path.strip("/")
        if not self.matches(bare):
            return None
        found = self.regex.fullmatch(bare)
        return () if found is None else tuple(group or "" for group in found.groups())

    def capture(self, path: str, template: str) -> str | None:
        """`template` with `$1` or `${1}` replaced by what group 1 matched (if nothing, by nothing), `$0` by `/path`.

        None if the path does not match.
        """
        bare = path.strip("/")
        if not self.matches(bare):
            return None
        found = self.regex.fullmatch(bare)

        def expand(reference: re.Match[str]) -> str:
            if reference[1]:
                return "$"
            number = int(reference[2] or reference[3])
            if number == 0:
                return f"/{bare}"
            return (found[number] or "") if found is not None and number <= self.regex.groups else ""

        return _REFERENCE.sub(expand, template)

    def with_group(self, number: int, text: str) -> Glob | None:
        """The pattern with this text in place of its group `number`, counted from 1 as in `captures`.

        None if there is no such group, or if it is inside another one.
        """
        parser = Parser(self.pattern)
        parser.parse()
        if not 1 <= number <= len(parser.groups) or parser.groups[number - 1].depth:
            return None
        group = parser.groups[number - 1]
        escaped = re.sub(r"([^\w/])", r"\\\1", text)
        return compile_glob(f"{self.pattern[: group.start]}{escaped}{self.pattern[group.end :]}")


@functools.lru_cache(maxsize=1024)
def compile_glob(pattern: str) -> Glob:
    """Parse `pattern`; raises `InvalidGlob`, saying where and why."""
    parts = Parser(pattern).parse()
    start = 0
    while start < len(parts) and parts[start] == Text("/"):
        start += 1
    end = len(parts)
    while end > start and parts[end - 1] == Text("/"):
        end -= 1
    return Glob(pattern, parts[start:end])
