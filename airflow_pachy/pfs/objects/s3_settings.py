"""How to reach an S3 service: every setting, read from text or Python values and checked before anything is asked.

The same names are used by `open_store(s3=...)`, the extra of a `pachy` connection and `pachy --s3 NAME=VALUE`;
`VARIABLES` has those of the environment. Nothing here imports botocore, so that a wrong value is told at once.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from airflow_pachy.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

ADDRESSING_STYLES = ("auto", "path", "virtual")
RETRY_MODES = ("standard", "adaptive")
ENCRYPTIONS = ("AES256", "aws:kms", "aws:kms:dsse")
SECRETS = frozenset({"aws_access_key_id", "aws_secret_access_key", "aws_session_token"})
# Of the helper in pods, which says in airflow_pachy/worker/__main__.py what it means.
OTHER_VARIABLES = frozenset({"PACHY_S3_PATIENCE_SECONDS"})
_LONGEST_SECONDS = 3600.0
_MOST_ATTEMPTS = 50
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


@dataclass(frozen=True, slots=True)
class S3Settings:
    """What is not set comes from where AWS's own tools take it: environment, profile, instance or pod role.

    `verify` is whether to check the server's certificate, or the path of a CA bundle. `sse` encrypts every object at
    rest ("AES256", "aws:kms", "aws:kms:dsse"). Timeouts are seconds of silence; each of `max_attempts` has its own.
    With `role_arn` that role is assumed, with the credentials that are given or found, and renewed before it
    expires; with `web_identity_token_file` by the token in that file.
    """

    endpoint_url: str | None = None
    region_name: str | None = None
    addressing_style: str | None = None
    verify: bool | str | None = None
    aws_access_key_id: str | None = field(default=None, repr=False)
    aws_secret_access_key: str | None = field(default=None, repr=False)
    aws_session_token: str | None = field(default=None, repr=False)
    profile_name: str | None = None
    role_arn: str | None = None
    role_session_name: str | None = None
    role_duration_seconds: int | None = None
    external_id: str | None = None
    web_identity_token_file: str | None = None
    sts_endpoint_url: str | None = None
    sse: str | None = None
    sse_kms_key_id: str | None = None
    requester_pays: bool = False
    connect_timeout: float = 4.0
    read_timeout: float = 60.0
    max_attempts: int = 6
    retry_mode: str = "standard"

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> S3Settings:
        """Read and check settings; None and "" mean absent. Raises `InvalidArgument` naming the setting."""
        settings = cls(**checked(given))
        settings._check_together()
        return settings

    @property
    def keys(self) -> dict[str, str]:
        """The static credentials, as a client takes them."""
        names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def _check_together(self) -> None:
        if bool(self.aws_access_key_id) != bool(self.aws_secret_access_key):
            missing = "aws_secret_access_key" if self.aws_access_key_id else "aws_access_key_id"
            raise InvalidArgument(f"half of an S3 credential: {missing} is missing; set both or neither")
        self._require("aws_session_token", "aws_access_key_id")
        for name in ("external_id", "role_session_name", "role_duration_seconds", "web_identity_token_file"):
            self._require(name, "role_arn")
        if isinstance(self.verify, str) and not Path(self.verify).exists():
            raise InvalidArgument(
                f"verify names {self.verify!r}, and there is no such file; give true, false, or the path of a CA "
                "bundle (PEM) on this machine"
            )
        if self.sse_kms_key_id and not (self.sse or "").startswith("aws:kms"):
            raise InvalidArgument(f"sse_kms_key_id needs sse = aws:kms (or aws:kms:dsse), not {self.sse!r}")

    def _require(self, name: str, other: str) -> None:
        if getattr(self, name) and not getattr(self, other):
            raise InvalidArgument(f"the S3 setting {name} means nothing without {other}; set both or neither")


def checked(given: Mapping[str, Any], label: Callable[[str], str] = str) -> dict[str, Any]:
    """The settings that are present, each with its type. Raises `InvalidArgument`, calling a setting by its `label`."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name not in NAMES:
            raise InvalidArgument(f"unknown S3 settings: {label(name)}; {_hint(name, NAMES)}")
        if value is None or value == "":
            continue
        try:
            found[name] = _READERS.get(name, _text)(value)
        except (TypeError, ValueError) as error:
            shown = "it" if name in SECRETS else f"{value!r}"
            raise InvalidArgument(f"{label(name)} cannot be {shown}: {error}") from error
    return found


