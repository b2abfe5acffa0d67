"""`pfs_asset` and the normal form of `pfs://` URIs."""

from urllib.parse import urlsplit

import pytest

from airflow_pachy.assets import create_asset, normalize_uri, pfs_asset
from airflow_pachy.errors import InvalidAddress, InvalidName
from airflow_pachy.triggers import PfsCommitTrigger


def test_the_asset_of_a_branch_always_has_the_identical_watcher():
    first, second = pfs_asset("images@master"), pfs_asset("images")
    assert first.uri == "pfs://images/master"
    assert first == second or first.watchers[0].trigger.serialize() == second.watchers[0].trigger.serialize()
    (watcher,) = first.watchers
    assert isinstance(watcher.trigger, PfsCommitTrigger)
    assert watcher.trigger.serialize() == (
        "airflow_pachy.triggers.commits.PfsCommitTrigger",
        {"repo": "images", "branch": "master", "pfs_conn_id": "pachy_default"},
    )


def test_another_connection_is_another_asset():
    asset = pfs_asset("images@staging", conn_id="lab")
    assert asset.uri == "pfs://lab@images/staging"
    assert asset.watchers[0].trigger.pfs_conn_id == "lab"


@pytest.mark.parametrize("text", ["", "images@master^", "images@master:/a", "images@"])
def test_what_names_no_branch_is_refused(text):
    with pytest.raises(InvalidAddress):
        pfs_asset(text)


def test_a_bad_name_is_refused():
    with pytest.raises(InvalidName):
        pfs_asset("im ages@master")


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("pfs://images/master", "pfs://images/master"),
        ("pfs://pachy_default@images/master/", "pfs://images/master"),
        ("pfs://lab@images/master//a", "pfs://lab@images/master/a"),
    ],
)
def test_one_form_for_one_asset(uri, expected):
    assert normalize_uri(urlsplit(uri)).geturl() == expected


@pytest.mark.parametrize("uri", ["pfs://images", "pfs:///master", "pfs://images/"])
def test_a_uri_without_repo_or_branch_is_refused(uri):
    with pytest.raises(ValueError, match="is not a pfs asset"):
        normalize_uri(urlsplit(uri))


def test_the_factory_for_lineage_makes_the_same_uri():
    assert create_asset(repo="images").uri == pfs_asset("images").uri
