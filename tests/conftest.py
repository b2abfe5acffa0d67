"""Fixtures for every kind of test: a throwaway PostgreSQL or MySQL, and a fresh place in a real S3."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

# A busy machine is slow, which is no fault of what is tested: `HYPOTHESIS_PROFILE=thorough` tries for longer instead.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@dataclass(frozen=True)
class RealS3:
    """A prefix of its own in a real bucket: `url` for `open_store`, `s3` for its keyword."""

    url: str
    s3: dict[str, Any]


@pytest.fixture(scope="session")
def _postgres_server() -> Iterator[str]:
    """A PostgreSQL cluster on a free loopback port in a temporary directory; yields its URL."""
    if given := os.environ.get("PACHY_TEST_POSTGRES_URL"):
        yield given.rstrip("/")
        return
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL's server programs (initdb, pg_ctl) are not installed: apt-get install postgresql")
    # Not below pytest's own directory: each session closes that to other users again, and to PostgreSQL's.
    home = Path(tempfile.mkdtemp(prefix="pachy-postgres-"))
    port = _free_port()
    prefix = _as_owner(home)
    try:
        _run(
            [*prefix, str(programs / "initdb"), "-D", str(home / "data"), "-U", "postgres", "-A", "trust", "--no-sync"]
        )
        options = f"-p {port} -k {home} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=200"
        start = [
            *prefix,
            str(programs / "pg_ctl"),
            "-D",
            str(home / "data"),
            "-w",
            "-l",
            str(home / "log"),
            "-o",
            options,
        ]
        _run([*start, "start"])
        yield f"postgresql://postgres@127.0.0.1:{port}"
    finally:
        stop = [*prefix, str(programs / "pg_ctl"), "-D", str(home / "data"), "-m", "immediate", "stop"]
        subprocess.run(stop, check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def postgres_url(_postgres_server: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database that only this test uses."""
    from sqlalchemy import create_engine, text

    from airflow_pachy.metadata.urls import parse_url

    name = f"test_{secrets.token_hex(6)}"
    engine = create_engine(parse_url(f"{_postgres_server}/postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield f"{_postgres_server}/{name}"
    finally:
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()


@pytest.fixture(scope="session")
def _mysql_server() -> Iterator[str]:
    """A MariaDB or MySQL on a free loopback port in a temporary directory; yields its URL."""
    if given := os.environ.get("PACHY_TEST_MYSQL_URL"):
        yield given.rstrip("/")
        return
    home = Path(tempfile.mkdtemp(prefix="pachy-mysql-"))
    server: subprocess.Popen[bytes] | None = None
    try:
        port = _free_port()
        server = _start_mysql(home, port)
        url = f"mysql+pymysql://root@127.0.0.1:{port}"
        _wait_for_mysql(url, server, home / "log")
        yield url
    finally:
        if server is not None:
            server.kill()
            server.wait()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def mysql_url(_mysql_server: str) -> Iterator[str]:
    """The URL of an empty MySQL or MariaDB database that only this test uses."""
    from sqlalchemy import create_engine, text

    name = f"test_{secrets.token_hex(6)}"
    engine = create_engine(f"{_mysql_server}/mysql", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield f"{_mysql_server}/{name}"
    finally:
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name}"))
        engine.dispose()


@pytest.fixture(
    params=[pytest.param("postgres", marks=pytest.mark.postgres), pytest.param("mysql", marks=pytest.mark.mysql)]
)
def server_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database on each kind of server in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(scope="session")
def s3_bucket() -> str:
    """The bucket PACHY_TEST_S3_BUCKET, made if the server is new: no test may count on another for it."""
    endpoint = os.environ.get("PACHY_TEST_S3_ENDPOINT")
    if not endpoint:
        pytest.skip("no real S3 server: set PACHY_TEST_S3_ENDPOINT, PACHY_TEST_S3_BUCKET and AWS_*")
    import boto3
    from botocore.exceptions import ClientError

    bucket = os.environ.get("PACHY_TEST_S3_BUCKET", "pachy-test")
    client = boto3.client("s3", **_s3_settings(endpoint))
    try:
        client.create_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
            raise
    finally:
        client.close()
    return bucket


def _s3_settings(endpoint: str) -> dict[str, Any]:
    return {
        "endpoint_url": endpoint,
        "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
        "region_name": os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
    }


@pytest.fixture
def real_s3(s3_bucket: str) -> Iterator[RealS3]:
    """A fresh prefix in the S3 server of `PACHY_TEST_S3_ENDPOINT`, emptied afterwards."""
    import boto3

    bucket = s3_bucket
    settings = _s3_settings(os.environ["PACHY_TEST_S3_ENDPOINT"])
    client = boto3.client("s3", **settings)
    prefix = f"tests/{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(6)}"
    yield RealS3(f"s3://{bucket}/{prefix}", settings)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/"):
        for item in page.get("Contents", []):
            client.delete_object(Bucket=bucket, Key=item["Key"])
    client.close()


def _postgres_programs() -> Path | None:
    """The directory of initdb and pg_ctl: on the PATH, or where Debian keeps them."""
    found = shutil.which("pg_ctl")
    if found and (Path(found).resolve().parent / "initdb").exists():
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


def _start_mysql(home: Path, port: int) -> subprocess.Popen[bytes]:
    """Make a data directory and start the server in it; MariaDB's where there is one, else MySQL's."""
    data = home / "data"
    # Superusers must be named, else both servers refuse to run as root.
    user = f"--user={pwd.getpwuid(os.geteuid()).pw_name}"
    if maria := _program("mariadbd"):
        install = _program("mariadb-install-db")
        if install is None:
            pytest.skip("mariadb-install-db is not installed: apt-get install mariadb-server")
        _run([install, "--no-defaults", f"--datadir={data}", user, "--auth-root-authentication-method=normal"])
        program = maria
    elif mysql := _program("mysqld"):
        _run([mysql, "--no-defaults", f"--datadir={data}", user, "--initialize-insecure"])
        program = mysql
    else:
        pytest.skip("MySQL's server program (mariadbd or mysqld) is not installed: apt-get install mariadb-server")
    command = [
        program,
        "--no-defaults",
        f"--datadir={data}",
        user,
        f"--port={port}",
        f"--socket={home / 'socket'}",
        f"--pid-file={home / 'pid'}",
        "--bind-address=127.0.0.1",
        "--skip-log-bin",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-flush-method=nosync",
        "--max-connections=200",
    ]
    with (home / "log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, cwd="/")


def _wait_for_mysql(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import OperationalError

    engine = create_engine(f"{url}/mysql")
    give_up = time.monotonic() + 60
    try:
        while True:
            try:
                engine.connect().close()
            except OperationalError:
                if server.poll() is not None or time.monotonic() > give_up:
                    pytest.fail(f"the MySQL server does not come up: {log.read_text(errors='replace')[-2000:]}")
                time.sleep(0.1)
            else:
                return
    finally:
        engine.dispose()


def _program(name: str) -> str | None:
    """A server's program: Debian keeps them where only root's PATH leads."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def _as_owner(home: Path) -> list[str]:
    """PostgreSQL refuses to run as root: then become the user `postgres`, who must own the directory."""
    if os.geteuid() != 0:
        return []
    runuser = shutil.which("runuser")
    if runuser is None or subprocess.run(["id", "postgres"], check=False, capture_output=True).returncode != 0:
        pytest.skip("these tests run as root, and there is no user `postgres` to run PostgreSQL as")
    shutil.chown(home, "postgres")
    return [runuser, "-u", "postgres", "--"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _run(command: list[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/")
    if done.returncode != 0:
        pytest.fail(f"{' '.join(command)} failed: {done.stdout}{done.stderr}")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test remembers what another one, or the user of this machine, has put."""
    monkeypatch.setenv("PACHY_CACHE", str(tmp_path_factory.getbasetemp() / f"pachy-cache-{secrets.token_hex(4)}"))