def from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings in `PACHY_S3_*` variables. Raises `InvalidArgument` naming the variable."""
    known = VARIABLES.keys() | OTHER_VARIABLES
    unknown = sorted(name for name in environment if name.startswith("PACHY_S3_") and name not in known)
    if unknown:
        hint = _hint(unknown[0], VARIABLES)
        raise InvalidArgument(f"the environment variable {unknown[0]} means nothing; {hint}")
    names = {setting: variable for variable, setting in VARIABLES.items()}
    given = {VARIABLES[name]: environment[name] for name in VARIABLES if environment.get(name)}
    return checked(given, label=names.__getitem__)


def _hint(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, sorted(known), n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known))}"


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of two sources, those in `over` first. A credential comes from one of them as a whole."""
    taken = SECRETS | {"profile_name"} if any(over.get(name) for name in SECRETS) else frozenset()
    return {**{name: value for name, value in base.items() if name not in taken}, **over}


def to_environment(settings: Mapping[str, Any]) -> dict[str, str]:
    """Variables that say the same to another process."""
    names = {setting: variable for variable, setting in VARIABLES.items()}
    return {names[name]: _written(value) for name, value in settings.items() if value is not None}


def read_switch(value: object) -> bool:
    """A truth value from a bool or one of the usual words; raises `ValueError`."""
    word = str(value).strip().lower()
    if isinstance(value, bool) or word in _TRUE | _FALSE:
        return value if isinstance(value, bool) else word in _TRUE
    raise ValueError("use true or false")


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text(value: object) -> str:
    if not isinstance(value, (str, PurePath)):
        raise TypeError("it must be text")
    return str(value)


def _verify(value: object) -> bool | str:
    if isinstance(value, bool):
        return value
    word = _text(value)
    if word.lower() in _TRUE | _FALSE:
        return word.lower() in _TRUE
    return str(Path(word).expanduser())


def _url(value: object) -> str:
    text = _text(value)
    if not text.lower().startswith(("http://", "https://")):
        raise ValueError("an endpoint is written http://host:port or https://host")
    return text


def _one_of(words: tuple[str, ...]) -> Callable[[object], str]:
    def read(value: object) -> str:
        found = next((word for word in words if word.lower() == str(value).lower()), None)
        if found is None:
            raise ValueError(f"use one of {', '.join(words)}")
        return found

    return read


def _seconds(value: object) -> float:
    seconds = float(str(value))
    if not 0 < seconds <= _LONGEST_SECONDS:
        raise ValueError(f"give seconds, more than 0 and at most {_LONGEST_SECONDS:.0f}")
    return seconds


def _attempts(value: object) -> int:
    attempts = int(str(value))
    if not 1 <= attempts <= _MOST_ATTEMPTS:
        raise ValueError(f"give a number from 1 to {_MOST_ATTEMPTS}")
    return attempts


def _duration(value: object) -> int:
    seconds = int(str(value))
    if not 900 <= seconds <= 43_200:
        raise ValueError("a role is assumed for 900 to 43200 seconds")
    return seconds


_READERS: dict[str, Callable[[object], Any]] = {
    "endpoint_url": _url,
    "sts_endpoint_url": _url,
    "verify": _verify,
    "addressing_style": _one_of(ADDRESSING_STYLES),
    "sse": _one_of(ENCRYPTIONS),
    "retry_mode": _one_of(RETRY_MODES),
    "requester_pays": read_switch,
    "connect_timeout": _seconds,
    "read_timeout": _seconds,
    "max_attempts": _attempts,
    "role_duration_seconds": _duration,
}
NAMES = frozenset(one.name for one in fields(S3Settings))
_SHORT = {
    "endpoint_url": "ENDPOINT",
    "region_name": "REGION",
    "aws_access_key_id": "ACCESS_KEY_ID",
    "aws_secret_access_key": "SECRET_ACCESS_KEY",
    "aws_session_token": "SESSION_TOKEN",
    "profile_name": "PROFILE",
    "sts_endpoint_url": "STS_ENDPOINT",
}
VARIABLES: dict[str, str] = {
    f"PACHY_S3_{_SHORT.get(one.name, one.name.upper())}": one.name for one in fields(S3Settings)
}
DEFAULTS: dict[str, Any] = {one.name: one.default for one in fields(S3Settings) if one.default not in (None, MISSING)}
