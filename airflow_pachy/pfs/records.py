"""Cutting a stream into records: lines, JSON documents, CSV rows, rows of a SQL dump. Nothing is read whole."""

from __future__ import annotations

import io
import json
import re
from codecs import getincrementaldecoder
from typing import TYPE_CHECKING, Protocol

from airflow_pachy.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

DELIMITERS = ("line", "json", "sql", "csv")
MAX_RECORD_BYTES = 64 << 20
_BLOCK_BYTES = 1 << 20
# A JSON error this close to the end of what was read may be for want of the rest.
_UNDECIDED = 16
_SPACE = re.compile(r"[ \t\r\n]*")
_COPY = re.compile(rb"COPY\s.*\sFROM\s+stdin\b.*;\s*", re.IGNORECASE | re.DOTALL)
_QUOTED_FIELD = re.compile(rb'[,;\t]"')
_END_OF_COPY = re.compile(rb"\\\.\r?\n?")


class Records(Protocol):
    """The records of a stream. What lies before and after them is known when the first and the last were read."""

    header: bytes
    footer: bytes

    def __iter__(self) -> Iterator[bytes]:
        """The records in order, once. Raises `InvalidArgument` for what is none, saying where."""
        ...


def records_of(delimiter: str, source: BinaryIO) -> Records:
    """The records of a stream by the name of their kind. Raises `InvalidArgument`."""
    check_delimiter(delimiter)
    kinds: dict[str, type[Lines | Json | Csv | Sql]] = {"line": Lines, "json": Json, "sql": Sql, "csv": Csv}
    return kinds[delimiter](source)


def check_delimiter(delimiter: str) -> None:
    """Raise `InvalidArgument` for one that is none of `DELIMITERS`."""
    if delimiter not in DELIMITERS:
        raise InvalidArgument(f"cannot split by {delimiter!r}; delimiters are {', '.join(DELIMITERS)}")


class Lines:
    """Each line with its line end; the last one may have none."""

    header = footer = b""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source

    def __iter__(self) -> Iterator[bytes]:
        return _lines(self._source)


class Csv:
    """Each row with its line end, also of several lines if there are line breaks in quotes; empty lines are no rows.

    Fields may be separated by commas, semicolons or tabs.
    """

    header = footer = b""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source

    def __iter__(self) -> Iterator[bytes]:
        row: list[bytes] = []
        quoted = False
        size = began = 0
        for number, line in enumerate(_lines(self._source), 1):
            if not row:
                if not line.strip(b"\r\n"):
                    continue
                began = number
            quoted = _ends_quoted(line, quoted=quoted)
            row.append(line)
            size += len(line)
            if quoted:
                _check_size(size, f"the row that begins in line {began}")
                continue
            whole = line if len(row) == 1 else b"".join(row)
            yield whole if whole.endswith(b"\n") else whole + b"\n"
            row, size = [], 0
        if row:
            raise InvalidArgument(
                f"the CSV row that begins in line {began} has a quote that is never closed; repair it"
            )


class Json:
    """Each document with the white space behind it. Documents may follow each other with or without any."""

    header = footer = b""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._text = ""
        self._ended = False
        self._decoder = getincrementaldecoder("utf-8-sig")()
        self._passed = 0

    def __iter__(self) -> Iterator[bytes]:
        start = 0
        count = 0
        decode = json.JSONDecoder().raw_decode
        while True:
            begin = self._behind_space(start)
            if begin == len(self._text):
                return
            try:
                _, end = decode(self._text, begin)
            except json.JSONDecodeError as error:
                start = self._more_or_raise(start, count, error)
                continue
            # A number may go on in what was not read yet.
            if end == len(self._text) and not self._ended:
                start = self._read_on(start)
                continue
            end = self._behind_space(end)
            count += 1
            yield self._text[start:end].encode()
            start = end
            if start > _BLOCK_BYTES:
                self._passed, self._text, start = self._passed + start, self._text[start:], 0

    def _behind_space(self, at: int) -> int:
        """Where white space from `at` on ends; reads on while that is where the text ends."""
        while True:
            found = _SPACE.match(self._text, at)
            end = found.end() if found else at
            if end < len(self._text) or self._ended:
                return end
            # Positions must not move here, so nothing is dropped.
            self._read()

    def _more_or_raise(self, start: int, count: int, error: json.JSONDecodeError) -> int:
        undecided = error.pos >= len(self._text) - _UNDECIDED or error.msg.startswith("Unterminated string")
        if self._ended or not undecided:
            ends = error.pos >= len(self._text.rstrip()) or error.msg.startswith("Unterminated string")
            place = self._passed + error.pos
            why = "the data ends in the middle of it" if ends else f"{error.msg} at character {place}"
            raise InvalidArgument(f"JSON document {count + 1} of the data cannot be read: {why}")
        return self._read_on(start)

    def _read_on(self, start: int) -> int:
        """Read more, forgetting what lies before `start`; the new position of what was there."""
        self._text = self._text[start:]
        self._passed += start
        _check_size(len(self._text), f"the JSON document that begins at character {self._passed}")
        # Twice as much each time, since the document is read again from its start.
        goal = 2 * len(self._text)
        self._read()
        while len(self._text) < goal and not self._ended:
            self._read()
        return 0

    def _read(self) -> None:
        block = _block(self._source)
        self._ended = not block
        try:
            self._text += self._decoder.decode(block, final=self._ended)
        except UnicodeDecodeError as error:
            raise InvalidArgument(f"JSON must be UTF-8, but after character {self._passed} is {error}") from error


