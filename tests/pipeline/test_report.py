"""The report: complete, self-contained, and there whatever is missing."""

import base64
import io
import re
import shutil
from html.parser import HTMLParser

import pytest
import torch
from PIL import Image

from wsss_lib.data.files import write_json
from wsss_lib.data.layout import MASKS, InputError, write_mask
from wsss_lib.data.maps import save_map
from wsss_lib.data.photos import Photos
from wsss_lib.pipeline.pictures import choose
from wsss_lib.pipeline.report import duration, percent, write_report
from wsss_lib.pipeline.runs import Run

MEASURED = {
    "classifier": {"val_map": 0.9719, "untagged": 0, "seconds": 27.4},
    "cam": {
        "miou": 0.538,
        "threshold": 0.36,
        "miou_best": 0.541,
        "threshold_best": 0.38,
        "miou_best_per_image": 0.581,
        "curve": [[0.0, 0.1], [0.36, 0.538], [1.0, 0.1]],
        "iou": {"background": 0.81, "apple": 0.5, "leaf": None, "plum": 0.25},
        "seconds": 2.04,
    },
    "seeds": {"miou": 0.802, "unsure": 0.13, "seconds": 20},
    "cam_masks": {"miou": 0.668, "unsure": 0.0, "seconds": 3725, "starts": 2},
    "segmenter": {"val_miou": 0.621, "seconds": 61},
    "supervised": {"val_miou": 0.77, "seconds": 1},
}
SHOWN = {
    "classifier": ("Classifier", ["checkpoints"], ["val_map", "mean average precision on val"]),
    "cam": ("CAM", ["maps"], ["miou", "mIoU on train, one threshold"]),
    "seeds": ("Seeds", ["masks"], ["miou", "mIoU on train"]),
    "cam_masks": ("Pseudo-masks from CAM", ["masks"], ["miou", "mIoU on train"]),
    "segmenter": (
        "Segmentation network",
        ["checkpoints", "predictions"],
        ["val_miou", "mIoU on val"],
    ),
    "supervised": ("The same, from true masks", ["checkpoints"], ["val_miou", "mIoU on val"]),
}


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects what a browser would ask for."""

    VOID = {"meta", "link", "img", "br", "use"}

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.text = [], [], ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        links = ("src", "href", "xlink:href", "srcset", "data", "poster")
        self.links += [value for name, value in attributes if name in links]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def recipe(root):
    return {"data": {"root": str(root), "train": "train", "val": "val"}, "segmenter": {"seed": 3}}


def record(run, measured, shown=None):
    """Marks stages as done, with their figures."""
    shutil.rmtree(run.folder / "stages", ignore_errors=True)
    for stage, figures in measured.items():
        title, kinds, headline = (SHOWN | (shown or {}))[stage]
        told = {"title": title, "kinds": kinds, "headline": headline, "line": None}
        run.begin(stage, "key", {}, [], told)
        run.finish(stage, "key", figures, figures.get("seconds", 0))
    write_json(run.folder / "metrics.json", measured)


@pytest.fixture
def run(tiny_root, tmp_path):
    """A run that has made and measured everything up to the segmentation network."""
    run = Run(tmp_path / "my run")
    run.start(recipe(tiny_root), seed=7)
    photos = Photos(tiny_root, "train").tagged()
    for index, id in enumerate(photos.ids):
        classes = photos.tags_NK[index].nonzero().flatten()
        size = photos.image(index).shape[-2:]
        save_map(run.folder / f"maps/cam/{id}.npz", classes, torch.rand(len(classes), 6, 8), size)
        for stage in ("seeds", "cam_masks"):
            (run.folder / "masks" / stage).mkdir(parents=True, exist_ok=True)
            mask = torch.zeros(size, dtype=torch.uint8)
            write_mask(run.folder / f"masks/{stage}/{id}.png", mask)
    predictions = run.folder / "predictions/segmenter"
    predictions.mkdir(parents=True)
    for id in Photos(tiny_root, "val").ids:
        shutil.copy(tiny_root / MASKS / f"{id}.png", predictions / f"{id}.png")
    record(run, MEASURED)
    return run


def read(run):
    text = write_report(run.folder).read_text(encoding="utf-8")
    return text, Page(text)


def test_the_page_asks_for_nothing_from_anywhere(run):
    text, page = read(run)
    assert page.links and all(re.match(r"data:|#", link) for link in page.links)
    assert not re.search(r"url\((?!#)|@import|<script|<iframe", text)
    assert 'name="viewport"' in text and "prefers-color-scheme: dark" in text


def test_the_numbers_of_every_stage_are_there(run):
    _, page = read(run)
    text = re.sub(r"\s+", " ", page.text)
    for number in ("97.2", "53.8 at 0.36", "54.1 at 0.38", "58.1", "80.2 13.0 unsure", "66.8"):
        assert number in text
    for number in ("62.1", "77.0", "2.0 s", "27 s", "1 h 02 min", "1 h 03 min"):
        assert number in text


def test_a_class_without_a_value_has_a_dash(run):
    text, page = read(run)
    assert "–" in re.search(r"<tr><td>[^\n]*leaf</td>.*?</tr>", text)[0]
    assert not re.search(r"\bnan\b", page.text, re.IGNORECASE)


def test_curves_are_drawn_inline(run):
    text, page = read(run)
    assert text.count("<svg") == 1 and "background threshold" in page.text


def test_every_example_shows_its_stages(run):
    text, _ = read(run)
    heads = re.findall(r'<div class="row heads">(.*?)</div>', text)
    train, val = (re.findall(r"<span>(.*?)</span>", head) for head in heads)
    assert train == ["photo", "CAM", "Seeds", "Pseudo-masks from CAM", "truth"]
    assert val == ["photo", "Segmentation network", "truth"]
    assert text.count("<img") == 6 * len(train) + 4 * len(val)


def test_pictures_are_jpegs_of_the_photos(run, tiny_root):
    text, _ = read(run)
    data = re.search(r'src="data:image/jpeg;base64,([^"]+)" [^>]* alt="photo of train_0"', text)[1]
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert image.size == (64, 48)


def test_recipe_and_provenance_are_folded_in(run):
    text, page = read(run)
    assert text.count("<details>") == 2
    assert "segmenter.seed" in page.text and torch.__version__ in page.text


EVIL = "<img src=x onerror=alert(1)>"


def test_names_are_escaped(run, tmp_path):
    folder = run.folder.rename(tmp_path / "a <b> & c")
    text = write_report(folder).read_text(encoding="utf-8")
    assert "<title>a &lt;b&gt; &amp; c</title>" in text and "<b> & c" not in text


@pytest.mark.parametrize("where", ["recipe", "title", "headline", "class", "number", "starts"])
def test_nothing_in_the_files_of_a_run_becomes_html(run, where):
    """A run may come from somebody else."""
    measured = {name: dict(figures) for name, figures in MEASURED.items()}
    shown = {}
    if where == "recipe":
        made = run.recipe | {"segmenter": {EVIL: EVIL}}
        write_json(run.folder / "recipe.json", made)
    elif where == "title":
        shown = {"cam": (EVIL, *SHOWN["cam"][1:])}
    elif where == "headline":
        shown = {"cam": (*SHOWN["cam"][:2], ["miou", EVIL])}
    elif where == "class":
        measured["cam"]["iou"] = {EVIL: 0.5}
    elif where == "number":
        measured["cam"] |= {
            "miou": EVIL,
            "threshold": EVIL,
            "threshold_best": EVIL,
            "seconds": EVIL,
        }
    else:
        measured["cam"] |= {"starts": EVIL, "reused_from": EVIL}
    measured["cam"]["seconds"] = 1
    record(run, measured, shown)
    write_json(run.folder / "metrics.json", measured)
    text, page = read(run)
    assert "onerror" not in re.sub(r"&lt;img.*?&gt;", "", text)
    assert "x" not in page.links


@pytest.mark.parametrize("what", ["class", "id"])
def test_nothing_in_the_data_becomes_html(run, own_root, what):
    write_json(run.folder / "recipe.json", recipe(own_root))
    if what == "class":
        labels = own_root / "labels.txt"
        labels.write_text(labels.read_text().replace("apple", EVIL))
        for file in (own_root / "Annotations").iterdir():
            file.write_text(file.read_text().replace("apple", "&lt;img src=x onerror=alert(1)&gt;"))
    else:
        for folder, ending in (("JPEGImages", "jpg"), ("Annotations", "xml")):
            file = own_root / folder / f"train_0.{ending}"
            file.rename(file.with_name(f"<b onclick=x>.{ending}"))
        split = own_root / "ImageSets/Segmentation/train.txt"
        split.write_text(split.read_text().replace("train_0", "<b onclick=x>"))
        (run.folder / "maps/cam/train_0.npz").rename(run.folder / "maps/cam/<b onclick=x>.npz")
    text, page = read(run)
    assert "<img src=x" not in text and "<b onclick" not in text
    assert ("onerror" if what == "class" else "onclick") in page.text


@pytest.mark.parametrize("stage", MEASURED)
def test_any_stage_may_be_missing(run, stage):
    record(run, {name: values for name, values in MEASURED.items() if name != stage})
    _, page = read(run)
    title = SHOWN[stage][0]
    assert title not in page.text.replace("Pseudo-masks from CAM", "") or stage == "cam_masks"
    assert (title in page.text) is (stage == "cam")


def test_a_run_that_has_just_begun_has_a_report(tmp_path, tiny_root):
    run = Run(tmp_path / "new")
    run.start(recipe(tiny_root))
    _, page = read(run)
    assert "Nothing measured yet" in page.text and "Recipe" in page.text


def test_without_true_masks_there_is_no_truth_and_no_trouble(run, own_root):
    """Tagged photos of a user: seconds are known, mIoU is not."""
    shutil.rmtree(own_root / MASKS)
    few = {name: {"seconds": 5} for name in ("cam", "seeds", "cam_masks", "segmenter")}
    record(run, {"classifier": {"val_map": None, "seconds": 5}, **few})
    write_json(run.folder / "recipe.json", recipe(own_root))
    text, page = read(run)
    assert "truth</span>" not in text and "CAM</span>" in text
    assert not re.search(r"\bnan\b", page.text) and "None" not in page.text.split("Recipe")[0]


def test_pictures_are_there_from_any_folder(run, tiny_root, tmp_path, monkeypatch):
    """A relative place of the photos is meant from where the run was started."""
    monkeypatch.chdir(tiny_root.parent)
    run.start(recipe(tiny_root.name))
    first = run.provenance | {"folder": str(tiny_root.parent)}
    write_json(run.folder / "provenance.json", first)
    monkeypatch.chdir(tmp_path)
    text, page = read(run)
    assert "CAM of train_" in text and "No pictures" not in page.text


def test_without_the_photos_the_numbers_remain(run, own_root):
    write_json(run.folder / "recipe.json", recipe(own_root))
    shutil.rmtree(own_root)
    _, page = read(run)
    assert "No pictures" in page.text and "53.8" in page.text


def test_a_damaged_map_or_mask_is_left_out(run):
    file = run.folder / "maps/cam/train_0.npz"
    file.write_bytes(file.read_bytes()[:50])
    (run.folder / "masks/seeds/train_0.png").write_bytes(b"no picture")
    text, _ = read(run)
    assert 'alt="CAM of train_0' not in text and "Seeds of train_0" not in text
    assert "Pseudo-masks from CAM of train_0" in text


def test_no_run_is_said(tmp_path):
    with pytest.raises(InputError, match="holds no run"):
        write_report(tmp_path)


def test_the_chosen_photos_show_every_class(tiny_root, run):
    photos = Photos(tiny_root, "train").tagged()
    chosen = choose(photos, [run.folder / "masks/seeds"], 2)
    assert photos.tags_NK[chosen].any(dim=0).all()
    assert chosen == sorted(set(chosen))
    assert len(choose(photos, [run.folder / "masks/seeds"], 100)) == len(photos)
    assert choose(photos, [run.folder / "nothing"], 3) == []


def test_numbers_as_people_write_them():
    assert [percent(x) for x in (0.5384, 1.0, 0.0, None)] == ["53.8", "100.0", "0.0", "–"]
    seconds = [0.04, 9.94, 9.96, 59.4, 59.6, 200, 3599.7, 7500, None]
    expected = ["0.0 s", "9.9 s", "10 s", "59 s", "1 min 00 s", "3 min 20 s"]
    assert [duration(s) for s in seconds] == [*expected, "1 h 00 min", "2 h 05 min", "–"]
