"""The transform of a pipeline: which code runs on a datum, in which image and surroundings."""

from __future__ import annotations

import re
from collections.abc import Mapping  # noqa: TC003 - pydantic reads annotations at run time
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from airflow_pachy.pipelines.models import SpecModel
from airflow_pachy.pipelines.reading.fields import Treatment, fields_below

CMDS_REQUIRED = (
    "cmds is required: the image's entrypoint cannot be known outside Kubernetes, where our shim starts the code, "
    'so say what to run, for example cmds=["python3", "/app/edges.py"] (`cmd` in a pipeline spec)'
)


# Enough that a start of seconds is milliseconds of each datum, few enough that one failure repeats little.
DEFAULT_BATCH = 500


class SecretMount(SpecModel):
    """A key of a Kubernetes secret as an environment variable, or a whole secret as a directory."""

    name: str = Field(min_length=1)
    mount_path: str | None = None
    env_var: str | None = None
    key: str | None = None

    @model_validator(mode="after")
    def _is_used_somehow(self) -> Self:
        if not self.mount_path and not self.env_var:
            raise ValueError(f"secret {self.name!r} has neither mount_path nor env_var, so nothing would see it")
        if self.env_var and not self.key:
            raise ValueError(
                f"secret {self.name!r} as variable {self.env_var!r} needs 'key', the entry to take from it"
            )
        return self


class Transform(SpecModel):
    """What to run: `cmd` is an argv executed without a shell, `stdin` are lines fed to it.

    `user` is a numeric user id, with or without `:group`, or root; `memory_volume` puts a file system in memory
    at /dev/shm. With `batch` (a number, or true for 500) up to so many datums share one process, which finds them
    in /pfs/batch.
    """

    refused: ClassVar[Mapping[str, str]] = fields_below("transform", Treatment.REFUSED)

    image: str = ""
    cmd: tuple[str, ...] = ()
    stdin: tuple[str, ...] = ()
    env: Mapping[str, str] = Field(default_factory=dict)
    secrets: tuple[SecretMount, ...] = ()
    accept_return_code: tuple[int, ...] = ()
    err_cmd: tuple[str, ...] = ()
    err_stdin: tuple[str, ...] = ()
    user: str | None = None
    working_dir: str | None = None
    image_pull_secrets: tuple[str, ...] = ()
    memory_volume: bool = False
    batch: int = Field(default=0, ge=0)

    @field_validator("batch", mode="before")
    @classmethod
    def _true_is_a_number(cls, value: Any) -> Any:
        return DEFAULT_BATCH if value is True else value or 0

    @field_validator("user", mode="before")
    @classmethod
    def _kubernetes_knows_numbers(cls, value: Any) -> Any:
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not text or not isinstance(text, str):
            return text or None
        if text != "root" and not re.fullmatch(r"\d+(:\d+)?", text):
            raise ValueError(
                f"{text!r} is a name, which only the image can resolve, and Kubernetes does not ask it: write the "
                "numeric id (`docker run IMAGE id -u NAME` prints it), or set USER in the Dockerfile and leave this out"
            )
        return "0" if text == "root" else text

    @model_validator(mode="after")
    def _there_is_something_to_run(self) -> Self:
        if not self.cmd:
            raise ValueError(CMDS_REQUIRED)
        if self.stdin and not any(part.strip() for part in self.cmd):
            raise ValueError("stdin is given but cmd is blank: name the program that reads it")
        return self
