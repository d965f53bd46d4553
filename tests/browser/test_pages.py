"""The built pages in a browser: nothing missing, nothing broken, and what can be moved does something.

`make test` builds the book first. On a machine without Chromium or npm these tests are skipped, unless
``BROWSER_TEST=required`` is in the environment, as in `.ci/run`.
"""

import functools
import json
import os
import re
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import pytest

from tests.browser import pages
from tests.browser.pages import PHONE, SITE, WIDE

REQUIRED = os.environ.get("BROWSER_TEST") == "required"
PAGES = pages.names()
PICTURES = """() => [...document.querySelectorAll('img')]
    .filter(image => !(image.complete && image.naturalWidth > 0)).map(image => image.outerHTML.slice(0, 200))"""
NO_ALT = """() => [...document.querySelectorAll('.bd-article img')]
    .filter(image => !image.alt.trim()).map(image => image.outerHTML.slice(0, 200))"""
UNTYPESET = r"""() => {
    const found = [];
    const skip = 'script, style, pre, code, mjx-container, textarea, .math';
    const walker = document.createTreeWalker(document.querySelector('.bd-article'), NodeFilter.SHOW_TEXT);
    for (let node; (node = walker.nextNode());) {
        if (node.parentElement.closest(skip)) continue;
        if (/\$\$|\\\(|\\\[|\\frac|\\begin|\{(eq|numref|cite)[:}]|:::/.test(node.data)) found.push(node.data.trim());
    }
    for (const math of document.querySelectorAll('.math')) {
        if (!math.querySelector('mjx-container')) found.push('not typeset: ' + math.textContent);
    }
    for (const error of document.querySelectorAll('mjx-merror, [data-mjx-error]')) {
        found.push('error: ' + (error.getAttribute('data-mjx-error') || error.textContent));
    }
    return found;
}"""
TOO_WIDE = """() => {
    const width = document.documentElement.clientWidth, found = [];
    if (document.documentElement.scrollWidth > width) found.push('the page scrolls sideways');
    const scrolls = element => {
        for (let up = element; up && up !== document.body; up = up.parentElement) {
            if (getComputedStyle(up).overflowX !== 'visible') return true;
        }
        return false;
    };
    for (const element of document.querySelectorAll('.bd-article *')) {
        const box = element.getBoundingClientRect();
        if (box.width && box.right > width + 1 && !scrolls(element.parentElement) && !element.closest('mjx-container')) {
            found.push(element.outerHTML.slice(0, 150));
        }
    }
    return found.slice(0, 5);
}"""
GROUNDS = """() => {
    const transparent = ['rgba(0, 0, 0, 0)', 'transparent'];
    const light = element => {
        const parts = getComputedStyle(element).backgroundColor.match(/[0-9.]+/g).map(Number);
        return (parts.length < 4 || parts[3] > 0.5) && Math.max(...parts.slice(0, 3)) > 200;
    };
    const own = '.bd-article img, .explorer, .widget-subarea, .explorer select, .bd-article details, .bd-article table';
    return [document.body, ...document.querySelectorAll(own)].filter(light)
        .map(element => element.outerHTML.slice(0, 150));
}"""
# The picture that an explorer shows now, by its content; '' where there is none or it has no size.
SHOWN = """box => [...box.querySelectorAll('img')]
    .filter(image => image.checkVisibility() && image.getBoundingClientRect().width > 20)
    .map(image => image.src).join(' ')"""


@pytest.fixture(scope="module")
def browser():
    """A browser for all pages."""
    try:
        with pages.chromium() as browser:
            yield browser
    except pages.NotPossible as error:
        if REQUIRED:
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def base():
    """The address of the built book."""
    if not all((SITE / f"{name}.html").is_file() for name in PAGES):
        if REQUIRED:
            pytest.fail("the book is not built: make book")
        pytest.skip("the book is not built: make book")
    with pages.served() as address:
        yield address


@pytest.fixture
def opened(browser, base):
    """Opens pages, and closes them after the test."""
    contexts = []

    def open_page(name, **options):
        page, complaints = pages.open_page(browser, base, name, **options)
        contexts.append(page.context)
        return page, complaints

    yield open_page
    for context in contexts:
        context.close()


def unfold(page) -> None:
    """Opens all that is folded, as a reader would."""
    page.evaluate(
        "() => document.querySelectorAll('details').forEach(each => { each.open = true; })"
    )


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole(opened, name):
    page, complaints = opened(name)
    unfold(page)
    page.wait_for_function("() => [...document.images].every(image => image.complete)")
    assert page.evaluate(PICTURES) == [], "pictures that did not load"
    assert page.evaluate(NO_ALT) == [], "pictures that say nothing to those who do not see them"
    assert page.evaluate(UNTYPESET) == [], "formulas or roles that a reader would see raw"
    views = page.locator('script[type="application/vnd.jupyter.widget-view+json"]').count()
    assert page.locator(".explorer").count() == views, "not every widget is shown"
    fits(page)
    assert complaints.all() == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_dark_in_dark_mode(opened, name):
    """Nothing is left on a bright ground, and it fits as well."""
    page, complaints = opened(name, dark=True)
    unfold(page)
    assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"
    assert page.evaluate(GROUNDS) == [], "bright grounds in dark mode"
    fits(page)
    assert complaints.all() == []


