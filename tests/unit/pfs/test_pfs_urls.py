"""Putting what URLs name: the web with its failures, other roots by reference or by bytes, clouds through fsspec."""

from __future__ import annotations

import http.server
import threading
from collections import Counter
from datetime import UTC, datetime

import fsspec
import pytest

from airflow_pachy.errors import (
    Denied,
    InvalidArgument,
    InvalidPath,
    PathNotFound,
    RepoNotFound,
    StoreDenied,
    Unavailable,
)
from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.sources import HANDLERS, register
from airflow_pachy.pfs.sources import http as web

BODY = bytes(range(256)) * 4000


class _Pages(http.server.BaseHTTPRequestHandler):
    """A server with the habits of real ones. `/cut*` breaks off in the middle the first time it is asked."""

    def do_GET(self):
        server = self.server
        server.asked[self.path] += 1
        server.headers_seen.append(dict(self.headers))
        route = self.path.partition("?")[0]
        if route == "/moved":
            self.answer(302, b"", Location="/page")
        elif route == "/elsewhere":
            self.answer(302, b"", Location=f"http://localhost:{server.server_port}/page")
        elif route == "/to-file":
            self.answer(302, b"", Location="file:///etc/passwd")
        elif route == "/circle":
            self.answer(302, b"", Location="/circle")
        elif route == "/busy" and server.asked[self.path] < 3:
            self.answer(503, b"", **{"Retry-After": "7"})
        elif route in {"/gone", "/forbidden", "/broken"}:
            self.answer({"/gone": 404, "/forbidden": 403, "/broken": 500}[route], b"")
        elif route == "/slow-headers":
            self.answer(200, BODY, cut=0)
        elif route.startswith("/cut"):
            self.cut(route)
        else:
            self.answer(200, b"from the web")

    def cut(self, route):
        version = {"/cut-unnamed": {}, "/cut-changes": {"ETag": f'"{self.server.asked[route]}"'}}.get(
            route, {"ETag": '"1"'}
        )
        wanted = self.headers.get("Range")
        if wanted and self.headers.get("If-Range") == version.get("ETag"):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            extra = {"Content-Range": f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"}
            stop = start + 100_000 if route == "/cut-often" else None
            self.answer(206, BODY[start:], cut=None if stop is None else 100_000, **version, **extra)
        else:
            self.answer(200, BODY, cut=300_000 if not wanted else None, **version)

    def answer(self, status, body, *, cut=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    server.asked, server.headers_seen = Counter(), []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def website(server):
    return f"http://127.0.0.1:{server.server_port}"


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """How long it would have waited between tries."""
    waited = []
    monkeypatch.setattr(web, "wait", waited.append)
    return waited


def get(pfs, path="/x"):
    return pfs.get_file(f"images@master:{path}")


def test_a_page(images, website, server):
    told = []
    images.put_url("images@master:/x", f"{website}/page", progress=lambda *news: told.append(news))
    assert get(images) == b"from the web"
    assert [sum(column) for column in zip(*told, strict=True)] == [1, 12]
    images.put_url("images@master:/x", f"{website}/a b?q=ü", append=True)
    assert get(images) == b"from the web" * 2
    assert "/a%20b?q=%C3%BC" in server.asked


def test_redirects_are_followed_and_credentials_stay(images, website, server):
    login = website.replace("http://", "http://me:secret@")
    images.put_url("images@master:/x", f"{login}/moved")
    assert [seen.get("Authorization") for seen in server.headers_seen] == ["Basic bWU6c2VjcmV0"] * 2
    server.headers_seen.clear()
    images.put_url("images@master:/x", f"{website}/elsewhere", options={"headers": {"Authorization": "Bearer t"}})
    assert [seen.get("Authorization") for seen in server.headers_seen] == ["Bearer t", None]
    with pytest.raises(Unavailable, match="'file:///etc/passwd' is not allowed"):
        images.put_url("images@master:/x", f"{website}/to-file")
    with pytest.raises(Unavailable, match="circle"):
        images.put_url("images@master:/x", f"{website}/circle")


def test_a_busy_server_is_asked_again_when_it_says(images, website, pauses):
    images.put_url("images@master:/x", f"{website}/busy")
    assert get(images) == b"from the web"
    assert pauses == [7.0, 7.0]


def test_a_broken_transfer_goes_on_where_it_ended(images, website, server):
    images.put_url("images@master:/x", f"{website}/cut")
    assert get(images) == BODY
    images.put_url("images@master:/x", f"{website}/cut-often")
    assert get(images) == BODY
    assert server.asked["/cut-often"] > 5


@pytest.mark.parametrize(
    ("path", "options", "error", "message"),
    [
        ("/gone", {}, PathNotFound, "/gone does not exist .HTTP 404"),
        ("/forbidden?token=secret", {}, Denied, r"/forbidden\?\.\.\. refused us .HTTP 403.*credentials"),
        ("/broken", {}, Unavailable, "/broken answered HTTP 500"),
        ("/cut-unnamed", {}, Unavailable, "/cut-unnamed broke off at byte 300,000.*of 1,024,000"),
        ("/cut-changes", {}, Unavailable, "/cut-changes broke off.*cannot go on from there or has another file"),
        ("/slow-headers", {}, Unavailable, "/slow-headers broke off at byte 0"),
        ("/cut", {"max_bytes": 1000}, InvalidArgument, "/cut has 1,024,000 bytes, over the limit.*max_bytes"),
        ("/cut", {"max_seconds": -1}, Unavailable, "/cut took longer than -1 seconds.*max_seconds"),
        ("/page", {"tires": 3}, InvalidArgument, "option 'tires'; options for it are headers, .*tries"),
        ("/page", {"tries": 0}, InvalidArgument, "tries must be 1 or more"),
    ],
)
def test_what_fails_names_the_url_and_leaves_no_commit(images, website, path, options, error, message):
    images.put_file("images@master:/there", b"")
    with pytest.raises(error, match=message) as caught:
        images.put_url("images@master:/x", f"{website}{path}", options=options)
    assert "secret" not in str(caught.value)
    assert len(list(images.list_commits("images@master"))) == 1


def test_nobody_answers(images, pauses):
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1/x did not answer .*check the address"):
        images.put_url("images@master:/x", "http://127.0.0.1:1/x")
    assert pauses == [0.5, 1.0, 2.0, 4.0]


def test_what_is_no_source(images, website):
    for url, message in [
        ("/local/file", "is not a URL"),
        ("gopher://host/file", r"scheme 'gopher'; known are dvc, .*file, http.*gs, abfs"),
        ("simplecache://x", "scheme 'simplecache'"),
        (f"{website}/page", "cannot be put recursively: http has no listing"),
        ("s3://", "names no bucket"),
        ("file://elsewhere/x", "names the host 'elsewhere'"),
        ("http:///x", "names no host"),
    ]:
        with pytest.raises(InvalidArgument, match=message):
            images.put_url("images@master:/x", url, recursive="recursively" in message)
    with pytest.raises(RepoNotFound):
        images.put_url("nope@master:/x", f"{website}/page")


def test_files_of_this_machine(images, tmp_path):
    (tmp_path / "a b").write_bytes(b"local")
    (tmp_path / "a b").chmod(0o755)
    images.put_url("images@master:/x", (tmp_path / "a b").as_uri())
    assert images.inspect_file("images@master:/x").executable
    told = []
    images.put_url(
        "images@master:/d", tmp_path.as_uri(), recursive=True, progress=lambda files, _bytes: told.append(files)
    )
    assert get(images, "/d/a b") == b"local"
    assert sum(told) >= 1
    with pytest.raises(InvalidPath, match="put it recursively"):
        images.put_url("images@master:/y", tmp_path.as_uri())
    with pytest.raises(PathNotFound, match="does not exist on this machine"):
        images.put_url("images@master:/y", (tmp_path / "none").as_uri())


def test_files_of_this_root_come_by_reference(images):
    images.create_repo("raw")
    images.put_file("raw@v1:/in/a", b"x" * 2000, executable=True)
    images.put_file("raw@v1:/in/deep/b", b"y" * 2000)
    images.put_file("images@master:/t/kept", b"k")
    images.put_url("images@master:/t", "pfs://raw/v1/in", recursive=True)
    assert [info.path for info in images.walk_file("images@master:/t") if not info.is_dir] == [
        "/t/a",
        "/t/deep/b",
        "/t/kept",
    ]
    ours, theirs = images.tree("images@master").get("t/a"), images.tree("raw@v1").get("in/a")
    assert ours.content.segments == theirs.content.segments
    assert ours.executable
    images.put_url("images@master:/x", "pfs://raw/v1/in/a")
    images.put_url("images@master:/x", "pfs://raw/v1/in/deep/b", append=True)
    assert get(images) == b"x" * 2000 + b"y" * 2000
    with pytest.raises(InvalidArgument, match="is a directory; put it recursively"):
        images.put_url("images@master:/x", "pfs://raw/v1/in")
    with pytest.raises(PathNotFound):
        images.put_url("images@master:/x", "pfs://raw/v1/none")
    with pytest.raises(RepoNotFound):
        images.put_url("images@master:/x", "pfs://rau/v1/none")
    with pytest.raises(InvalidArgument, match="names no branch; write pfs://repo/branch/path"):
        images.put_url("images@master:/x", "pfs://raw")
    with pytest.raises(InvalidArgument, match=r"names an Airflow connection.*--conn-id"):
        images.put_url("images@master:/x", "pfs://other@raw/v1/in/a")


def test_files_of_another_root_come_with_their_bytes(images, tmp_path):
    other = {"storage": f"file://{tmp_path}/other", "metadata": f"sqlite:///{tmp_path}/other.db"}
    with Pfs.open(**other) as pfs:
        pfs.create_repo("raw")
        pfs.put_file("raw@v1:/in/a", b"x" * 2000, executable=True)
        pfs.put_file("raw@v1:/in/b", b"y")
    images.put_url("images@master:/t", "pfs://conn@raw/v1/in", recursive=True, options=other)
    images.put_url("images@master:/x", "pfs://raw/v1/in/a", options=other)
    assert (get(images, "/t/b"), get(images)) == (b"y", b"x" * 2000)
    assert images.inspect_file("images@master:/t/a").executable
    assert images.inspect_file("images@master:/x").executable


@pytest.fixture
def cloud():
    """A file system that fsspec knows and we do not."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    for number in range(30):
        files.pipe(f"/bucket/in/{number:02}/f", bytes([number]) * 10)
    files.pipe("/bucket/in/one", b"one")
    yield files
    files.store.clear()


def test_what_fsspec_reads(images, cloud):
    images.put_url("images@master:/x", "memory://bucket/in/one")
    assert get(images) == b"one"
    images.put_url("images@master:/t", "memory://bucket/in", recursive=True, parallel=3)
    assert images.inspect_file("images@master:/t").file_count == 31
    assert get(images, "/t/07/f") == bytes([7]) * 10
    images.put_url("images@master:/t", "memory://bucket/in", recursive=True, append=True)
    assert get(images, "/t/one") == b"oneone"
    assert len(list(images.list_commits("images@master"))) == 3
    with pytest.raises(PathNotFound, match="memory://bucket/none"):
        images.put_url("images@master:/x", "memory://bucket/none")
    with pytest.raises(PathNotFound, match="no file below memory://bucket/none"):
        images.put_url("images@master:/x", "memory://bucket/none", recursive=True)
    with pytest.raises(InvalidArgument, match="is a directory; put it recursively"):
        images.put_url("images@master:/x", "memory://bucket/in")


def test_one_bad_file_of_many_is_no_commit(images, cloud, monkeypatch):
    read = type(cloud).cat_file

    def fails(self, path, *args, **kwargs):
        if path.endswith("20/f"):
            raise ConnectionResetError("the line is dead")
        return read(self, path, *args, **kwargs)

    monkeypatch.setattr(type(cloud), "cat_file", fails)
    images.put_file("images@master:/there", b"")
    with pytest.raises(ConnectionResetError) as caught:
        images.put_url("images@master:/t", "memory://bucket/in", recursive=True)
    assert caught.value.__notes__ == ["while putting memory://bucket/in"]
    assert len(list(images.list_commits("images@master"))) == 1


def test_no_more_than_one_directory_is_listed_before_its_files_are_read(images, cloud, monkeypatch):
    told = []
    find, cat, forget = type(cloud).find, type(cloud).cat_file, type(cloud).invalidate_cache
    monkeypatch.setattr(type(cloud), "find", lambda self, path, **how: told.append(path) or find(self, path, **how))
    monkeypatch.setattr(type(cloud), "cat_file", lambda self, path, **how: told.append(path) or cat(self, path, **how))
    monkeypatch.setattr(
        type(cloud), "invalidate_cache", lambda self, path=None: told.append(path) or forget(self, path)
    )
    images.put_url("images@master:/t", "memory://bucket/in", recursive=True, parallel=1)
    assert images.inspect_file("images@master:/t").file_count == 31
    listed = [place for place, path in enumerate(told) if path and path[-2:].isdigit()]
    assert [told[place] for place in listed] == [f"/bucket/in/{number:02}" for number in range(30)]
    assert all(told[place + 1] is None for place in listed), "what was listed is not kept"
    assert told.index("/bucket/in/00/f") < told.index("/bucket/in/20"), "files are read before all are known"


def test_what_the_listing_says_is_not_asked_again(images, cloud, monkeypatch):
    written = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
    found = type(cloud).find

    def dated(self, path, **kwargs):
        return {name: {**info, "last_modified": written} for name, info in found(self, path, **kwargs).items()}

    monkeypatch.setattr(type(cloud), "find", dated)
    monkeypatch.setattr(type(cloud), "info", lambda *_: pytest.fail("asked again"))
    images.put_url("images@master:/t", "memory://bucket/in", recursive=True)
    assert images.inspect_file("images@master:/t/07/f").modified == written


def test_a_connection_that_is_for_one_thread_is_used_by_one(images, cloud, monkeypatch):
    """Several threads at one SFTP connection wait for ever, each for an answer that another has taken."""
    read, users = type(cloud).cat_file, {}

    def noted(self, path, *args, **kwargs):
        users.setdefault(id(self), {"self": self, "threads": set()})["threads"].add(threading.get_ident())
        return read(self, path, *args, **kwargs)

    monkeypatch.setattr(type(cloud), "cat_file", noted)
    images.put_url("images@master:/t", "memory://bucket/in", recursive=True, parallel=4)
    assert [len(user["threads"]) for user in users.values()] == [1] * len(users)


class AuthenticationException(Exception):
    """As paramiko's."""


@pytest.mark.parametrize(
    "why",
    [
        PermissionError("no"),
        AuthenticationException("no"),
        type("HttpError", (Exception,), {"code": 403})("no\nbecause"),
    ],
)
def test_refused_credentials_are_told_from_what_else_fails(images, cloud, monkeypatch, why):
    def refuses(*_: object, **__: object) -> None:
        raise why

    monkeypatch.setattr(type(cloud), "find", refuses)
    with pytest.raises(StoreDenied, match="memory://bucket/in is refused: no; check the credentials, in options or"):
        images.put_url("images@master:/t", "memory://bucket/in", recursive=True)


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [
        ("gs://b/k", "gcsfs", "gs"),
        ("abfs://c@a.dfs.core.windows.net/k", "adlfs", "azure"),
        ("az://c/k", "adlfs", "azure"),
    ],
)
def test_a_missing_package_is_named(images, monkeypatch, url, package, extra):
    import sys

    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InvalidArgument, match=rf"needs the package {package}.*airflow-provider-pachy\[{extra}\]"):
        images.put_url("images@master:/x", url)


