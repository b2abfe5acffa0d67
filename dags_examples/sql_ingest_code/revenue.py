"""Sum up the orders of each day under /pfs/orders: /pfs/out/<day>.csv with units and cents by product."""

import csv
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

ORDERS, OUT = Path("/pfs/orders"), Path("/pfs/out")


def main() -> None:
    for path in sorted(ORDERS.glob("*.parquet")):
        units: Counter[str] = Counter()
        cents: Counter[str] = Counter()
        for order in pq.read_table(path).to_pylist():
            units[order["product"]] += order["quantity"]
            cents[order["product"]] += order["quantity"] * order["price_cents"]
        with (OUT / f"{path.stem}.csv").open("w", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["product", "units", "cents"])
            table.writerows((product, units[product], cents[product]) for product in sorted(units))
        print(f"{path.stem}: {sum(cents.values()) / 100:.2f}")


if __name__ == "__main__":
    main()
