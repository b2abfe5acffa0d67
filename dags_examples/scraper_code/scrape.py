"""Fetch the page whose address is in /pfs/sites/<name>, into /pfs/out/<name>.html."""

import sys
import urllib.error
import urllib.request
from pathlib import Path

SITES, OUT = Path("/pfs/sites"), Path("/pfs/out")
TIMEOUT_SECONDS = 30


def main() -> int:
    for site in sorted(SITES.iterdir()):
        url = site.read_text().strip()
        if not url.startswith(("http://", "https://")):
            print(f"{site.name}: {url!r} is not the address of a web page", file=sys.stderr)
            return 1
        request = urllib.request.Request(url, headers={"User-Agent": "airflow-pachy example"})  # noqa: S310 - see above
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - see above
                page = answer.read()
        except urllib.error.URLError as error:
            # The datum is tried again, and then the job fails rather than publish some of the sites.
            print(f"{url}: {error}", file=sys.stderr)
            return 1
        (OUT / f"{site.name}.html").write_bytes(page)
        print(f"{url}: {len(page)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
