"""A report of hostile names and figures, in a browser: they are text, whatever they say."""

import json
import os
from pathlib import Path

import pytest

from tests.browser import pages
from tests.small_runs import small_recipe
from wsss_lib import toy
from wsss_lib.data import annotations, layout
from wsss_lib.pipeline.make import run_stages
from wsss_lib.pipeline.report import write_report

EVIL = (
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "</style><script>alert(1)</script>",
    "\"'><iframe srcdoc='<script>parent.alert(1)</script>'>",
    "{{7*7}}{% raw %}${alert(1)}",
    "javascript:alert(1)",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<a href='http://127.0.0.1:9/'>",
)


def hostile_data(root: Path) -> Path:
    """The drawn dataset under hostile class names and ids."""
    toy.write(root, train=8, val=4, test=1, size=32, progress=False)
    names = layout.class_names(root)
    evil = [names[0], *EVIL]
    layout.write_lines(root / layout.LABELS, evil)
    for split in ("train", "val"):
        ids = layout.split_ids(root, split)
        renamed = [f"{EVIL[i % 2].replace('/', '')} {id}" for i, id in enumerate(ids)]
        for id, new in zip(ids, renamed):
            objects = [(evil[names.index(n)], box) for n, box in annotations.objects(root, id)]
            (root / layout.ANNOTATIONS / f"{id}.xml").unlink()
            file = root / layout.ANNOTATIONS / f"{new}.xml"
            annotations.write_annotation(file, id=new, size_HW=(32, 32), objects=objects)
            for folder, ending in ((layout.PHOTOS, ".jpg"), (layout.MASKS, ".png")):
                (root / folder / f"{id}{ending}").rename(root / folder / f"{new}{ending}")
        layout.write_lines(root / layout.SPLITS / f"{split}.txt", renamed)
    return root


def tampered(run: Path) -> None:
    """Figures, titles and origin of a run as somebody might have left them who means harm."""
    for number, file in enumerate(sorted((run / "stages").glob("*.json"))):
        mark, evil = json.loads(file.read_text()), EVIL[number % len(EVIL)]
        mark["shown"]["title"] = evil
        mark["figures"] |= {"starts": evil, "reused_from": evil, "threshold": evil, "seconds": evil}
        mark["figures"]["iou"] = {each: 0.5 for each in EVIL}
        file.write_text(json.dumps(mark))
    for name in ("recipe.json", "provenance.json"):
        value = json.loads((run / name).read_text())
        (run / name).write_text(json.dumps(value | {evil: evil for evil in EVIL}))


@pytest.fixture
def report(tmp_path):
    """The report of a run on hostile data, before and after somebody has tampered with it."""
    run = tmp_path / "<img src=x onerror=alert(1)>"
    run_stages(small_recipe(hostile_data(tmp_path / "<svg onload=alert(1)>")), run, progress=False)
    honest = (run / "report.html").read_text()
    tampered(run)
    write_report(run)
    return {"honest": honest, "tampered": (run / "report.html").read_text()}


def test_hostile_names_and_figures_open_no_dialog_and_ask_for_nothing(report):
    try:
        with pages.chromium() as browser:
            for kind, text in report.items():
                heard, body = shown(browser, text)
                assert heard == [], kind
                assert EVIL[0] in body
    except pages.NotPossible as error:
        if os.environ.get("BROWSER_TEST") == "required":
            raise
        pytest.skip(str(error))


def shown(browser, text: str) -> tuple[list[str], str]:
    """What a page asks for or says when it is opened, and the text on it."""
    page, heard = browser.new_page(), []
    page.on("dialog", lambda dialog: (heard.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: heard.append(request.url[:100]))
    page.set_content(text, wait_until="load")
    page.wait_for_timeout(300)
    scripts, body = page.evaluate("document.scripts.length"), page.inner_text("body")
    page.close()
    asked = [each for each in heard if not each.startswith("data:")]
    return asked + ["a script"] * scripts, body
