"""Write invented sales, a file for each day: `make_sales.py FOLDER --first 2026-04-28 --days 5`.

A day's sales depend on the day alone, so the same days are the same files.
"""

import argparse
import random
from datetime import date, timedelta
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first", type=date.fromisoformat, required=True)
    parser.add_argument("--days", type=int, default=1)
    options = parser.parse_args()
    for number in range(options.days):
        day = options.first + timedelta(days=number)
        target = options.folder / f"{day:%Y-%m}" / f"{day}.csv"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(sales_of(day))


def sales_of(day: date) -> str:
    """The table of a day's sales."""
    dice = random.Random(day.toordinal())
    rows = [f"{dice.choice(['bread', 'cake', 'coffee'])},{dice.randint(150, 900)}\n" for _ in range(dice.randint(3, 9))]
    return "article,cents\n" + "".join(rows)


if __name__ == "__main__":
    main()
