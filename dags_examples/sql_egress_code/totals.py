"""Sum up each day of each store under /pfs/receipts, for two tables of the warehouse.

The first directory below /pfs/out names the table: `sales_by_day` and `sales_by_product`.
"""

import csv
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

RECEIPTS, OUT = Path("/pfs/receipts"), Path("/pfs/out")


def main() -> None:
    for path in sorted(RECEIPTS.glob("*/*.csv")):
        store, day = path.parent.name, path.stem
        units: dict[str, int] = defaultdict(int)
        turnover: dict[str, Decimal] = defaultdict(Decimal)
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                units[row["product"]] += int(row["quantity"])
                turnover[row["product"]] += int(row["quantity"]) * Decimal(row["price"])
        write("sales_by_day", path, ["day", "store", "turnover"], [[day, store, sum(turnover.values())]])
        rows = [[day, store, product, units[product], turnover[product]] for product in sorted(units)]
        write("sales_by_product", path, ["day", "store", "product", "units", "turnover"], rows)


def write(table: str, source: Path, columns: list[str], rows: list[list[object]]) -> None:
    target = OUT / table / f"{source.parent.name}-{source.name}"
    target.parent.mkdir(exist_ok=True)
    with target.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


if __name__ == "__main__":
    main()
