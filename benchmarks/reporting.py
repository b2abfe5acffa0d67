"""What a measured process says to the one that measures it; apart, so that the former need import little."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_pachy.pfs.objects import CountingStore

REPORT = "BENCHMARK-REPORT "


def report(inside_seconds: float, store: CountingStore | None = None, **notes: Any) -> None:
    """Called in the measured process: hand the inner measurements to the parent."""
    document: dict[str, Any] = {"inside_seconds": inside_seconds, "notes": notes}
    if store is not None:
        counts = store.counts
        document |= {
            "requests": counts.total,
            "sent_bytes": counts.bytes["put"],
            "received_bytes": counts.bytes["get"],
        }
    print("\n" + REPORT + json.dumps(document), flush=True)
