"""Where things are, and who says so."""

import subprocess
import sys
from pathlib import Path

import pytest


def test_the_embedded_default(pachy, airflow_home: Path) -> None:
    document = pachy("config", "show", "--json").documents[0]
    assert document["storage"] == {
        "url": f"file://{airflow_home}/pachy/objects",
        "source": "embedded default, $AIRFLOW_HOME/pachy",
    }
    assert document["metadata"]["url"] == f"sqlite:///{airflow_home}/pachy/pachy.db"


def test_options_win_over_the_environment(pachy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PACHY_STORAGE", "s3://bucket/prefix")
    monkeypatch.setenv("PACHY_METADATA", "postgresql://pachy:secret@db.example.com/pachy")
    shown = pachy("config", "show").out
    assert "s3://bucket/prefix  (PACHY_STORAGE)" in shown
    assert "pachy:***@db.example.com" in shown
    assert "secret" not in shown
    shown = pachy("--storage", f"file://{tmp_path}/x", "config", "show").out
    assert f"file://{tmp_path}/x  (--storage)" in shown


def test_the_s3_endpoint(pachy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACHY_STORAGE", "s3://bucket/prefix")
    monkeypatch.setenv("PACHY_S3_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("PACHY_S3_ACCESS_KEY_ID", "me")
    shown = pachy("--s3-endpoint", "http://127.0.0.1:9000", "config", "show")
    assert "S3 endpoint: http://127.0.0.1:9000" in shown.out
    assert "Credentials: from the settings" in shown.out
    assert "hush" not in shown.out + pachy("config", "show", "--json").out


def test_config_show_connects_to_nothing(pachy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACHY_STORAGE", "s3://no-such-bucket/x")
    monkeypatch.setenv("PACHY_METADATA", "postgresql://nobody@127.0.0.1:1/none")
    assert pachy("config", "show").code == 0


def test_db_upgrade_makes_the_tables(pachy, airflow_home: Path) -> None:
    assert "pachy.db" in pachy("db", "upgrade").out
    assert (airflow_home / "pachy" / "pachy.db").exists()
    assert pachy("list", "repo").rows == []


def test_storage_and_metadata_given_by_hand(pachy, tmp_path: Path, airflow_home: Path) -> None:
    where = ("--storage", f"file://{tmp_path}/store", "--metadata", f"sqlite:///{tmp_path}/names.db")
    pachy(*where, "create", "repo", "images")
    assert [row[0] for row in pachy(*where, "list", "repo").rows] == ["images"]
    assert not airflow_home.exists()


# Importing Airflow fixes its settings for the rest of the process, so these run in processes of their own.


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "airflow_pachy.cli", *arguments], capture_output=True, text=True, check=False
    )


def test_an_airflow_connection(airflow_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    extra = f'{{"storage": "file://{tmp_path}/store", "metadata": "sqlite:///{tmp_path}/names.db"}}'
    monkeypatch.setenv("AIRFLOW_CONN_MY_PACHY", f'{{"conn_type": "pachy", "extra": {extra}}}')
    shown = run("--airflow-conn", "my_pachy", "config", "show")
    assert f"file://{tmp_path}/store  (Airflow connection my_pachy)" in shown.stdout
    assert f"sqlite:///{tmp_path}/names.db  (Airflow connection my_pachy)" in shown.stdout


def test_an_airflow_connection_that_is_not_there(airflow_home: Path) -> None:
    refused = run("--airflow-conn", "nope", "config", "show")
    assert refused.returncode == 1
    assert "no connection 'nope'" in refused.stderr


def test_version(pachy) -> None:
    from airflow_pachy import __version__

    assert pachy("version").out.strip() == __version__
