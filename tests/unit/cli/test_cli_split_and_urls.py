"""Splitting, headers, URLs, lists of sources, patterns, histories and summaries from the command line."""

from __future__ import annotations

import json
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USERS = "id,name\n1,ann\n2,ben\n3,cy\n"


@pytest.fixture
def users(pachy, tmp_path: Path) -> Path:
    pachy("create", "repo", "users")
    local = tmp_path / "users.csv"
    local.write_text(USERS)
    return local


def test_split_with_header_records(pachy, users: Path) -> None:
    csv = ("--split", "csv", "--header-records", "1", "--target-file-datums", "2")
    pachy("put", "file", "users@master:/all", "-f", str(users), *csv)
    assert [row[0] for row in pachy("list", "file", "users@master:/all").rows] == [
        "/all/0000000000000000",
        "/all/0000000000000001",
    ]
    assert pachy("get", "file", "users@master:/all/0000000000000001").out == "id,name\n3,cy\n"
    assert pachy("get", "file", "users@master:/all/*").out == USERS
    pachy("put", "file", "users@master:/all", "-f", "-", *csv, stdin=b"id,name\n4,dee\n")
    assert pachy("get", "file", "users@master:/all/*").out == USERS + "4,dee\n"
    pachy("put", "file", "users@master:/all", "-o", "-f", str(users), *csv)
    assert pachy("get", "file", "users@master:/all/*").out == USERS


def test_split_goes_below_the_name_of_the_file(pachy, users: Path) -> None:
    pachy("put", "file", "users@master:/", "-f", str(users), "--split", "line", "--target-file-bytes", "10")
    assert len(pachy("list", "file", "users@master:/users.csv").rows) == 2


def test_headers_and_footers(pachy, users: Path, tmp_path: Path) -> None:
    pachy("put", "file", "users@master:/all", "-f", "-", "--split", "line", stdin=b"1,ann\n")
    pachy("put", "header", "users@master:/all", "id,name")
    (tmp_path / "end").write_bytes(b"end")
    pachy("put", "footer", "users@master:/all", "-f", str(tmp_path / "end"))
    assert pachy("get", "file", "users@master:/all/0000000000000000").out == "id,name\n1,ann\nend"
    shown = pachy("inspect", "file", "users@master:/all").out
    assert "Header: 8 B" in " ".join(shown.split())
    assert "Footer: 3 B" in " ".join(shown.split())
    pachy("put", "footer", "users@master:/all", "")
    assert pachy("get", "file", "users@master:/all/*").out == "id,name\n1,ann\n"
    assert "as text or with -f" in pachy("put", "header", "users@master:/all", fails=True).err
    assert "cannot read nope" in pachy("put", "header", "users@master:/all", "-f", "nope", fails=True).err


def test_options_that_contradict_each_other(pachy, users: Path) -> None:
    def refused(*options: str) -> str:
        return pachy("put", "file", "users@master:/", "-f", str(users), *options, fails=True).err

    assert "--header-records means something only with --split" in refused("--header-records", "1")
    assert "no -r, no -a" in refused("--split", "csv", "-a")
    assert "give one of them" in refused("-a", "-o")
    assert "'tab' is not one of" in refused("--split", "tab")
    assert (
        "never closed"
        in pachy("put", "file", "users@master:/x", "-f", "-", "--split", "csv", stdin=b'"a\n', fails=True).err
    )


def test_a_commit_of_its_own(pachy, users: Path) -> None:
    pachy("put", "file", "users@master:/", "-f", str(users), "-d", "from the register")
    assert json.loads(pachy("list", "commit", "users@master", "--json").out)["description"] == "from the register"
    pachy("start", "commit", "users@master")
    assert "open" in pachy("put", "file", "users@master:/", "-f", str(users), "-c", fails=True).err
    pachy("put", "file", "users@master:/into-it", "-f", str(users))
    pachy("finish", "commit", "users@master")
    assert len(pachy("list", "commit", "users@master").rows) == 2


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "site"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number:02}.txt").write_text(f"page {number}")

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *args, **kwargs) -> None:
            super().__init__(*args, directory=str(folder), **kwargs)

        def log_message(self, *args) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_list_of_urls_and_files_from_standard_input_is_one_commit(pachy, users: Path, site: str) -> None:
    listing = "\n".join([*(f"{site}/{number:02}.txt" for number in range(12)), str(users)])
    pachy("put", "file", "users@master:/pages/", "-i", "-", "-p", "4", stdin=listing.encode())
    assert len(pachy("list", "file", "users@master:/pages").rows) == 13
    assert pachy("get", "file", "users@master:/pages/07.txt").out == "page 7"
    assert len(pachy("list", "commit", "users@master").rows) == 1
    refused = pachy("put", "file", "users@x:/", "-p", "2", "-f", f"{site}/none.txt", "-f", f"{site}/01.txt", fails=True)
    assert f"{site}/none.txt does not exist" in refused.err


