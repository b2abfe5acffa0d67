"""S3 from connections: every setting of ours, and Airflow's `aws` connections with their roles."""

from __future__ import annotations

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest
from airflow.sdk import Connection

from airflow_pachy.errors import InvalidArgument
from airflow_pachy.hooks import principals
from airflow_pachy.hooks.settings import from_connection
from airflow_pachy.pfs.objects.s3_settings import NAMES, VARIABLES, S3Settings, from_environment, to_environment
from airflow_pachy.pfs.settings import settings_from


def pachy(**extra):
    return Connection(conn_id="pachy_default", conn_type="pachy", extra=json.dumps({"aws_conn_id": "aws", **extra}))


def aws(login=None, password=None, **extra):
    return Connection(conn_id="aws", conn_type="aws", login=login, password=password, extra=json.dumps(extra))


def s3(connection, other=None):
    settings = dict(from_connection(connection, other).s3)
    S3Settings.of(settings)
    return settings


def test_every_setting_can_be_said_in_the_connection():
    given = {
        "sse": "aws:kms",
        "sse_kms_key_id": "alias/pachy",
        "requester_pays": True,
        "connect_timeout": 2,
        "read_timeout": "30",
        "max_attempts": "3",
        "retry_mode": "adaptive",
        "role_arn": "arn:aws:iam::1:role/r",
        "external_id": "x",
        "role_session_name": "me",
        "role_duration_seconds": 3600,
        "sts_endpoint_url": "http://sts",
        "profile_name": "p",
        "verify": False,
    }
    assert s3(pachy(**given)) == given | {"connect_timeout": 2.0, "read_timeout": 30.0, "max_attempts": 3}


def test_wrong_values_name_connection_and_field():
    with pytest.raises(InvalidArgument, match=r"connection 'pachy_default': sse cannot be 'des'.*AES256, aws:kms"):
        from_connection(pachy(sse="des"))
    with pytest.raises(InvalidArgument, match="connection 'aws': connect_timeout cannot be -1"):
        from_connection(pachy(), aws(config_kwargs={"connect_timeout": -1}))


def test_a_role_of_the_aws_connection_is_ours_to_assume():
    found = s3(
        pachy(endpoint_url="https://s3.example.com"),
        aws(
            "key",
            "secret",
            role_arn="arn:aws:iam::1:role/r",
            assume_role_kwargs={"ExternalId": "x", "DurationSeconds": 1800, "RoleSessionName": "me"},
            region_name="eu-west-1",
            verify=False,
            service_config={"s3": {"endpoint_url": "http://theirs"}, "sts": {"endpoint_url": "http://sts"}},
            config_kwargs={"s3": {"addressing_style": "virtual"}, "retries": {"total_max_attempts": 9}},
        ),
    )
    assert found == {
        "aws_access_key_id": "key",
        "aws_secret_access_key": "secret",
        "role_arn": "arn:aws:iam::1:role/r",
        "external_id": "x",
        "role_duration_seconds": 1800,
        "role_session_name": "me",
        "region_name": "eu-west-1",
        "verify": False,
        "endpoint_url": "https://s3.example.com",
        "sts_endpoint_url": "http://sts",
        "addressing_style": "virtual",
        "max_attempts": 9,
    }


def test_a_profile_and_a_session_token_arrive():
    assert s3(pachy(), aws(session_kwargs={"profile_name": "p"})) == {"profile_name": "p"}
    assert s3(pachy(), aws("key", "secret", aws_session_token="t"))["aws_session_token"] == "t"


def test_a_credential_is_taken_from_one_place_as_a_whole():
    ours = pachy(aws_access_key_id="our-key", aws_secret_access_key="our-secret")
    found = s3(ours, aws("key", "secret", aws_session_token="t", profile_name="p", region_name="r"))
    assert found == {"aws_access_key_id": "our-key", "aws_secret_access_key": "our-secret", "region_name": "r"}
    environment = {"PACHY_S3_SESSION_TOKEN": "t", "PACHY_S3_REGION": "r"}
    assert settings_from(environment, storage="s3://b", metadata="sqlite://", s3=found).s3 == found


