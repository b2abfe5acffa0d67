"""Link the model with the smallest error as /pfs/out/best.json, and list all of them in /pfs/out/ranking.csv."""

import json
from pathlib import Path

MODELS, OUT = Path("/pfs/grid_models"), Path("/pfs/out")


def main() -> None:
    ranking = sorted((json.loads(path.read_text())["error"], path.name) for path in MODELS.iterdir())
    # A link to an input is stored as a reference to it: a large model is not copied.
    (OUT / "best.json").symlink_to(MODELS / ranking[0][1])
    (OUT / "ranking.csv").write_text("".join(f"{error:.4f},{name}\n" for error, name in ranking))


if __name__ == "__main__":
    main()
