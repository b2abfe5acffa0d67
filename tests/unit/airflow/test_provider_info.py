"""The provider's description against Airflow's own schema, and every path in it against the code."""

import json
from dataclasses import fields
from importlib import import_module, resources
from pathlib import Path

import jsonschema
import pytest

from airflow_pachy.hooks.settings import PachySettings
from airflow_pachy.pfs.objects.s3_settings import NAMES
from airflow_pachy.provider_info import get_provider_info

INFO = get_provider_info()


def test_the_description_fits_airflows_schema():
    schema = json.loads(resources.files("airflow").joinpath("provider_info.schema.json").read_text())
    jsonschema.validate(INFO, schema)


def test_the_package_name_is_the_distributions():
    pyproject = Path(__file__).parents[3] / "pyproject.toml"
    assert f'name = "{INFO["package-name"]}"' in pyproject.read_text()


def class_paths():
    yield from (kind["hook-class-name"] for kind in INFO["connection-types"])
    yield from INFO["db-managers"]
    for asset in INFO["asset-uris"]:
        yield from (asset["handler"], asset["factory"])


@pytest.mark.parametrize("path", list(class_paths()))
def test_every_class_and_function_exists(path):
    module, _, name = path.rpartition(".")
    assert callable(getattr(import_module(module), name))


def modules():
    for kind in ("hooks", "operators", "sensors", "triggers"):
        for entry in INFO[kind]:
            yield from entry["python-modules"]


@pytest.mark.parametrize("path", list(modules()))
def test_every_module_exists(path):
    import_module(path)


def test_the_form_has_the_fields_that_the_hook_reads():
    form = set(INFO["connection-types"][0]["conn-fields"])
    read = {field.name for field in fields(PachySettings)} - {"s3"}
    assert form - {"aws_conn_id"} - read <= NAMES
    assert read | {"aws_conn_id", "endpoint_url", "region_name", "verify", "role_arn", "sse"} <= form


def test_secrets_of_the_form_are_hidden():
    form = INFO["connection-types"][0]["conn-fields"]
    secret = {name for name, field in form.items() if field["schema"].get("format") == "password"}
    assert secret == {"metadata", "aws_session_token"}
