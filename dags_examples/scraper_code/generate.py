"""Make the pages of two small shops: `generate.py FOLDER [DAY]`. From day to day only some shops change prices."""

import html
import random
import sys
from pathlib import Path

SHOPS = {
    # How often a shop changes its prices, in days.
    "corner": (1, ("Apples", "Bread & butter", "Tea")),
    "market": (7, ("Apples", "Cheese", "Tea", "Wine")),
}


def main(folder: str, day: int = 0) -> None:
    for name, (every, goods) in SHOPS.items():
        rows = []
        for good in goods:
            cents = random.Random(f"{name} {good} {day // every}").randint(99, 999)
            rows.append(f'<li class="offer"><b>{html.escape(good)}</b> <i>{cents / 100:.2f}</i></li>')
        page = f"<!doctype html><title>{name}</title><h1>Today</h1><ul>{''.join(rows)}</ul>\n"
        target = Path(folder) / f"{name}.html"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
