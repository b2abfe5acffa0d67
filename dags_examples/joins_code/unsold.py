"""An outer join's datum: a store, and one day of purchases if there is any. Writes a file for a store that has none."""

import json
import os
from pathlib import Path


def main() -> None:
    # The variable of an input that has nothing under this key is not set.
    if "purchases" not in os.environ:
        store = json.loads(Path(os.environ["stores"]).read_text())
        (Path("/pfs/out") / store["city"]).write_text("nothing sold\n")


if __name__ == "__main__":
    main()
