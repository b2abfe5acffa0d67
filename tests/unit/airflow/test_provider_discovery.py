"""Airflow finds the provider by itself, once the package is installed (`pip install -e .` is enough)."""

from importlib.metadata import PackageNotFoundError, distribution

import pytest


def is_installed():
    try:
        distribution("airflow-provider-pachy")
    except PackageNotFoundError:
        return False
    return True


pytestmark = pytest.mark.skipif(not is_installed(), reason="airflow-provider-pachy is not installed, only on the path")


@pytest.fixture(scope="module")
def manager():
    from airflow.providers_manager import ProvidersManager

    return ProvidersManager()


def test_the_provider_is_listed(manager):
    assert "airflow-provider-pachy" in manager.providers


def test_the_connection_type_has_its_hook(manager):
    hook = manager.hooks["pachy"]
    assert hook.hook_class_name == "airflow_pachy.hooks.pfs.PfsHook"
    assert hook.hook_name == "Pachy"


def test_the_scheme_has_handler_and_factory(manager):
    assert manager.asset_uri_handlers["pfs"].__name__ == "normalize_uri"
    assert manager.asset_factories["pfs"].__name__ == "create_asset"


def test_an_asset_uri_is_normalised_by_airflow():
    from airflow.sdk import Asset

    assert Asset(uri="pfs://pachy_default@images/master/").uri == "pfs://images/master"


def test_the_configuration_has_our_defaults(manager):
    manager.initialize_providers_configuration()  # before Airflow 3.2 only Airflow's own commands do that
    from airflow.configuration import conf

    assert conf.getfloat("pachy", "poll_interval") == 1.0
    assert conf.getboolean("pachy", "require_connection") is False


def test_the_plugin_is_found():
    from airflow import plugins_manager

    plugins_manager.ensure_plugins_loaded() if hasattr(plugins_manager, "ensure_plugins_loaded") else None
    plugins = plugins_manager._get_plugins()[0] if hasattr(plugins_manager, "_get_plugins") else plugins_manager.plugins
    assert "pachy" in {plugin.name for plugin in plugins}
