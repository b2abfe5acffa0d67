"""Put the candidate with the least error into the registry: /pfs/out/model.json, and its score beside it.

They are links to the input, so the registry refers to the very bytes that were trained and measured.
"""

import json
from pathlib import Path

CANDIDATES, SCORES, OUT = Path("/pfs/candidates"), Path("/pfs/scores"), Path("/pfs/out")


def main() -> None:
    scores = {path.name: json.loads(path.read_text())["rmse_minutes"] for path in sorted(SCORES.glob("*.json"))}
    best = min(scores, key=lambda name: (scores[name], name))
    (OUT / "model.json").symlink_to(CANDIDATES / best)
    (OUT / "score.json").symlink_to(SCORES / best)
    print(f"best of {len(scores)}: {best}")


if __name__ == "__main__":
    main()
