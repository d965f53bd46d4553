"""The built book as a site on this machine, and a browser that looks at it."""

import contextlib
import http.server
import mimetypes
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from tests.browser import packages

ROOT = Path(__file__).parents[2]
SITE = ROOT / "_build" / "html"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDE, PHONE = (1280, 900), (390, 844)


class NotPossible(Exception):
    """The browser cannot be used here; the message says why."""


def names() -> list[str]:
    """The pages of the book, as `_toc.yml` lists them."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [toc["root"], *chapters]


@dataclass
class Complaints:
    """What went wrong while a page was open."""

    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def all(self) -> list[str]:
        """Every complaint as one line."""
        kinds = {"console": self.console, "failed": self.requests, "elsewhere": self.elsewhere}
        return [f"{kind}: {line}" for kind, lines in kinds.items() for line in lines]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *arguments: object) -> None:
        pass


@contextlib.contextmanager
def served(folder: Path = SITE) -> Iterator[str]:
    """The address of the folder on this machine."""
    handler = partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def chromium() -> Iterator[object]:
    """A browser of the machine, driven by Playwright.

    Raises:
        NotPossible: something that is needed is not installed.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise NotPossible("Playwright is not installed: see requirements.txt") from None
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        raise NotPossible("Chromium is not installed (on Debian: apt-get install chromium)")
    try:
        packages.install()
    except packages.NotInstalled as error:
        raise NotPossible(str(error)) from None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield browser
        finally:
            browser.close()


def open_page(browser, base: str, name: str, *, size=WIDE, dark: bool = False):
    """A page of the book, loaded and typeset, and the list of what went wrong.

    What it asks of the CDN is served from the packages; what it asks of anybody else fails.
    """
    complaints = Complaints()
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce",
    )
    context.set_default_timeout(180_000)  # also a busy machine gets there
    context.route(lambda url: not url.startswith(base), partial(answer, complaints=complaints))
    page = context.new_page()
    page.on("console", lambda message: heard(message, complaints))
    page.on("pageerror", lambda error: complaints.console.append(f"exception: {error}"))
    page.on("requestfailed", lambda request: failed(request, complaints))
    page.on("response", lambda response: answered(response, complaints))
    page.goto(f"{base}{name}.html", wait_until="load")
    page.wait_for_function("() => !window.MathJax || !!window.MathJax.startup?.promise")
    page.evaluate("() => window.MathJax ? MathJax.startup.promise : null")
    page.wait_for_load_state("networkidle")
    expected = page.locator('script[type="application/vnd.jupyter.widget-view+json"]').count()
    if expected:
        page.wait_for_function(
            "count => document.querySelectorAll('.widget-subarea > *, .explorer').length >= count",
            arg=expected,
        )
    return page, complaints


def answer(route, complaints: Complaints) -> None:
    """Serves a file of a package in place of the CDN."""
    url = route.request.url
    if urlsplit(url).scheme in ("data", "blob"):
        return route.fallback()
    file = packages.file_of(url)
    if file is None:
        complaints.elsewhere.append(url)
        return route.abort()
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    headers = {"Access-Control-Allow-Origin": "*"}
    return route.fulfill(body=file.read_bytes(), content_type=kind, headers=headers)


def heard(message, complaints: Complaints) -> None:
    """Notes the errors of the console."""
    if message.type == "error":
        complaints.console.append(f"{message.text} ({message.location.get('url', '')})")


def failed(request, complaints: Complaints) -> None:
    """Notes a request that got no answer."""
    complaints.requests.append(f"{request.url}: {request.failure}")


def answered(response, complaints: Complaints) -> None:
    """Notes an answer that is an error."""
    if response.status >= 400:
        complaints.requests.append(f"{response.url}: {response.status}")
