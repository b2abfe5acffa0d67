"""Read the offers of each page under /pfs/pages: /pfs/out/<name>.csv."""

import csv
import sys
from html.parser import HTMLParser
from pathlib import Path

PAGES, OUT = Path("/pfs/pages"), Path("/pfs/out")


class Offers(HTMLParser):
    """Collects what stands in <b> and <i> of each <li class="offer">."""

    def __init__(self):
        super().__init__()
        self.rows = []
        self._tag = None

    def handle_starttag(self, tag, attrs):
        self._tag = tag
        if tag == "li" and ("class", "offer") in attrs:
            self.rows.append({"b": "", "i": ""})

    def handle_endtag(self, tag):  # noqa: ARG002 - the signature is the library's
        self._tag = None

    def handle_data(self, data):
        if self.rows and self._tag in ("b", "i"):
            self.rows[-1][self._tag] += data


def main() -> int:
    for page in sorted(PAGES.glob("*.html")):
        offers = Offers()
        offers.feed(page.read_text())
        if not offers.rows:
            print(f"{page.name} has no offers: has the site changed?", file=sys.stderr)
            return 1
        with (OUT / f"{page.stem}.csv").open("w", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["good", "price"])
            table.writerows((row["b"].strip(), row["i"].strip()) for row in offers.rows)
        print(f"{page.stem}: {len(offers.rows)} offers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
