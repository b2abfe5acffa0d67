"""Opening a root: settings, first use, and what is said when something is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_pachy.errors import (
    Corrupt,
    InvalidArgument,
    MetadataUnavailable,
    SchemaMismatch,
    StoreUnfit,
)
from airflow_pachy.pfs import Pfs
from airflow_pachy.pfs.settings import settings_from


def test_without_arguments_the_embedded_default_is_used(tmp_path, monkeypatch):
    for name in ("PACHY_STORAGE", "PACHY_METADATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "home with space"))
    with Pfs.open() as pfs:
        pfs.create_repo("images")
        pfs.put_file("images@master:/a", b"1")
    with Pfs.open() as pfs:
        assert pfs.get_file("images@master:/a") == b"1"
    assert (tmp_path / "home with space" / "pachy" / "pachy.db").exists()


def test_the_environment_names_the_root(tmp_path):
    environment = {
        "PACHY_STORAGE": "s3://bucket/prefix",
        "PACHY_METADATA": "postgresql://h/d",
        "PACHY_S3_ENDPOINT": "http://minio:9000",
        "PACHY_S3_ACCESS_KEY_ID": "key",
        "PACHY_S3_VERIFY": "false",
        "PACHY_PRINCIPAL": "user:bob",
    }
    settings = settings_from(environment)
    assert (settings.storage, settings.metadata, settings.principal) == (
        "s3://bucket/prefix", "postgresql://h/d", "user:bob",
    )  # fmt: skip
    assert settings.s3 == {"endpoint_url": "http://minio:9000", "aws_access_key_id": "key", "verify": False}
    given = settings_from(environment, storage="memory://", s3={"endpoint_url": "x"}, principal="user:ada")
    assert (given.storage, given.s3["endpoint_url"], given.principal) == ("memory://", "x", "user:ada")
    assert settings_from({**environment, "PACHY_S3_VERIFY": "/etc/ca.pem"}).s3["verify"] == "/etc/ca.pem"
    assert not list(tmp_path.iterdir())


def test_how_much_is_kept_on_this_machine_is_a_setting(tmp_path):
    places = {"PACHY_STORAGE": "s3://bucket", "PACHY_METADATA": "sqlite://", "PACHY_CACHE": str(tmp_path)}
    assert (settings_from(places).cache, settings_from(places).cache_bytes) == (tmp_path, 256 << 20)
    assert settings_from({**places, "PACHY_CACHE_SIZE": "2Gi"}).cache_bytes == 2 << 30
    assert settings_from({**places, "PACHY_CACHE_SIZE": "0"}).cache_bytes == 0
    with pytest.raises(InvalidArgument, match=r"PACHY_CACHE_SIZE: 'much' is not a size.*0 keeps nothing"):
        settings_from({**places, "PACHY_CACHE_SIZE": "much"})


def test_the_home_of_airflow_has_a_default():
    from airflow_pachy.pfs.settings import embedded_home

    assert embedded_home({}) == Path.home() / "airflow" / "pachy"


def test_the_first_use_writes_the_format_and_later_ones_check_it(tmp_path):
    storage, metadata = (tmp_path / "objects").as_uri(), f"sqlite:///{tmp_path / 'm.db'}"
    Pfs.open(storage, metadata).close()
    path = tmp_path / "objects" / "format.json"
    assert json.loads(path.read_bytes())["format"] == 1
    Pfs.open(storage, metadata).close()
    path.write_bytes(b'{"format": 2, "hash": "blake3"}')
    with pytest.raises(StoreUnfit, match="format 2"):
        Pfs.open(storage, metadata)
    path.write_bytes(b"<html>")
    with pytest.raises(Corrupt, match="right bucket"):
        Pfs.open(storage, metadata)


def test_a_database_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(MetadataUnavailable, match=r"no/m\.db"):
        Pfs.open("memory://", f"sqlite:///{tmp_path / 'no' / 'm.db'}")
    with pytest.raises(MetadataUnavailable) as caught:
        Pfs.open("memory://", "postgresql://me:hush@127.0.0.1:1/db")
    assert "hush" not in str(caught.value)
    assert "127.0.0.1:1" in str(caught.value)
    with pytest.raises(InvalidArgument):
        Pfs.open("memory://", "mongodb://h/d")
    with pytest.raises(InvalidArgument):
        Pfs.open("gopher://x", "sqlite://")


def test_tables_of_a_newer_version_are_refused(tmp_path):
    from sqlalchemy import text

    url = f"sqlite:///{tmp_path / 'm.db'}"
    with Pfs.open("memory://", url) as pfs, pfs.metadata.session() as session:
        session.execute(text("UPDATE pachy_alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaMismatch, match="newer version"):
        Pfs.open("memory://", url)


def test_the_package_exports_lazily():
    code = (
        "import sys, airflow_pachy.pfs as pfs, airflow_pachy.pfs.objects\n"
        "assert 'sqlalchemy' not in sys.modules and 'airflow_pachy.pfs.client' not in sys.modules\n"
        "assert sorted(pfs.__all__) == dir(pfs)\n"
        "assert all(getattr(pfs, name) for name in pfs.__all__)\n"
        "assert 'airflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error():
    import airflow_pachy.pfs

    with pytest.raises(AttributeError, match="nonsense"):
        _ = airflow_pachy.pfs.nonsense
