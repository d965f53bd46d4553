"""The scripts that the pages take from a CDN, as npm packages in a folder outside of the repository.

    .venv/bin/python -m tests.browser.packages      # installs them; the test does so by itself

Which ones and in which versions, `_config.yml` says.
"""

import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
CDN = "https://cdn.jsdelivr.net/npm/"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wsss-book" / "npm"
PACKAGE = r"((?:@[\w.-]+/)?[\w.-]+@\d[\w.-]*)"  # name and version, as in @scope/name@1.2.3


class NotInstalled(Exception):
    """A package is not here and could not be fetched."""


def wanted() -> list[str]:
    """The packages that the settings of the book name."""
    settings = (ROOT / "_config.yml").read_text(encoding="utf-8")
    return sorted(set(re.findall(re.escape(CDN) + PACKAGE + "/", settings)))


def folder(package: str) -> Path:
    """Where the files of a package lie."""
    return CACHE / package.replace("/", "+")


def install() -> None:
    """Fetches what is missing.

    Raises:
        NotInstalled: there is no npm, or it finds no registry.
    """
    missing = [package for package in wanted() if not folder(package).is_dir()]
    if not missing:
        return
    npm = shutil.which("npm")
    if npm is None:
        raise NotInstalled(f"npm is not installed, and {' '.join(missing)} have to be fetched")
    CACHE.mkdir(parents=True, exist_ok=True)
    for package in missing:
        with tempfile.TemporaryDirectory(dir=CACHE) as name:
            aside = Path(name)
            command = [npm, "pack", "--silent", "--pack-destination", name, package]
            done = subprocess.run(command, cwd=name, capture_output=True, text=True)
            archives = list(aside.glob("*.tgz"))
            if done.returncode or len(archives) != 1:
                raise NotInstalled(f"npm could not fetch {package}: {done.stderr[-500:]}")
            unpack(archives[0], aside / "files")
            (aside / "files").rename(folder(package))


def unpack(archive: Path, target: Path) -> None:
    """Unpacks an archive of npm, whose files all lie below one folder, `package`."""
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            top, _, inner = member.name.partition("/")
            place = (target / inner).resolve()
            if member.isfile() and place.is_relative_to(target.resolve()):
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(tar.extractfile(member).read())


def file_of(url: str) -> Path | None:
    """The file behind an address of the CDN; None if it is not one of the packages wanted."""
    match = re.match(re.escape(CDN) + PACKAGE + r"/([^?#]+)", url)
    if match is None or match[1] not in wanted():
        return None
    place = (folder(match[1]) / match[2]).resolve()
    inside = place.is_relative_to(folder(match[1]).resolve())
    return place if inside and place.is_file() else None


if __name__ == "__main__":
    install()
    print("\n".join(str(folder(package)) for package in wanted()))