def test_a_url_is_split_as_it_comes(pachy, users: Path, site: str) -> None:
    pachy("put", "file", "users@master:/words", "-f", f"{site}/03.txt", "--split", "line")
    assert pachy("get", "file", "users@master:/words/0000000000000000").out == "page 3"


def test_patterns_are_joined_or_become_files(pachy, images: Path, tmp_path: Path) -> None:
    assert pachy("get", "file", "images@master:/**.png").out == "b" * 3000 + "a" * 100
    pachy("get", "file", "images@master:/*/*.png", "-o", str(tmp_path / "out") + "/")
    assert (tmp_path / "out" / "2024" / "b.png").stat().st_size == 3000
    pachy("get", "file", "images@master:/2024/*", "-r", "-o", str(tmp_path / "one"))
    assert (tmp_path / "one" / "b.png").stat().st_size == 3000
    pachy("get", "file", "images@master:/**.png", "-o", str(tmp_path / "joined"))
    assert (tmp_path / "joined").stat().st_size == 3100
    assert "nothing in images@" in pachy("get", "file", "images@master:/*.jpg", fails=True).err
    assert "single file" in pachy("get", "file", "images@master:/*", "--offset", "1", fails=True).err


def test_a_part_of_a_file(pachy, users: Path, tmp_path: Path) -> None:
    pachy("put", "file", "users@master:/", "-f", str(users))
    assert pachy("get", "file", "users@master:/users.csv", "--offset", "8", "--length", "5").out == "1,ann"
    assert pachy("get", "file", "users@master:/users.csv", "--offset", "1000").out == ""
    pachy("get", "file", "users@master:/users.csv", "--length", "2", "-o", str(tmp_path / "part"))
    assert (tmp_path / "part").read_text() == "id"


def test_history(pachy, users: Path) -> None:
    for text in ("one", "two", "two", "three"):
        pachy("put", "file", "users@master:/f", "-f", "-", stdin=text.encode())
        pachy("put", "file", "users@master:/g", "-f", "-", stdin=text.encode())
    shown = pachy("list", "file", "users@master:/f", "--history")
    assert shown.lines[0].split() == ["COMMIT", "TYPE", "SIZE", "MODIFIED"]
    assert [row[2] for row in shown.rows] == ["5 B", "3 B", "3 B"]
    assert pachy("get", "file", f"users@{shown.rows[2][0]}:/f").out == "one"
    assert len(pachy("list", "file", "users@master:/f", "--history", "--limit", "1").rows) == 1
    assert "--limit only" in pachy("list", "file", "users@master:/f", "--history", "-r", fails=True).err


def test_reverse(pachy, images: Path) -> None:
    assert [row[0] for row in pachy("list", "file", "images@master", "--reverse").rows] == ["/a.png", "/2024/"]
    assert [row[0] for row in pachy("list", "file", "images@master", "-r", "--reverse").rows] == [
        "/a.png",
        "/2024/b.png",
    ]
    globbed = pachy("glob", "file", "images@master:/**", "--reverse", "--after", "/a.png")
    assert [row[0] for row in globbed.rows] == ["/2024/b.png", "/2024/"]


def test_diff_in_numbers(pachy, images: Path) -> None:
    pachy("put", "file", "images@master:/a.png", "-f", "-", stdin=b"x" * 50)
    pachy("put", "file", "images@master:/new", "-f", "-", stdin=b"x" * 10)
    pachy("delete", "file", "images@master:/2024")
    shown = pachy("diff", "file", "images@master", "images@master^3", "--stat")
    assert [line.split() for line in shown.lines] == [
        ["FILES", "SIZE"],
        ["added", "1", "+10", "B"],
        ["removed", "1", "-2.93", "KiB"],
        ["changed", "1", "-50", "B"],
    ]
    document = pachy("diff", "file", "images@master", "images@master^3", "--stat", "--json").documents[0]
    assert (document["added"], document["removed_bytes"], document["changed_bytes"]) == (1, 3000, -50)


def test_credentials_of_a_connection(pachy, users: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WEB", '{"conn_type": "http", "login": "me", "password": "pw"}')
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", '{"conn_type": "postgres"}')
    refused = pachy("put", "file", "users@master:/x", "-f", "http://127.0.0.1:1/x", "--conn-id", "other", fails=True)
    assert "'other' is of type 'postgres', which says nothing about URLs; types that do are aws" in refused.err
    refused = pachy("put", "file", "users@master:/x", "-f", "http://127.0.0.1:1/x", "--conn-id", "none", fails=True)
    assert "Airflow has no connection 'none'" in refused.err
