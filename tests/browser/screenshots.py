"""Takes pictures of the built pages, for people to look at: wide and on a phone, light and dark.

    .venv/bin/python -m tests.browser.screenshots FOLDER [PART-OF-A-NAME ...]

With parts of names only the pages whose names hold one of them.
"""

import sys
from pathlib import Path

from tests.browser.pages import PHONE, WIDE, chromium, names, open_page, served

HEIGHT = 2600  # of a part, in pixels
LOOKS = {
    "wide-light": (WIDE, False),
    "wide-dark": (WIDE, True),
    "phone-light": (PHONE, False),
    "phone-dark": (PHONE, True),
}


def take(folder: Path, chosen: list[str]) -> list[Path]:
    """Writes PNGs of each page in each look, from top to bottom in parts."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    with served() as base, chromium() as browser:
        for name in names():
            if chosen and not any(part in name for part in chosen):
                continue
            for look, (size, dark) in LOOKS.items():
                page, complaints = open_page(browser, base, name, size=size, dark=dark)
                page.set_viewport_size({"width": size[0], "height": HEIGHT})
                height = page.evaluate("() => document.documentElement.scrollHeight")
                for part, top in enumerate(range(0, height, HEIGHT), start=1):
                    page.evaluate("top => window.scrollTo(0, top)", top)
                    files.append(folder / f"{Path(name).name}-{look}-{part}.png")
                    page.screenshot(path=files[-1])
                print(files[-1], *complaints.all(), sep="\n    ", flush=True)
                page.context.close()
    return files


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    take(Path(sys.argv[1]), sys.argv[2:])
