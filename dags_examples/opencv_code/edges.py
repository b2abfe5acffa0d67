"""Find the edges in every picture under /pfs/images and write them as PNG to /pfs/out."""

import sys
from pathlib import Path

import cv2

IMAGES, OUT = Path("/pfs/images"), Path("/pfs/out")


def main() -> int:
    for path in sorted(path for path in IMAGES.rglob("*") if path.is_file()):
        image = cv2.imread(str(path))
        if image is None:
            print(f"{path} is not a picture that OpenCV can read", file=sys.stderr)
            return 1
        target = OUT / path.relative_to(IMAGES).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), cv2.Canny(image, 100, 200))
        print(f"{path.name}: {image.shape[1]} x {image.shape[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
