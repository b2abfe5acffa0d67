"""JSON as people write it: comments, trailing commas, several documents in one text, and the place of each field.

The standard library's decoder stops at the first comment and forgets where things were; of the JSON5 packages none
reads several documents with their positions. Strings and numbers are still the standard library's.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from typing import Any

from airflow_pachy.errors import InvalidSpec
from airflow_pachy.pipelines.reading.document import FieldPath, Mark

_BLANK = re.compile(r"(?:\s|//[^\n]*|#[^\n]*|/\*[\s\S]*?\*/)*")
_SEPARATOR = re.compile(r"---[^\S\n]*(?=\n|\Z)")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.])")
_WORDS = {"true": True, "false": False, "null": None}
_WORD = re.compile(r"[A-Za-z_][\w-]*")
_MAX_DEPTH = 100
# Not strict: line breaks inside a string are what people paste, and cannot mean anything else.
_DECODER = json.JSONDecoder(strict=False)


def looks_like_json(text: str) -> bool:
    """Whether the first thing in the text, after comments, is an object or a list."""
    at = _after_blank(text, 0)
    return text[at : at + 1] in ("{", "[")


def read_json(text: str, origin: str) -> list[tuple[Any, dict[FieldPath, Mark]]]:
    """Every document of the text with the places of its fields. Raises `InvalidSpec` with line and column."""
    scanner = _Scanner(text, origin)
    found = []
    while not scanner.at_end():
        scanner.marks = {}
        found.append((scanner.value((), 0), scanner.marks))
    return found


class _Scanner:
    """Recursive descent over one text."""

    def __init__(self, text: str, origin: str) -> None:
        self._text = text
        self._origin = origin
        self._at = 0
        self._breaks = [match.start() for match in re.finditer("\n", text)]
        self.marks: dict[FieldPath, Mark] = {}

    def at_end(self) -> bool:
        """Skip what stands between documents; whether there is none any more."""
        self._skip()
        while separator := _SEPARATOR.match(self._text, self._at):
            self._at = separator.end()
            self._skip()
        return self._at >= len(self._text)

    def value(self, path: FieldPath, depth: int) -> Any:
        """The value that begins here; a field's mark is that of its key."""
        self._skip()
        self.marks.setdefault(path, self._mark(self._at))
        if depth > _MAX_DEPTH:
            raise self._error(f"more than {_MAX_DEPTH} levels deep")
        char = self._text[self._at : self._at + 1]
        if char == "{":
            return self._object(path, depth)
        if char == "[":
            return self._list(path, depth)
        if char == '"':
            return self._string()
        if number := _NUMBER.match(self._text, self._at):
            self._at = number.end()
            return json.loads(number[0])
        word = _WORD.match(self._text, self._at)
        if word and word[0] in _WORDS:
            self._at = word.end()
            return _WORDS[word[0]]
        raise self._error("expected a value", quote=bool(word))

    def _object(self, path: FieldPath, depth: int) -> dict[str, Any]:
        opened = self._at
        self._at += 1
        found: dict[str, Any] = {}
        while not self._closes("}", opened, first=not found):
            mark = self._mark(self._at)
            if self._text[self._at] != '"':
                raise self._error('expected "name": value', quote=bool(_WORD.match(self._text, self._at)))
            name = self._string()
            if name in found:
                before = self.marks[(*path, name)]
                raise self._error(f"{name!r} is given twice, first in line {before.line}; keep one", at=mark)
            self.marks[(*path, name)] = mark
            self._skip()
            if self._text[self._at : self._at + 1] != ":":
                raise self._error(f"expected ':' after {name!r}")
            self._at += 1
            found[name] = self.value((*path, name), depth + 1)
        return found

    def _list(self, path: FieldPath, depth: int) -> list[Any]:
        opened = self._at
        self._at += 1
        found: list[Any] = []
        while not self._closes("]", opened, first=not found):
            found.append(self.value((*path, len(found)), depth + 1))
        return found

    def _closes(self, bracket: str, opened: int, *, first: bool) -> bool:
        """Go past the comma between members, or past the closing bracket, before which a comma may stand."""
        self._skip()
        if not first and self._text[self._at : self._at + 1] == ",":
            self._at += 1
            self._skip()
        elif not first and self._text[self._at : self._at + 1] not in ("", bracket):
            raise self._error(f"expected ',' or {bracket!r}")
        if self._at >= len(self._text):
            begin = self._mark(opened)
            raise self._error(f"the {self._text[opened]!r} of line {begin.line}, column {begin.column} is not closed")
        if self._text[self._at] == bracket:
            self._at += 1
            return True
        return False

    def _string(self) -> str:
        try:
            found, self._at = _DECODER.raw_decode(self._text, self._at)
        except json.JSONDecodeError as error:
            raise self._error(error.msg[0].lower() + error.msg[1:], at=self._mark(error.pos)) from error
        return str(found)

    def _skip(self) -> None:
        self._at = _after_blank(self._text, self._at)

    def _mark(self, at: int) -> Mark:
        line = bisect_left(self._breaks, at)
        return Mark(line + 1, at - (self._breaks[line - 1] if line else -1))

    def _error(self, reason: str, *, at: Mark | None = None, quote: bool = False) -> InvalidSpec:
        mark = at or self._mark(self._at)
        rest = self._text[self._at : self._at + 20].split("\n")[0]
        found = f", found {rest!r}" if at is None and rest else ", but the text ends" if at is None else ""
        hint = "; names and texts need double quotes" if quote else ""
        return InvalidSpec(f"{self._origin}:{mark.line}:{mark.column}: not JSON: {reason}{found}{hint}")


def _after_blank(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at
