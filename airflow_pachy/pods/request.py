"""What a datum set's pod is to be made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

GIB = 1 << 30
HELPER_USER = 10001
"""The user of the helper image."""
HELPER_MEMORY = "1Gi"


@dataclass(frozen=True, slots=True)
class PodRequest:
    """Where the work is, and what the helper container needs for it.

    `storage` is the data's URL and `set_plan` the plan's key there. `attempt` names the records' folder and
    must never be used twice; its part before the first "-" is the try of the task. `credentials_secret` is a Secret in
    the pod's namespace whose keys (`AWS_ACCESS_KEY_ID` and so on) become the helper's environment; without
    one, the pod's service account or node must give access. `volume_bytes` bounds /pfs, staged inputs,
    running datum and outputs together; half of it may be staged inputs. `s3_endpoint` is the server as pods
    reach it. `helper_env` is added to the helper alone (proxies, certificates). `helper_user` of None leaves the
    uid of our containers to the cluster, as OpenShift demands. `sidecar` makes the helper a native one (see `shape`).
    `restricted` gives the user's container what the "restricted" Pod Security profile asks for, where it says nothing.
    """

    helper_image: str
    storage: str
    set_plan: str
    attempt: str
    credentials_secret: str | None = None
    s3_endpoint: str | None = None
    s3_region: str | None = None
    s3_addressing_style: str | None = None
    volume_bytes: int = 20 * GIB
    image_pull_policy: str | None = None
    helper_cpu: str = "100m"
    helper_memory_request: str = "256Mi"
    helper_memory_limit: str = HELPER_MEMORY
    helper_env: Mapping[str, str] = field(default_factory=dict)
    helper_user: int | None = HELPER_USER
    kill_grace_seconds: int = 10
    sidecar: bool = False
    restricted: bool = False
