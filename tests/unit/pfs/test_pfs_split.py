"""Splitting: what a piece is, how pieces are numbered, and what cannot be split."""

from __future__ import annotations

import io
import json
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_pachy.errors import InvalidArgument, PathConflict
from airflow_pachy.pfs import Pfs

DUMP = b"""--
-- PostgreSQL database dump
--
CREATE TABLE public.users (id integer, name text);
COPY public.users (id, name) FROM stdin;
1\tann
2\tben
3\tcy
4\tdee
5\teve
\\.
ALTER TABLE ONLY public.users ADD CONSTRAINT users_pkey PRIMARY KEY (id);
"""
SCHEMA, REST = DUMP[: DUMP.index(b"1\tann")], DUMP[DUMP.index(b"\\.") :]


def pieces(pfs, directory="images@master:/d"):
    return [pfs.get_file(f"images@master:{info.path}") for info in pfs.walk_file(directory) if not info.is_dir]


def names(pfs, directory="images@master:/d"):
    return [info.path.rpartition("/")[2] for info in pfs.list_file(directory)]


class Dripping(io.RawIOBase):
    """A stream that answers with a few bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__()
        self._data, self._size = io.BytesIO(data), size

    def read(self, size: int = -1) -> bytes:
        return self._data.read(self._size if size < 0 else min(size, self._size))


def test_each_line_is_a_piece(images):
    images.put_split("images@master:/d", "one\ntwo\n\nthree", "line")
    assert pieces(images) == [b"one\n", b"two\n", b"\n", b"three"]
    assert names(images) == [f"{number:016x}" for number in range(4)]
    assert len(list(images.list_commits("images@master"))) == 1


@pytest.mark.parametrize(
    ("datums", "size", "expected"),
    [
        (0, 0, [4] * 10),
        (1, 0, [4] * 10),
        (3, 0, [12, 12, 12, 4]),
        (0, 1, [4] * 10),
        (0, 8, [8] * 5),
        (0, 9, [12, 12, 12, 4]),
        (2, 100, [8] * 5),
        (100, 8, [8] * 5),
        (100, 100, [40]),
    ],
)
def test_a_piece_ends_at_the_first_target_it_reaches(images, datums, size, expected):
    images.put_split("images@master:/d", "foo\n" * 10, "line", datums, size)
    assert [len(piece) for piece in pieces(images)] == expected


@pytest.mark.parametrize("opened", [False, True])
def test_numbers_go_on_over_puts_and_commits(images, opened):
    if opened:
        images.start_commit("images@master")
    images.put_file("images@master:/d/README", b"no piece")
    images.put_file("images@master:/d/aside/00000000000000ff", b"a piece elsewhere")
    images.put_split("images@master:/d", "a\nb\n")
    images.put_split("images@master:/d", "c\n")
    assert names(images) == ["0" * 15 + "0", "0" * 15 + "1", "0" * 15 + "2", "README", ""]
    images.delete_file("images@master:/d/0000000000000000")
    images.put_split("images@master:/d", "d\n")
    assert images.get_file("images@master:/d/0000000000000003") == b"d\n"


@pytest.mark.parametrize("opened", [False, True])
def test_writers_at_the_same_time_take_different_numbers(images, opened):
    if opened:
        images.start_commit("images@master")
    texts = ["".join(f"{writer}-{line}\n" for line in range(5)) for writer in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda text: images.put_split("images@master:/d", text), texts))
    found = b"".join(pieces(images)).decode()
    assert names(images) == [f"{number:016x}" for number in range(30)]
    # What one writer put stays together, whoever comes first.
    assert sorted(found[at : at + 20] for at in range(0, 120, 20)) == texts


def test_overwrite_starts_again(images):
    images.put_split("images@master:/d", "a\nb\n", header="h\n", footer="f\n")
    images.put_split("images@master:/d", "c\n", overwrite=True)
    assert pieces(images) == [b"c\n"]
    assert images.get_header("images@master:/d") == b""
    images.put_split("images@master:/d", "c\n", overwrite=True, header="h\n")
    assert pieces(images) == [b"h\nc\n"]


def test_json_documents_end_where_their_brackets_close(images):
    documents = ['{"a": "}{\\" ]"}', '[1, {"b": [2]}]', "12", '"te\\\\xt"', "null", '{"c":\n {"d": "é"}}']
    images.put_split("images@master:/d", "\n".join(documents), "json")
    assert [piece.decode().rstrip("\n") for piece in pieces(images)] == documents


def test_json_documents_need_nothing_between_them(images):
    images.put_split("images@master:/d", '{}{"a":1}[]', "json")
    assert pieces(images) == [b"{}", b'{"a":1}', b"[]"]
    images.put_split("images@master:/two", '{"n":1} {"n":2}\n\n{"n":3}\n', "json", 2)
    assert pieces(images, "images@master:/two") == [b'{"n":1} {"n":2}\n\n', b'{"n":3}\n']


@pytest.mark.parametrize("drip", [1, 2, 3, 7])
@pytest.mark.parametrize(
    ("delimiter", "data"),
    [
        ("json", '{"a": "é\\"}"} 12345 67 {"b": [1, 2]}\n"x"'.encode()),
        ("csv", b'a,"1\n2",c\r\n\r\n"x""y\n",z\nlast'),
        ("line", b"one\n\ntwo\nthree"),
        ("sql", DUMP),
    ],
)
def test_pieces_do_not_depend_on_how_the_stream_arrives(images, delimiter, data, drip):
    images.put_split("images@master:/whole", data, delimiter)
    images.put_split("images@master:/d", Dripping(data, drip), delimiter)
    assert pieces(images) == pieces(images, "images@master:/whole")


def test_csv_keeps_line_breaks_in_quotes(images):
    data = 'this,is,a,test\n"""this""","is nonetheless","\na",test\n"multi\nline\n";x;"say ""hi"",\n"\nend'
    images.put_split("images@master:/d", data, "csv")
    assert pieces(images) == [
        b"this,is,a,test\n",
        b'"""this""","is nonetheless","\na",test\n',
        b'"multi\nline\n";x;"say ""hi"",\n"\n',
        b"end\n",
    ]


def test_a_quote_inside_a_field_means_nothing(images):
    images.put_split("images@master:/d", 'a 5" pipe,b\nc,d\n', "csv")
    assert pieces(images) == [b'a 5" pipe,b\n', b"c,d\n"]


def test_each_piece_of_a_dump_is_a_dump(images):
    images.put_split("images@master:/d", DUMP, "sql")
    assert pieces(images) == [SCHEMA + row + b"\n" + REST for row in b"1\tann 2\tben 3\tcy 4\tdee 5\teve".split(b" ")]
    assert b"".join(images.get_files("images@master", "/d/*")) == DUMP


def test_records_of_a_dump_can_be_part_of_its_header(images):
    images.put_split("images@master:/d", DUMP, "sql", header_records=1)
    assert len(pieces(images)) == 4
    assert pieces(images)[0] == SCHEMA + b"1\tann\n2\tben\n" + REST


def test_the_same_dump_again_changes_no_piece(images):
    images.put_split("images@master:/d", DUMP, "sql", 2)
    before = pieces(images)
    images.put_split("images@master:/d", DUMP, "sql", 2)
    assert pieces(images) == before * 2
    assert len(list(images.diff_file("images@master"))) == 3


def test_header_records_are_in_every_piece(images):
    images.put_split("images@master:/d", "id,name\n1,a\n2,b\n", "csv", header_records=1)
    assert pieces(images) == [b"id,name\n1,a\n", b"id,name\n2,b\n"]
    images.put_split("images@master:/d", "id,name\n3,c\n", "csv", header_records=1)
    assert b"".join(images.get_files("images@master", "/d/*")) == b"id,name\n1,a\n2,b\n3,c\n"


def test_only_a_header_makes_no_piece_but_is_kept(images):
    images.put_split("images@master:/d", "id,name\n", "csv", header_records=1)
    assert list(images.walk_file("images@master:/")) == [
        images.inspect_file("images@master:/").__class__(
            path="/", type="dir", size=0, hash=None, commit=str(images.inspect_commit("images@master")), file_count=0
        )
    ]
    assert images.inspect_commit("images@master").file_count == 0
    images.put_split("images@master:/d", "1,a\n", "csv")
    assert pieces(images) == [b"id,name\n1,a\n"]


def test_no_data_makes_no_commit(images):
    images.put_file("images@master:/other", b"")
    for delimiter in ("line", "json", "csv", "sql"):
        images.put_split("images@master:/d", b"", delimiter, header_records=1)
    assert len(list(images.list_commits("images@master"))) == 1


@pytest.mark.parametrize(
    ("data", "delimiter", "message"),
    [
        ("a", "tab", "delimiters are line, json, sql, csv"),
        ('{"a": 1}\n{"b": ', "json", "document 2 .* the data ends in the middle"),
        ('{"a": 1}\n{"b": }\n' + '{"c": 1}\n' * 20, "json", "document 2 .* Expecting value at character 15"),
        ('{"a": 1}}', "json", "document 2"),
        (b'{"a": "\xff"}', "json", "must be UTF-8"),
        ('a,b\n"c,d\ne,f\n', "csv", "row that begins in line 2 has a quote that is never closed"),
        ("INSERT INTO t VALUES (1);\n", "sql", "no line 'COPY ... FROM stdin;'.*without --inserts"),
        ("COPY t (a) FROM stdin;\n1\n2\n", "sql", "ends among its rows"),
        (DUMP + DUMP, "sql", "more than one table.*pg_dump -t"),
    ],
)
def test_data_that_cannot_be_split_says_where(images, data, delimiter, message):
    images.put_file("images@master:/there", b"")
    with pytest.raises(InvalidArgument, match=message):
        images.put_split("images@master:/d", data, delimiter)
    assert len(list(images.list_commits("images@master"))) == 1


def test_arguments_that_cannot_be_meant(images):
    with pytest.raises(InvalidArgument, match="target_file_datums must be 0 or more, not -1"):
        images.put_split("images@master:/d", "a\n", target_file_datums=-1)
    with pytest.raises(InvalidArgument, match="either header or header_records"):
        images.put_split("images@master:/d", "a\n", header="h", header_records=1)
    with pytest.raises(InvalidArgument, match="brings its own header"):
        images.put_split("images@master:/d", DUMP, "sql", header="h")
    with pytest.raises(InvalidArgument, match="mode 'rb'"):
        images.put_split("images@master:/d", io.StringIO("text"))
    with pytest.raises(InvalidArgument, match="must be bytes or str, not int"):
        images.put_split("images@master:/d", "a", header=7)


def test_a_record_too_long_for_memory_is_refused(images, monkeypatch):
    monkeypatch.setattr("airflow_pachy.pfs.records.MAX_RECORD_BYTES", 1 << 20)
    for delimiter, data in (
        ("line", "x" * (3 << 20)),
        ("csv", '"' + "x\n" * (2 << 20)),
        ("json", '"' + "x" * (5 << 20)),
    ):
        with pytest.raises(InvalidArgument, match=r"longer than 1 MiB.*is the delimiter right"):
            images.put_split("images@master:/d", data, delimiter)


def test_a_file_is_no_directory_of_pieces(images):
    images.put_file("images@master:/d", b"a file")
    with pytest.raises((InvalidArgument, PathConflict), match="is a file"):
        images.put_split("images@master:/d", "a\n")
    with pytest.raises((InvalidArgument, PathConflict), match="is a file"):
        images.put_header("images@master:/d", "h\n")


def test_the_root_can_hold_pieces(images):
    images.put_split("images@master:/", "a\nb\n", header="h\n")
    assert pieces(images, "images@master:/") == [b"h\na\n", b"h\nb\n"]


@pytest.mark.parametrize("opened", [False, True])
def test_many_pieces_need_little_memory(tmp_path, monkeypatch, opened):
    monkeypatch.setattr("airflow_pachy.pfs.splitting._KEPT_PIECES", 500)
    monkeypatch.setattr("airflow_pachy.pfs.puts._PIECES_AT_ONCE", 700)
    with Pfs.open(f"file://{tmp_path}/store", "sqlite://") as pfs:
        pfs.create_repo("images")
        if opened:
            pfs.start_commit("images@master")
        pfs.put_split("images@master:/d", "".join(f"{n}\n" for n in range(2345)), header="n\n")
        assert pfs.inspect_file("images@master:/d").file_count == 2345
        assert b"".join(pfs.get_files("images@master", "/d/*")).decode().split() == ["n", *map(str, range(2345))]


def test_a_stream_larger_than_memory_is_split(tmp_path):
    """Pieces that are themselves large stream too; traced, since the process holds more than this test."""
    line = b"x" * 9_999 + b"\n"

    def parts():
        for _ in range(6_000):
            yield line

    class Stream(io.RawIOBase):
        source = parts()

        def read(self, size: int = -1) -> bytes:
            return next(self.source, b"")

    with Pfs.open(f"file://{tmp_path}/store", "sqlite://") as pfs:
        pfs.create_repo("images")
        tracemalloc.start()
        try:
            pfs.put_split("images@master:/d", Stream(), target_file_bytes=40_000_000, header="h\n")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        sizes = [info.size for info in pfs.list_file("images@master:/d")]
        assert sizes == [40_000_002, 20_000_002]
        assert peak < 250 << 20


def test_split_inside_a_block(images):
    with images.commit("images@master") as commit:
        commit.put_file("/a", b"")
        commit.put_split("/d", json.dumps({"n": 1}) * 2, "json")
        commit.put_header("/d", "[")
        commit.put_footer("/d", "]")
        assert commit.get_file("/d/0000000000000001") == b'[{"n": 1}]'
    assert b"".join(images.get_files("images@master", "/d")) == b'[{"n": 1}{"n": 1}]'
