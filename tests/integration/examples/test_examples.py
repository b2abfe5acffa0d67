"""The examples of `docs/examples`, run as their pages say; what pages do not show is checked below each."""

import json
import re
from collections import Counter

import pytest

pytestmark = pytest.mark.slow


def files(pfs, branch):
    return {f"/{entry.path}": pfs.get_file(f"{branch}:/{entry.path}") for entry in pfs.tree(branch).entries()}


def test_opencv(follow, pfs):
    follow("opencv")
    images = {path.partition(".")[0] for path in files(pfs, "images@master")}
    assert {path.removesuffix(".png") for path in files(pfs, "edges@master")} == images
    assert {info.repo for info in pfs.provenance("montage@master")} == {"images", "edges"}


def test_wordcount(follow, pfs):
    follow("wordcount")
    counts = {path.strip("/"): int(data) for path, data in files(pfs, "wordcount_reduce@master").items()}
    words = " ".join(data.decode() for data in files(pfs, "texts@master").values()).lower()
    assert counts == Counter(re.findall("[a-z]+", words))
    before = files(pfs, "wordcount_reduce@master^")
    pfs.delete_file("texts@master:/night.txt")
    follow.type("airflow dags test wordcount_map")
    follow.type("airflow dags test wordcount_reduce")
    assert files(pfs, "wordcount_reduce@master") == before


def test_joins(follow, pfs):
    follow("joins")
    assert set(files(pfs, "lab_series@master")) == {"/anna/lipids.csv", "/anna/glucose.csv", "/bo/lipids.csv"}
    assert files(pfs, "shop_revenue@master")["/Turku/2026-05-06.csv"] == b"2026-05-06,4.20,EUR\n"
    assert files(pfs, "shop_unsold@master^") == {"/Turku": b"nothing sold\n"}


def test_windows(follow, pfs):
    follow("windows")
    sales = {path.rpartition("/")[2]: data for path, data in files(pfs, "sales@master").items()}
    bins = files(pfs, "sales_bins@master")
    # Every day is in three windows, by reference: what is there is what was put.
    assert Counter(path.rpartition("/")[2] for path in bins) == dict.fromkeys(sales, 3)
    assert all(data == sales[path.rpartition("/")[2]] for path, data in bins.items())
    assert len(files(pfs, "sales_rolling@master")) == len(sales) - 2


def test_iris(follow, pfs):
    follow("iris")
    model, old = (json.loads(pfs.get_file(f"iris_model@{one}:/model.json")) for one in ("master", "master^"))
    assert set(model) == {"setosa", "versicolor", "virginica"}
    assert model != old
    # The second run found nothing new to train on, so what it published is what was there.
    assert pfs.inspect_commit("iris_model@master^").tree == pfs.inspect_commit("iris_model@master^^").tree
    chosen = {"commits": {"iris_model@master": pfs.inspect_commit("iris_model@master^").id}}
    follow.type(f"airflow dags test iris --conf '{json.dumps(chosen)}'")
    assert pfs.get_file("iris_species@master:/meadow.csv") == pfs.get_file("iris_species@master^^:/meadow.csv")
    assert pfs.get_file("iris_species@master:/meadow.csv") != pfs.get_file("iris_species@master^:/meadow.csv")


def test_grid(follow, pfs):
    follow("grid")
    ranking = files(pfs, "grid_best@master")["/ranking.csv"].decode().splitlines()
    assert len(ranking) == 12
    assert ranking == sorted(ranking)
    best = ranking[0].partition(",")[2]
    assert pfs.get_file("grid_best@master:/best.json") == pfs.get_file(f"grid_models@master:/{best}")
