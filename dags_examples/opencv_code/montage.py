"""Put all pictures and their edges side by side into /pfs/out/montage.png; the same input gives the same bytes."""

import sys
from pathlib import Path

import cv2
import numpy as np

IMAGES, EDGES, OUT = Path("/pfs/images"), Path("/pfs/edges"), Path("/pfs/out")
TILE = 256  # pixels, width and height
PAIRS_PER_ROW = 2


def main() -> int:
    tiles = []
    for path in sorted(path for path in IMAGES.rglob("*") if path.is_file()):
        edges = EDGES / path.relative_to(IMAGES).with_suffix(".png")
        tiles += [tile(path), tile(edges)]
    if not tiles:
        print("there are no pictures yet")
        return 0
    columns = 2 * PAIRS_PER_ROW
    tiles += [np.zeros((TILE, TILE, 3), np.uint8)] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    cv2.imwrite(str(OUT / "montage.png"), np.vstack(rows))
    print(f"{len(rows)} rows of {columns} tiles")
    return 0


def tile(path: Path) -> np.ndarray:
    """The picture scaled into a square, on black; all black when there is none."""
    square = np.zeros((TILE, TILE, 3), np.uint8)
    image = cv2.imread(str(path)) if path.exists() else None
    if image is not None:
        height, width = image.shape[:2]
        scale = TILE / max(height, width)
        small = cv2.resize(
            image, (max(1, int(width * scale)), max(1, int(height * scale))), interpolation=cv2.INTER_AREA
        )
        top, left = (TILE - small.shape[0]) // 2, (TILE - small.shape[1]) // 2
        square[top : top + small.shape[0], left : left + small.shape[1]] = small
    return square


if __name__ == "__main__":
    sys.exit(main())
