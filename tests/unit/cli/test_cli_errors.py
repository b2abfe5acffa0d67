"""Errors are one line on standard error and an exit code; tracebacks are for --debug."""

import errno
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["inspect", "repo", "nope"], "nope"),
        (["list", "file", "nope@master"], "nope"),
        (["list", "file", "images@nope"], "nope"),
        (["get", "file", "images@master:/nope"], "/nope"),
        (["get", "file", "images@master"], "images@master"),
        (["list", "commit", "images@master^9"], "^9"),
        (["inspect", "commit", "images@what is this"], "what is this"),
        (["create", "repo", "a b"], "a b"),
        (["create", "repo", "images"], "images"),
        (["glob", "file", "images@master:/[a"], "[a"),
        (["finish", "commit", "images@nope"], "nope"),
    ],
)
def test_one_line_that_names_the_thing(pachy, images: Path, arguments: list[str], named: str) -> None:
    refused = pachy(*arguments, fails=True)
    assert refused.code == 1
    assert refused.out == ""
    assert refused.err.startswith("pachy: ")
    assert named in refused.err
    assert len(refused.err.splitlines()) == 1


def test_debug_shows_the_traceback(pachy) -> None:
    refused = pachy("--debug", "inspect", "repo", "nope", fails=True)
    assert "Traceback (most recent call last)" in refused.err
    assert "RepoNotFound" in refused.err


def test_a_store_that_cannot_be(pachy) -> None:
    assert "ftp" in pachy("--storage", "ftp://x/y", "list", "repo", fails=True).err


def test_a_database_that_cannot_be(pachy) -> None:
    assert "not a database URL" in pachy("--metadata", "nonsense", "list", "repo", fails=True).err


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("command", "reader", "said"),
    [
        ("get file images@master:/big", "head -n 1", "0123456789\n"),
        ("get file images@master:/big", "true", ""),
        ("list repo", "true", ""),
        ("list file images@master --json", "true", ""),
        ("--help", "true", ""),
        ("get file --help", "true", ""),
    ],
)
def test_a_reader_that_has_enough_is_no_error(
    pachy, images: Path, monkeypatch: pytest.MonkeyPatch, command: str, reader: str, said: str, unbuffered: str
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    # The reader is gone, or has gone, before much is written.
    program = f"sleep 0.2; {sys.executable} -m airflow_pachy.cli {command}; echo code $? >&2"
    pachy("put", "file", "images@master:/big", "-f", "-", stdin=b"0123456789\n" * 200_000)
    ran = subprocess.run(["bash", "-c", f"({program}) | {reader}"], capture_output=True, text=True, check=True)
    assert ran.stdout == said
    assert ran.stderr == "code 0\n"


def test_what_another_pipe_does_is_an_error(pachy, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_pachy.pfs import Pfs

    def broken(*_: object, **__: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(Pfs, "list_repos", broken)
    assert pachy("list", "repo", fails=True).err == "pachy: [Errno 32] Broken pipe\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_an_error(pachy, images: Path, monkeypatch: pytest.MonkeyPatch, unbuffered: str) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    pachy("put", "file", "images@master:/big", "-f", "-", stdin=b"0123456789\n" * 200_000)
    command = f"{sys.executable} -m airflow_pachy.cli get file images@master:/big > /dev/full; echo code $?"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert ran.stdout == "code 1\n"
    assert "No space left on device" in ran.stderr


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]


@pytest.mark.timeout(60)  # not after all retries
def test_services_that_are_away_are_told_soon(pachy, closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    nobody = f"127.0.0.1:{closed_port}"
    for options, text in (
        (["--storage", "s3://bucket/x", "--s3-endpoint", f"http://{nobody}"], f"at http://{nobody} got no answer"),
        (["--storage", "s3://bucket/x", "--s3-endpoint", "nonsense"], "an endpoint is written http://host:port"),
        (["--metadata", f"postgresql://ada:s3cret@{nobody}/db"], f"ada:***@{nobody}/db did not answer"),
    ):
        refused = pachy(*options, "list", "repo", fails=True)
        assert text in refused.err
        assert "s3cret" not in refused.err
        assert len(refused.err.splitlines()) == 1
