"""The mean weight of each label in each file under /pfs/samples, as /pfs/out/<file>.json."""

import json
from pathlib import Path

SAMPLES, OUT = Path("/pfs/samples"), Path("/pfs/out")


def main() -> None:
    for path in sorted(SAMPLES.glob("*.jsonl")):
        grams: dict[str, list[float]] = {}
        for line in path.read_text().splitlines():
            sample = json.loads(line)
            grams.setdefault(sample["label"], []).append(sample["grams"])
        means = {label: round(sum(values) / len(values), 3) for label, values in sorted(grams.items())}
        (OUT / f"{path.stem}.json").write_text(json.dumps(means) + "\n")
        print(f"{path.name}: {means}")


if __name__ == "__main__":
    main()
