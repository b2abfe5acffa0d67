"""What a datum set's pod is to be made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class PodRequest:
    """Where the work is, and what the helper container needs for it.

    `storage` is the data's URL and `set_plan` the plan's key there. `attempt` names the records' folder;
    it must be unique, like the pod's name, which is the natural choice. `credentials_secret` is a Secret in
    the pod's namespace whose keys (`AWS_ACCESS_KEY_ID` and so on) become the helper's environment; without
    one, the pod's service account or node must give access. `volume_bytes` bounds /pfs, staged inputs,
    running datum and outputs together; half of it may be staged inputs. `s3_endpoint` is the server as pods
    reach it. `helper_env` is added to the helper alone (proxies, certificates).
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
    helper_memory_limit: str = "1Gi"
    helper_env: Mapping[str, str] = field(default_factory=dict)