def test_a_web_identity_in_a_file_is_ours_to_use():
    found = s3(
        pachy(),
        aws(
            role_arn="arn",
            assume_role_method="assume_role_with_web_identity",
            assume_role_with_web_identity_federation="file",
            assume_role_with_web_identity_token_file="/token",
        ),
    )
    assert found == {"role_arn": "arn", "web_identity_token_file": "/token"}


def test_other_ways_of_signing_in_need_the_amazon_provider():
    saml = aws(role_arn="arn", assume_role_method="assume_role_with_saml", region_name="r")
    with pytest.raises(
        InvalidArgument, match="'aws' signs in by assume_role_with_saml, which needs apache-airflow-prov"
    ):
        from_connection(pachy(), saml)


def test_the_amazon_provider_is_asked_where_it_is_installed(monkeypatch):
    class AwsBaseHook:
        def __init__(self, aws_conn_id, client_type):
            assert (aws_conn_id, client_type) == ("aws", "s3")

        def get_credentials(self):
            return SimpleNamespace(access_key="k", secret_key="s", token="t")

    module = ModuleType("airflow.providers.amazon.aws.hooks.base_aws")
    module.AwsBaseHook = AwsBaseHook
    for name in ("amazon", "amazon.aws", "amazon.aws.hooks"):
        monkeypatch.setitem(sys.modules, f"airflow.providers.{name}", ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    saml = aws(role_arn="arn", assume_role_method="assume_role_with_saml", region_name="r")
    assert s3(pachy(), saml) == {
        "aws_access_key_id": "k",
        "aws_secret_access_key": "s",
        "aws_session_token": "t",
        "region_name": "r",
    }


def test_every_setting_has_a_variable_and_comes_back_from_it():
    assert set(VARIABLES.values()) == NAMES
    given = {"sse": "AES256", "read_timeout": 5.0, "requester_pays": True, "verify": False, "max_attempts": 2}
    assert from_environment(to_environment(given)) == given
    assert from_environment({"PACHY_S3_ENDPOINT": "http://s3", "PACHY_S3_SSE": "", "HOME": "/"}) == {
        "endpoint_url": "http://s3"
    }


def test_wrong_variables_are_told_by_name():
    with pytest.raises(InvalidArgument, match="PACHY_S3_READ_TIMEOUT cannot be 'long'"):
        from_environment({"PACHY_S3_READ_TIMEOUT": "long"})
    with pytest.raises(InvalidArgument, match="PACHY_S3_ENDPIONT means nothing; did you mean PACHY_S3_ENDPOINT"):
        from_environment({"PACHY_S3_ENDPIONT": "http://s3"})


def test_the_principal_of_a_task_can_be_its_dag(monkeypatch):
    assert from_connection(pachy(principal="dag:{dag_id}")).principal == "dag:{dag_id}"
    assert principals.caller("dag:{dag_id}") == "robot:airflow"
    context = {"ti": SimpleNamespace(dag_id="edges")}
    monkeypatch.setattr("airflow.sdk.get_current_context", lambda: context)
    assert principals.caller("dag:{dag_id},group:lab") == "dag:edges,group:lab"
    assert principals.caller("user:ada") == "user:ada"
    with pytest.raises(InvalidArgument, match=r"only \{dag_id\} is replaced"):
        from_connection(pachy(principal="dag:{run_id}"))


def test_pods_are_told_what_holds_there_too_and_no_secret():
    from airflow_pachy.operators.pod_arguments import pod_request

    settings = from_connection(
        pachy(
            aws_access_key_id="key",
            aws_secret_access_key="hush",
            storage="s3://bucket/x",
            helper_image="helper",
            sse="aws:kms",
            sse_kms_key_id="alias/pachy",
            read_timeout=20,
            role_arn="arn:aws:iam::1:role/r",
        )
    )
    environment = dict(pod_request(settings, "jobs/1/plan/1-0.json", attempt="a").helper_env)
    assert environment == {
        "PACHY_S3_SSE": "aws:kms",
        "PACHY_S3_SSE_KMS_KEY_ID": "alias/pachy",
        "PACHY_S3_READ_TIMEOUT": "20.0",
    }
    assert from_environment(environment)["read_timeout"] == 20.0
