"""The kinds of input that a pipeline can have, one module each; importing this package registers them all."""

from airflow_pachy.pipelines.inputs.base import Input, InputField, parse_input
from airflow_pachy.pipelines.inputs.cron import CronInput
from airflow_pachy.pipelines.inputs.cross import CrossInput
from airflow_pachy.pipelines.inputs.git import GitInput
from airflow_pachy.pipelines.inputs.group import GroupInput
from airflow_pachy.pipelines.inputs.join import JoinInput
from airflow_pachy.pipelines.inputs.nothing import NoInput
from airflow_pachy.pipelines.inputs.pfs import PfsInput
from airflow_pachy.pipelines.inputs.sources import Captures, DatumInput, Source, Sources
from airflow_pachy.pipelines.inputs.union import UnionInput

__all__ = [
    "Captures",
    "CronInput",
    "CrossInput",
    "DatumInput",
    "GitInput",
    "GroupInput",
    "Input",
    "InputField",
    "JoinInput",
    "NoInput",
    "PfsInput",
    "Source",
    "Sources",
    "UnionInput",
    "parse_input",
]
