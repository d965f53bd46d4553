"""What the chapters share: where data and runs are, progress bars, and figures with stable bytes."""

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import IPython.display
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from wsss_lib.book import chapters
from wsss_lib.pipeline.plots import CARD
from wsss_lib.recipes import toy_quick

ROOT = Path(__file__).parents[2]


@pytest.fixture
def book_folder(tmp_path, monkeypatch):
    """The folder of the book in an empty repository, as the current one."""
    (tmp_path / "_toc.yml").touch()
    (tmp_path / "book").mkdir()
    monkeypatch.chdir(tmp_path / "book")
    return tmp_path


@pytest.fixture
def shown(monkeypatch):
    """What is displayed."""
    displayed = []
    monkeypatch.setattr(IPython.display, "display", displayed.append)
    return displayed


def curve():
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([0, 1], [0, 1])
    return figure


def test_data_and_runs_lie_in_the_repository(book_folder):
    assert chapters.home().resolve() == book_folder
    assert Path(chapters.book_recipe().data.root).resolve() == book_folder / "data" / "book"


def test_elsewhere_they_lie_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert chapters.home() == Path()


def test_the_photos_of_the_book_are_those_of_its_seed():
    recipe = chapters.book_recipe()
    assert recipe.data.draw_seed == recipe.seed == chapters.DATA_SEED
    assert not recipe.supervised.wanted


def small(**changes):
    recipe = toy_quick(3)
    data = replace(recipe.data, root=str(chapters.home() / "data/small"), draw_photos=(6, 3, 2))
    return replace(recipe, data=data, **changes)


def test_without_stages_only_the_photos_are_drawn(book_folder):
    work = chapters.prepare(recipe=small(), name="small")
    assert len(work.photos("train")) == 6
    assert (book_folder / "runs" / "small").is_dir()


def test_what_is_there_is_loaded_and_what_runs_have_in_common_is_shared(book_folder):
    training = replace(toy_quick().classifier.training, epochs=1)
    learner = replace(toy_quick().classifier, training=training)
    recipe = small(classifier=learner)
    first = chapters.prepare("classifier", recipe=recipe, name="book")
    weights = first.run.folder / "checkpoints" / "classifier.safetensors"
    made = weights.stat().st_mtime_ns
    chapters.prepare("classifier", recipe=recipe, name="book")
    assert weights.stat().st_mtime_ns == made
    other = replace(recipe, advcam=replace(recipe.advcam, steps=1))
    second = chapters.prepare("classifier", recipe=other, name="other")
    copy = second.run.folder / "checkpoints" / "classifier.safetensors"
    assert copy.read_bytes() == weights.read_bytes()
    assert copy.stat().st_ino == weights.stat().st_ino or copy.stat().st_mtime_ns == made


@pytest.mark.parametrize("quiet", [True, False])
def test_progress_can_be_silenced(monkeypatch, capsys, quiet):
    monkeypatch.setenv(chapters.QUIET, "1" if quiet else "")
    assert chapters.progress_shown() is not quiet
    assert list(chapters.progress(range(3), "counting")) == [0, 1, 2]
    written = capsys.readouterr()
    assert written.out == "" and ("counting" in written.err) is not quiet


def test_a_curve_is_a_transparent_png(shown):
    chapters.show(curve())
    picture = Image.open(io.BytesIO(shown[0].data))
    assert picture.format == "PNG" and np.asarray(picture)[0, 0, 3] == 0


def test_photos_are_a_jpeg_on_the_dark_card(shown):
    chapters.show(curve(), photos=True)
    picture = Image.open(io.BytesIO(shown[0].data))
    assert picture.format == "JPEG"
    card = [int(CARD[i : i + 2], 16) for i in (1, 3, 5)]
    assert np.abs(np.asarray(picture)[:4, :4].astype(int) - card).max() < 4


@pytest.mark.parametrize("photos", [False, True])
def test_the_same_figure_is_the_same_bytes(shown, photos):
    chapters.show(curve(), photos=photos)
    chapters.show(curve(), photos=photos)
    assert shown[0].data == shown[1].data


def test_the_chapters_need_nothing_that_colab_lacks():
    """Colab has torch, accelerate, safetensors and so on, but not these."""
    lacking = ("tyro", "pydensecrf", "jupyter_book", "nbval", "torchmetrics", "playwright")
    hide = f"import sys\nsys.modules.update(dict.fromkeys({lacking!r}))\n"
    code = (
        hide
        + "import wsss_lib.book.chapters, wsss_lib.book.explorers, wsss_lib.book.checks.answers"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
