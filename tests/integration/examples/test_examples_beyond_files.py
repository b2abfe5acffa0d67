"""The examples that reach beyond files: databases, web sites, releases, a registry of models, environments."""

import csv
import io
import json
import sqlite3
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from contextlib import closing
from decimal import Decimal
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from airflow_pachy.pipelines import list_jobs
from airflow_pachy.pipelines.tracing import trace_file

pytestmark = pytest.mark.slow


def rows(pfs, address):
    return list(csv.DictReader(io.StringIO(pfs.get_file(address).decode())))


def progress(pfs, pipeline):
    """(processed, skipped) of its jobs, the newest first."""
    return [(job.datums_processed, job.datums_skipped) for job in list_jobs(pfs, pipeline=pipeline)]


def script(path, *arguments):
    done = subprocess.run([sys.executable, path, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_sql_ingest(follow, pfs, airflow):
    follow("sql_ingest")
    query = "SELECT date(placed), product, sum(quantity), sum(quantity * price_cents) FROM orders GROUP BY 1, 2"
    with closing(sqlite3.connect(airflow.home / "shop.db")) as database:
        expected = {(day, product): (units, cents) for day, product, units, cents in database.execute(query)}
    found = {
        (file.path.strip("/").removesuffix(".csv"), row["product"]): (int(row["units"]), int(row["cents"]))
        for file in pfs.list_file("revenue@master:/")
        for row in rows(pfs, f"revenue@master:{file.path}")
    }
    assert found == expected
    (orders,) = pfs.provenance("revenue@master")
    assert orders.description == "orders of 2024-05-01"


def test_split_csv(follow, pfs, tmp_path):
    follow("split_csv")
    added = (tmp_path / "more.csv").read_text().partition("\n")[2]
    assert (tmp_path / "all.csv").read_text() == (tmp_path / "readings.csv").read_text() + added
    readings = defaultdict(list)
    for row in csv.DictReader((tmp_path / "all.csv").open(newline="")):
        readings[row["station"]] += [float(row["celsius"])] if row["celsius"] else []
    for row in rows(pfs, "station_statistics@master:/stations.csv"):
        values = readings.pop(row["station"])
        assert int(row["readings"]) == len(values)
        assert float(row["mean"]) == pytest.approx(sum(values) / len(values), abs=0.01)
        assert (float(row["min"]), float(row["max"])) == (min(values), max(values))
    assert not readings


def test_incremental_sum(follow, pfs):
    follow("incremental_sum")
    balances = Counter()
    for file in pfs.list_file("bookings@master:/"):
        for row in rows(pfs, f"bookings@master:{file.path}"):
            balances[row["account"]] += int(row["cents"])
    found = {row["account"]: int(row["cents"]) for row in rows(pfs, "balances@master:/balances.csv")}
    assert found == balances
    assert len(list(pfs.list_file("bookings@master:/"))) == len(list(pfs.list_file("balances@master:/days"))) == 30


@pytest.fixture
def shops(tmp_path, monkeypatch):
    """A web server on the loopback for the folder `site`; its address is $SHOPS."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "site")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("SHOPS", f"http://127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    server.server_close()


def test_scraper(follow, pfs, airflow, shops, tmp_path):
    follow("scraper")
    (tick,) = pfs.list_file("pages_tick@master:/")
    assert tick.path != next(pfs.list_file("pages_tick@master^:/")).path
    assert pfs.get_file("pages@master:/corner.html") == (tmp_path / "site" / "corner.html").read_bytes()
    before = pfs.inspect_branch("pages@master").head
    (tmp_path / "site" / "market.html").unlink()
    failed = airflow.run("scraper")
    assert failed.state == "failed"
    assert "market.html: HTTP Error 404" in failed.log
    assert pfs.inspect_branch("pages@master").head == before


def test_deferred(follow, pfs, airflow):
    follow("deferred")
    assert progress(pfs, "weights") == [(2, 2), (0, 2), (2, 0)]
    released = pfs.inspect_branch("samples@master").head
    assert airflow.run("deferred_release").states() == {"check": "success", "release": "skipped"}
    pfs.put_file("samples@staging:/batch-004.jsonl", '{"label": "nut"}\n')
    refused = airflow.run("deferred_release")
    assert refused.states()["check"] == "failed"
    assert "/batch-004.jsonl, line 1 has no label or no weight" in refused.log
    assert pfs.inspect_branch("samples@master").head == released


def test_model_registry(follow, pfs):
    follow("model_registry")
    (registered,) = pfs.list_tags("registry")
    production = pfs.inspect_branch("registry@production").head
    assert (registered.name, registered.commit) == ("v1", f"registry@{production}")
    # From a prediction to the model that made it, and on to the trips that this was trained on.
    model = next(one for one in trace_file(pfs, "predictions@master:/tuesday.csv").inputs if one.name == "registry")
    assert model.address == f"registry@{production}:/"
    trips = next(one for one in pfs.provenance("predictions@master") if one.repo == "trips")
    assert [file.path for file in pfs.list_file(f"{trips}:/")] == ["/may.csv"]
    assert {one.repo for one in pfs.subvenance(str(trips))} >= {"candidates", "scores", "registry", "predictions"}
    # The model is the very one that was trained: a link, and no copy.
    chosen = json.loads(pfs.get_file("registry@production:/model.json"))
    assert chosen == json.loads(pfs.get_file(f"candidates@{candidates_of(pfs)}:/parabola.json"))
    # June's was the candidate, and was worse.
    assert json.loads(pfs.get_file("registry@candidate:/score.json"))["rmse_minutes"] > 10


def candidates_of(pfs):
    return next(one.id for one in pfs.provenance("registry@production") if one.repo == "candidates")


def sold(receipts):
    """Turnover by day and store, and units by product, from the receipts themselves."""
    turnover, units = defaultdict(Decimal), Counter()
    for path in receipts.glob("*/*.csv"):
        for row in csv.DictReader(path.open(newline="")):
            turnover[f"{path.stem} {path.parent.name}"] += int(row["quantity"]) * Decimal(row["price"])
            units[row["product"]] += int(row["quantity"])
    return [f"{key} {turnover[key]:.2f}" for key in sorted(turnover)] + [f"{one} {units[one]}" for one in sorted(units)]


WAREHOUSE = "dags_examples/sql_egress_code/warehouse.py"


def test_sql_egress(follow, airflow, tmp_path):
    follow("sql_egress")
    assert script(WAREHOUSE, "show", f"sqlite:///{airflow.home}/warehouse.db").splitlines() == sold(
        tmp_path / "receipts"
    )


@pytest.mark.postgres
def test_sql_egress_to_postgres(follow, pfs, postgres_url, tmp_path):
    script("dags_examples/sql_egress_code/generate.py", "receipts", "3")
    pfs.create_repo("receipts", update=True)
    pfs.put_dir("receipts@master:/", tmp_path / "receipts")
    url = postgres_url.replace("postgresql://", "postgresql+psycopg2://")
    script(WAREHOUSE, "create", url)
    follow.put_into_dags_folder("sql_egress.py")
    follow.run("sql_egress", "--conf", json.dumps({"database": postgres_url}))
    assert script(WAREHOUSE, "show", url).splitlines() == sold(tmp_path / "receipts")


def test_environments(follow, pfs):
    follow("environments")
    assert {branch.name for branch in pfs.list_branches("stars")} == {"dev", "prod", "fewer-words"}
    # Another version of the code has processed this file on another branch; here nothing has.
    assert progress(pfs, "stars-prod") == [(1, 0)]
