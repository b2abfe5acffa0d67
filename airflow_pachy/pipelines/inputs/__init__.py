"""The kinds of input that a pipeline can have, one module each; importing this package registers them all."""

from airflow_pachy.pipelines.inputs.base import Input, InputField, parse_input
from airflow_pachy.pipelines.inputs.cross import CrossInput
from airflow_pachy.pipelines.inputs.pfs import PfsInput
from airflow_pachy.pipelines.inputs.sources import DatumInput, Source, Sources
from airflow_pachy.pipelines.inputs.union import UnionInput

__all__ = [
    "CrossInput",
    "DatumInput",
    "Input",
    "InputField",
    "PfsInput",
    "Source",
    "Sources",
    "UnionInput",
    "parse_input",
]
