"""The report: complete, self-contained, and there whatever is missing."""

import base64
import io
import re
import shutil
from html.parser import HTMLParser

import pytest
import torch
from PIL import Image

from wsss_lib.data.files import read_json, write_json
from wsss_lib.data.layout import MASKS, InputError, write_mask
from wsss_lib.data.maps import save_map
from wsss_lib.data.photos import Photos
from wsss_lib.pipeline.pictures import choose
from wsss_lib.pipeline.report import duration, percent, write_report
from wsss_lib.pipeline.runs import Run

MEASURED = {
    "classifier": {"val_map": 0.9719, "negatives": 0, "seconds": 27.4},
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
    "supervised": (
        "The same, from true masks",
        ["checkpoints", "predictions"],
        ["val_miou", "mIoU on val"],
    ),
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
    data = {"root": str(root), "train": "train", "val": "val"}
    return {"data": data, **{stage: {} for stage in MEASURED}, "segmenter": {"seed": 3}}


def record(run, measured, shown=None):
    """Marks stages as done, with their figures."""
    shutil.rmtree(run.folder / "stages", ignore_errors=True)
    for stage, figures in measured.items():
        title, kinds, headline, *line = (SHOWN | (shown or {}))[stage]
        told = {
            "title": title,
            "kinds": kinds,
            "headline": headline,
            "line": line[0] if line else None,
        }
        run.begin(stage, "key", {}, [], told)
        run.finish(stage, "key", figures, figures.get("seconds", 0))
    write_json(run.folder / "metrics.json", measured)


def change(file, **values):
    """Changes some values of a JSON file."""
    write_json(file, read_json(file) | values)


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


def harmless(text, page):
    """Nothing of what is evil is a tag."""
    return "<img src=x" not in text and "x" not in page.links


def test_names_are_escaped(run, tmp_path):
    folder = run.folder.rename(tmp_path / "a <b> & c")
    text = write_report(folder).read_text(encoding="utf-8")
    assert "<title>a &lt;b&gt; &amp; c</title>" in text and "<b> & c" not in text


@pytest.mark.parametrize(
    "where", ["recipe", "root", "date", "title", "headline", "class", "reused"]
)
def test_nothing_in_the_files_of_a_run_becomes_html(run, where):
    """A run may come from somebody else. What is text comes out as text."""
    cam, shown = MEASURED["cam"], {}
    if where == "title":
        shown = {"cam": (EVIL, *SHOWN["cam"][1:])}
    elif where == "headline":
        shown = {"cam": (*SHOWN["cam"][:2], ["miou", EVIL])}
    elif where == "class":
        cam = cam | {"iou": {EVIL: 0.5}}
    elif where == "reused":
        cam = cam | {"reused_from": EVIL}
    record(run, MEASURED | {"cam": cam}, shown)
    if where == "recipe":
        change(run.folder / "recipe.json", **{"segmenter": {EVIL: EVIL}})
    elif where == "root":
        change(run.folder / "recipe.json", data={"root": EVIL})
    elif where == "date":
        change(run.folder / "provenance.json", device=EVIL, **{EVIL: EVIL})
    text, page = read(run)
    assert harmless(text, page)
    assert EVIL in page.text.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize("stage", MEASURED)
def test_numbers_that_are_none_are_left_out(run, stage):
    """What should be a number and is a text is a dash; it is never shown."""
    figures = {key: EVIL for key in MEASURED[stage] | {"starts": 2}}
    write_json(run.folder / "metrics.json", MEASURED | {stage: figures})
    text, page = read(run)
    assert harmless(text, page) and EVIL not in page.text
    row = re.search(rf"<tr><td>{SHOWN[stage][0]}</td>.*?</tr>", text)[0]
    assert "–" in row and "starts" not in row


@pytest.mark.parametrize("value", [EVIL, None, 5, [], {}, [EVIL], {EVIL: EVIL}, [[EVIL, EVIL]]])
def test_whatever_stands_in_a_run_there_is_a_report(run, value):
    """Each value of the figures and of the mark of CAM, and of recipe and provenance, is another thing."""
    mark, metrics, none = run.folder / "stages/cam.json", run.folder / "metrics.json", "nowhere"
    change(run.folder / "recipe.json", data={"root": none})  # without pictures it is fast
    made, figures = read_json(mark), read_json(metrics)["cam"]
    for key in ("iou", "curve", "threshold", "seconds"):
        write_json(metrics, MEASURED | {"cam": figures | {key: value}})
        assert harmless(*read(run))
    write_json(metrics, MEASURED)
    for key in made["shown"]:
        write_json(mark, made | {"shown": made["shown"] | {key: value}})
        assert harmless(*read(run))
    write_json(mark, made | {"shown": value})
    write_json(metrics, {"cam": value})
    assert harmless(*read(run))
    for file in ("metrics.json", "recipe.json", "provenance.json"):
        write_json(run.folder / file, value)
    assert harmless(*read(run))


def test_not_a_number_is_not_shown(run):
    """JSON as Python writes it knows NaN and infinity."""
    nan, endless = float("nan"), float("inf")
    wrong = {key: nan for key in MEASURED["cam"]} | {"curve": [[nan, 0.5], [0.5, endless]]}
    record(run, MEASURED | {"cam": wrong, "seeds": {"miou": endless, "seconds": endless}})
    text, page = read(run)
    assert not re.search(r"\b(nan|inf)\b", page.text.split("Recipe")[0], re.IGNORECASE)


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


def test_stages_stand_in_the_order_of_the_recipe(run):
    record(run, dict(reversed(MEASURED.items())))
    text, _ = read(run)
    rows = re.findall(r"<tr><td>([^<]*)</td>", text)
    titles = [SHOWN[stage][0] for stage in MEASURED]
    assert [row for row in rows if row in titles] == titles


def tiles(text):
    return re.findall(
        r"<div><span>(.*?)</span><b>(.*?)<small>%</small></b><span>(.*?)</span>", text
    )


def test_the_last_of_each_headline_is_on_top_and_the_ceiling_beside(run):
    found = tiles(read(run)[0])
    assert found == [
        ("Classifier", "97.2", "mean average precision on val"),
        ("CAM maps", "53.8", "mIoU on train, one threshold"),
        ("Pseudo-masks from CAM", "66.8", "mIoU on train"),
        ("Segmentation network", "62.1", "mIoU on val; the same, from true masks 77.0"),
    ]


def invented(run, title, *, line=None, headline=("miou", "mIoU on train, one threshold")):
    """Adds a stage to a run that makes maps: those of CAM."""
    shutil.copytree(run.folder / "maps/cam", run.folder / "maps/blur")
    change(run.folder / "recipe.json", blur={})
    shown = {"title": title, "kinds": ["maps"], "headline": headline, "line": line}
    run.begin("blur", "key", {}, [], shown)
    run.finish("blur", "key", MEASURED["cam"], 3)
    change(run.folder / "metrics.json", blur=run.mark("blur")["figures"])


def test_a_stage_that_nobody_has_foreseen_is_everywhere(run):
    look = ["#8a94a0", [0, [1, 1.4]]]
    record(run, MEASURED, {"cam": (*SHOWN["cam"], look)})
    invented(run, "Blurred CAM")
    text, _ = read(run)
    assert ("Blurred CAM maps", "53.8", "mIoU on train, one threshold") in tiles(text)
    assert "<tr><td>Blurred CAM</td><td>53.8" in text and "<th>Blurred CAM</th>" in text
    assert text.count('alt="Blurred CAM of train_') == 6
    svg = re.search(r"<svg.*?</svg>", text, re.DOTALL)[0]
    assert ">Blurred CAM</text>" in svg
    drawn = re.findall(r'clip-path="url[^"]*" style="([^"]*stroke: #[^"]*)"', svg)
    assert len(set(drawn)) == len(drawn) == 2  # its line is not that of CAM


def test_two_stages_of_one_title_are_told_apart(run):
    invented(run, "CAM")
    text, _ = read(run)
    for title in ("CAM (cam)", "CAM (blur)"):
        assert f"<tr><td>{title}</td>" in text and f"<th>{title}</th>" in text
        assert f">{title}</text>" in text and f'alt="{title} of train_0"' in text


@pytest.mark.parametrize("title", ["5 $ or $6", "$\\frac", "_blur", "truth", "photo"])
def test_a_title_is_shown_as_it_is(run, title):
    invented(run, title)
    text, _ = read(run)
    assert re.search(rf"> ?{re.escape(title)}</text>", text)
    assert f"<tr><td>{title}</td>" in text
    heads = re.search(r'<div class="row heads">(.*?)</div>', text)[1]
    assert f"<span>{title}</span><span>truth</span>" in heads
    assert text.count(f'alt="{title} of train_0"') == 1 + (title in ("truth", "photo"))


def test_a_figure_of_its_own_is_the_result_of_a_stage_and_the_classifier_may_leave_the_top(run):
    invented(run, "Boxes", headline=("precision", "share of boxes that fit"))
    change(run.folder / "metrics.json", blur={"precision": 0.42})
    text, _ = read(run)
    assert "<td>Boxes</td><td>42.0 <small>share of boxes that fit</small></td>" in text
    assert [title for title, *_ in tiles(text)][1:] == [
        "Pseudo-masks from CAM",
        "Segmentation network",
        "Boxes maps",
    ]
    assert len(tiles(text)) == 4


def test_it_says_how_often_a_stage_was_started_and_where_it_is_from(run):
    record(run, MEASURED | {"cam": MEASURED["cam"] | {"starts": 1, "reused_from": "other run"}})
    text, page = read(run)
    assert "last of 2 starts" in page.text and "last of 1" not in page.text
    assert "from other run" in re.search(r"<tr><td>CAM</td>.*?</tr>", text)[0]


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


def test_a_run_that_is_half_done_shows_what_there_is(run):
    """Figures come with the end of the command; maps of some photos are there before."""
    record(run, MEASURED, {"supervised": (EVIL, *SHOWN["supervised"][1:])})
    (run.folder / "metrics.json").unlink()
    run.undo("cam_masks")
    for id in ("train_0", "train_1"):
        (run.folder / f"masks/cam_masks/{id}.png").unlink()
    text, page = read(run)
    finished = f"Classifier, CAM, Seeds, Segmentation network, {EVIL}."
    assert "Nothing measured yet" in page.text and finished in page.text and harmless(text, page)
    assert text.count('alt="CAM of train_') == 6
    assert 'alt="Pseudo-masks from CAM of train_' in text
    assert 'alt="Pseudo-masks from CAM of train_0' not in text


@pytest.mark.parametrize("starts", [1, 2])
def test_pictures_are_there_from_any_folder(run, tiny_root, tmp_path, monkeypatch, starts):
    """A relative place of the photos is meant from where the run was started last."""
    (run.folder / "provenance.json").unlink()
    (tmp_path / "before" / tiny_root.name).mkdir(parents=True)  # other photos, of the first start
    for folder in [tmp_path / "before", tiny_root.parent][-starts:]:
        monkeypatch.chdir(folder)
        run.start(recipe(tiny_root.name))
    monkeypatch.chdir(tmp_path)
    text, page = read(run)
    assert "CAM of train_" in text and "No pictures" not in page.text


@pytest.mark.parametrize("gone", ["", "JPEGImages", "ImageSets", "Annotations", "labels.txt"])
def test_without_the_photos_the_numbers_remain(run, own_root, gone):
    write_json(run.folder / "recipe.json", recipe(own_root))
    path = own_root / gone
    path.unlink() if path.is_file() else shutil.rmtree(path)
    _, page = read(run)
    assert "No pictures" in page.text and "53.8" in page.text


def test_without_training_photos_those_of_val_remain(run, own_root):
    write_json(run.folder / "recipe.json", recipe(own_root))
    (own_root / "ImageSets/Segmentation/train.txt").unlink()
    text, page = read(run)
    assert "Not all pictures" in page.text and "train.txt" in page.text
    assert text.count('alt="Segmentation network of val_') == 4


def test_photos_without_a_tag_have_no_example(run, own_root):
    write_json(run.folder / "recipe.json", recipe(own_root))
    for file in (own_root / "Annotations").glob("train_*.xml"):
        file.write_text(re.sub(r"<object>.*</object>", "", file.read_text(), flags=re.DOTALL))
    text, page = read(run)
    assert "of train_" not in text and "No pictures" not in page.text


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