def fits(page) -> None:
    """On a screen and on a phone nothing is wider than the window."""
    for size in (WIDE, PHONE):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        assert page.evaluate(TOO_WIDE) == [], f"wider than {size[0]} pixels"


def explorers(name: str) -> int:
    """How many explorers a page has."""
    notebook = pages.ROOT / f"{name}.ipynb"
    if not notebook.is_file():
        return 0
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    kind = "application/vnd.jupyter.widget-view+json"
    return sum(kind in output.get("data", {}) for output in outputs)


@pytest.mark.parametrize("name", [name for name in PAGES if explorers(name)])
def test_every_control_changes_the_picture(opened, name):
    page, complaints = opened(name)
    unfold(page)
    boxes = page.locator(".explorer")
    assert boxes.count() == explorers(name)
    for number in range(boxes.count()):
        box = boxes.nth(number)
        box.scroll_into_view_if_needed()
        controls = box.locator(".noUi-handle, select")
        assert controls.count() > 0
        for which in range(controls.count()):
            moved(page, box, controls.nth(which))
    assert complaints.all() == []


def moved(page, box, control) -> None:
    """Moves a control by its keys until the picture changes, and back until it is the first again."""
    first = box.evaluate(SHOWN)
    assert first, "the explorer shows no picture"
    told = box.locator("img:visible").first.get_attribute("alt")
    control.focus()
    for there, back in (("ArrowRight", "ArrowLeft"), ("ArrowLeft", "ArrowRight")):
        for steps in range(1, 30):
            page.keyboard.press(there)
            page.wait_for_timeout(40)
            if box.evaluate(SHOWN) not in ("", first):
                assert box.locator("img:visible").first.get_attribute("alt") != told
                for _ in range(steps):
                    page.keyboard.press(back)
                page.wait_for_timeout(100)
                assert box.evaluate(SHOWN) == first
                return
    pytest.fail(f"moving {control.evaluate('control => control.outerHTML')[:200]} changes nothing")


BAD_PAGE = """<!doctype html><html data-theme="dark"><body style="background:#fff">
<article class="bd-article"><img src="missing.png"><p>See {eq}`eq-a` and $$ x^2 $$.</p>
<div class="math">\\(y\\)</div><div style="width:3000px">wide</div>
<img alt="a" src="https://example.org/elsewhere.png"></article>
<script>console.error("something broke")</script><script>throw new Error("thrown")</script></body></html>"""


def test_the_checks_notice_what_is_wrong(browser, tmp_path):
    (tmp_path / "bad.html").write_text(BAD_PAGE)
    with pages.served(tmp_path) as address:
        page, complaints = pages.open_page(browser, address, "bad")
        assert len(page.evaluate(PICTURES)) == 2
        assert len(page.evaluate(NO_ALT)) == 1
        assert len(page.evaluate(UNTYPESET)) == 2
        assert page.evaluate(TOO_WIDE)
        assert page.evaluate(GROUNDS)
        page.context.close()
    said = "\n".join(complaints.all())
    for expected in ("something broke", "thrown", "missing.png: 404", "elsewhere: https://example"):
        assert expected in said


@functools.cache
def anchors(file: Path) -> set[str]:
    """The places in a page that a link can lead to."""
    return set(re.findall(r'\s(?:id|name)="([^"]+)"', file.read_text(encoding="utf-8")))


def links(file: Path) -> set[str]:
    """The addresses that a page links to."""
    text = file.read_text(encoding="utf-8")
    found = re.findall(r'<a\b[^>]*?\bhref="([^"]*)"', text)
    return {link.replace("&amp;", "&") for link in found}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(base, name):
    dead = []
    for link in links(SITE / f"{name}.html"):
        url, place = urldefrag(urljoin(f"{base}{name}.html", link))
        if not url.startswith(base):
            assert url.startswith(("https://", "http://www.w3.org")), link
            continue
        file = SITE / unquote(url.removeprefix(base))
        if not file.is_file() or (place and unquote(place) not in anchors(file)):
            dead.append(link)
    assert dead == []


def test_the_front_door_leads_in(opened, base):
    page, complaints = opened("index")
    page.wait_for_url("**/intro.html")
    assert page.locator("h1").count() >= 1
    assert complaints.elsewhere == []