class Sql:
    r"""The rows of one table in a dump as `pg_dump` writes it: lines between `COPY ... FROM stdin;` and `\.`.

    What comes before, the schema, is the header; the rest from the `\.` on is the footer. So each piece is a dump.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._lines = _lines(source)
        self.header = self.footer = b""

    def __iter__(self) -> Iterator[bytes]:
        before: list[bytes] = []
        for line in self._lines:
            before.append(line)
            if _COPY.fullmatch(line):
                break
        else:
            if before:
                raise InvalidArgument(
                    "the SQL dump has no line 'COPY ... FROM stdin;'; make it with pg_dump -t TABLE, without --inserts"
                )
            return
        self.header = b"".join(before)
        _check_size(len(self.header), "the schema of the SQL dump")
        for line in self._lines:
            if _END_OF_COPY.fullmatch(line):
                self.footer = self._rest(line)
                return
            yield line
        raise InvalidArgument(
            r"the SQL dump ends among its rows: there is no line '\.' after them; dump the table again"
        )

    def _rest(self, end: bytes) -> bytes:
        after = [end]
        size = 0
        for line in self._lines:
            if _COPY.fullmatch(line):
                raise InvalidArgument(
                    f"the SQL dump has more than one table (again {line.decode(errors='replace').strip()!r}); dump one "
                    "at a time with pg_dump -t TABLE"
                )
            after.append(line)
            size += len(line)
            _check_size(size, "what follows the rows of the SQL dump")
        return b"".join(after)


def _lines(source: BinaryIO) -> Iterator[bytes]:
    """Lines with their ends."""
    held: list[bytes] = []
    size = 0
    while block := _block(source):
        cut = block.rfind(b"\n") + 1
        if cut:
            yield from io.BytesIO(b"".join([*held, block[:cut]]))
            held, size = [], 0
        held.append(block[cut:])
        size += len(block) - cut
        _check_size(size, "a line")
    last = b"".join(held)
    if last:
        yield last


def _block(source: BinaryIO) -> bytes:
    block = source.read(_BLOCK_BYTES)
    if not isinstance(block, bytes):
        raise InvalidArgument(
            f"data must be read as bytes, but this file gives {type(block).__name__}; open it with mode 'rb'"
        )
    return block


def _check_size(size: int, what: str) -> None:
    if size > MAX_RECORD_BYTES:
        raise InvalidArgument(
            f"{what} is longer than {MAX_RECORD_BYTES >> 20} MiB, too long for a record; "
            "is the delimiter right? Data without records can be put whole with put_file"
        )


def _ends_quoted(line: bytes, *, quoted: bool) -> bool:
    """Whether a quoted field is open at the end of a line, given whether one is at its start."""
    if b'"' not in line:
        return quoted
    at = 0
    while True:
        if quoted:
            at = line.find(b'"', at) + 1
            if not at:
                return True
            if line[at : at + 1] == b'"':
                at += 1
                continue
            quoted = False
        elif at == 0 and line.startswith(b'"'):
            quoted, at = True, 1
        else:
            field = _QUOTED_FIELD.search(line, at)
            if field is None:
                return False
            quoted, at = True, field.end()