def test_a_library_that_cannot_be_loaded_is_told_in_a_line(images, monkeypatch):
    """As pyarrow says it of hdfs:// where there is no Java."""

    def unable(url, **options):
        raise OSError("Unable to load libjvm: /usr/lib/jvm/libjvm.so: no such file\n/other/libjvm.so: no such file")

    monkeypatch.setattr("fsspec.core.url_to_fs", unable)
    with pytest.raises(Unavailable) as caught:
        images.put_url("images@master:/x", "hdfs://namenode/x")
    assert str(caught.value) == "cannot open hdfs://namenode/x: Unable to load libjvm"


def test_schemes_of_your_own(images, monkeypatch):
    monkeypatch.setattr("airflow_pachy.pfs.sources.HANDLERS", dict(HANDLERS))
    import sys
    from types import ModuleType

    module = ModuleType("my_source")
    module.put = lambda request: request.puts.put_file(request.address, request.url, append=False, executable=None)
    monkeypatch.setitem(sys.modules, "my_source", module)
    register("mine", "my_source")
    images.put_url("images@master:/x", "mine://anything")
    assert get(images) == b"mine://anything"


@pytest.mark.parametrize("append", [False, True])
def test_long_lists_are_not_held_in_memory(images, cloud, monkeypatch, append):
    monkeypatch.setattr("airflow_pachy.pfs.piles._KEPT_ENTRIES", 7)
    images.put_url("images@master:/t", "memory://bucket/in", recursive=True, append=append)
    assert images.inspect_file("images@master:/t").file_count == 31
    assert get(images, "/t/29/f") == bytes([29]) * 10
