"""The files in helm_values/ fit each other and the code that reads what they set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_pachy.provider_info import get_provider_info

FOLDER = Path(__file__).resolve().parents[3] / "helm_values"


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


@pytest.fixture
def values() -> dict[str, Any]:
    return documents("values.yaml")[0]


def test_rights_go_to_the_service_accounts_that_the_values_name(values: dict[str, Any]) -> None:
    role, binding = documents("rbac.yaml")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    named = {values[component]["serviceAccount"]["name"] for component in ("scheduler", "workers", "triggerer")}
    assert {subject["name"] for subject in binding["subjects"]} == named
    assert role["metadata"]["namespace"] == values["config"]["pachy"]["namespace"]


def test_rights_are_the_least() -> None:
    rules = {
        resource: set(rule["verbs"]) for rule in documents("rbac.yaml")[0]["rules"] for resource in rule["resources"]
    }
    assert rules == {
        "pods": {"create", "get", "list", "watch", "patch", "delete"},
        "pods/log": {"get"},
        "events": {"list"},
    }


def test_services_need_a_role_of_their_own_in_the_same_namespace() -> None:
    role, binding = documents("rbac-standing.yaml")
    pods = documents("rbac.yaml")
    assert role["metadata"]["namespace"] == pods[0]["metadata"]["namespace"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == pods[1]["subjects"]
    assert {resource for rule in role["rules"] for resource in rule["resources"]} == {"deployments", "services", "pods"}


def test_secrets_of_egress_are_read_by_name_and_by_who_runs_tasks() -> None:
    role, binding = documents("rbac-egress.yaml")
    pods = documents("rbac.yaml")
    assert role["metadata"]["namespace"] == pods[0]["metadata"]["namespace"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    (rule,) = role["rules"]
    assert (rule["resources"], rule["verbs"], bool(rule["resourceNames"])) == (["secrets"], ["get"], True)
    assert all(subject in pods[1]["subjects"] for subject in binding["subjects"])


def test_the_values_read_the_secrets_that_are_there(values: dict[str, Any]) -> None:
    connection = documents("connection-secret.yaml")[0]
    wanted = values["secret"][0]
    assert (wanted["secretName"], wanted["secretKey"]) == (connection["metadata"]["name"], "connection")
    assert wanted["envName"] == "AIRFLOW_CONN_PACHY_DEFAULT"
    s3 = documents("s3-secret.yaml")[0]
    assert values["config"]["pachy"]["worker_secret"] == s3["metadata"]["name"]
    assert set(s3["stringData"]) == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def test_the_example_connection_has_only_fields_of_the_form() -> None:
    connection = json.loads(documents("connection-secret.yaml")[0]["stringData"]["connection"])
    fields = get_provider_info()["connection-types"][0]["conn-fields"]
    assert connection["conn_type"] == "pachy"
    assert set(connection["extra"]) <= set(fields)


def test_settings_exist(values: dict[str, Any]) -> None:
    assert set(values["config"]["pachy"]) <= set(get_provider_info()["config"]["pachy"]["options"])


def test_secrets_hold_placeholders_only() -> None:
    for name in ("connection-secret.yaml", "s3-secret.yaml"):
        for value in documents(name)[0]["stringData"].values():
            assert "EXAMPLE" in value


def test_the_network_policy_is_for_the_pods_that_we_make() -> None:
    from airflow_pachy.pods.names import JOB_LABEL

    policy = documents("network-policy.yaml")[0]
    assert policy["metadata"]["namespace"] == documents("rbac.yaml")[0]["metadata"]["namespace"]
    (expression,) = policy["spec"]["podSelector"]["matchExpressions"]
    assert expression == {"key": JOB_LABEL, "operator": "Exists"}
    assert policy["spec"]["ingress"] == []
    assert {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]} == {53, 443}
