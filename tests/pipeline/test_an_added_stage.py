"""A stage that nobody has foreseen: one file and one field, and the rest follows."""

from dataclasses import dataclass, fields, replace

import pytest
import torch
from torchvision.transforms.v2.functional import gaussian_blur

from tests.small_runs import figures, small_recipe
from wsss_lib import cli
from wsss_lib.data.maps import load_map
from wsss_lib.pipeline.kinds import MAPS
from wsss_lib.pipeline.make import make_stages, plan, run_stages
from wsss_lib.pipeline.stage import MapStage
from wsss_lib.recipes import RECIPES, Segmentation


@dataclass(frozen=True, kw_only=True)
class BlurStage(MapStage):
    """Maps, blurred by a Gaussian."""

    title = "Blurred CAM"
    source: str = "cam"
    sigma: float = 2.0

    def needs(self, recipe):
        return (self.source,)

    def make(self, work):
        for id in work.unmade(MAPS, work.tagged()):
            classes_k, map_khw, size = load_map(
                work.run.folder / "maps" / self.source / f"{id}.npz"
            )
            work.save_map(id, classes_k, gaussian_blur(map_khw, [9, 9], [self.sigma] * 2), size)


@dataclass(frozen=True, kw_only=True)
class Blurred(Segmentation):
    """From tags to masks, with one stage more."""

    blur: BlurStage = BlurStage()


def blurred_recipe(root) -> Blurred:
    small = small_recipe(root)
    return Blurred(**{each.name: getattr(small, each.name) for each in fields(small)})


@pytest.fixture(scope="module")
def run(tiny_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "blurred"
    return run_stages(blurred_recipe(tiny_root), folder, targets=["blur", "cam"], progress=False)


def test_it_is_made_of_what_it_needs(run):
    assert sorted(file.stem for file in (run.folder / "stages").iterdir()) == [
        "blur",
        "cam",
        "classifier",
    ]
    cam, blur = (load_map(run.folder / f"maps/{name}/train_3.npz")[1] for name in ("cam", "blur"))
    torch.testing.assert_close(blur, gaussian_blur(cam, [9, 9], [2.0, 2.0]), rtol=0, atol=1e-3)


def test_it_is_evaluated(run):
    measured = figures(run.folder)["blur"]
    assert 0 < measured["miou"] <= measured["miou_best"] and "band" in measured


def test_it_is_fingerprinted(run, tiny_root):
    recipe = blurred_recipe(tiny_root)
    wider = replace(recipe, blur=replace(recipe.blur, sigma=3.0))
    later = replace(recipe, blur=replace(recipe.blur, threshold=0.5))
    work = make_stages(recipe, run.folder, targets=["blur"], progress=False)
    states = [
        {each.name: each.state for each in plan(replace(work, recipe=each))}["blur"]
        for each in (recipe, wider, later)
    ]
    assert states == ["done", "otherwise", "done"]


def test_it_is_resumed(run, tiny_root):
    whole = {file.name: file.read_bytes() for file in (run.folder / "maps/blur").iterdir()}
    run.undo("blur")
    (run.folder / "maps/blur/train_3.npz").unlink()
    before = {file: file.stat().st_mtime_ns for file in (run.folder / "maps/blur").iterdir()}
    make_stages(blurred_recipe(tiny_root), run.folder, targets=["blur"], progress=False)
    assert {file.name: file.read_bytes() for file in (run.folder / "maps/blur").iterdir()} == whole
    assert all(file.stat().st_mtime_ns == date for file, date in before.items())


def test_it_is_reported_and_drawn(run):
    page = (run.folder / "report.html").read_text()
    assert (
        page.count("Blurred CAM") >= 4
    )  # in a table, a curve, a column of classes, and beside photos
    assert page.count("Blurred CAM of train_") >= 4  # alternative texts of its pictures


def test_it_is_listed_and_run_by_the_command_line(tiny_root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(RECIPES, "blurred", lambda: blurred_recipe(tiny_root))
    cli.main(["run", "blurred", "--dry-run"])
    assert "blur" in capsys.readouterr().out
    cli.main(["blur", "blurred", "--quiet", "--blur.sigma", "1.5"])
    assert "Blurred CAM" in capsys.readouterr().out
    assert len(list((tmp_path / "runs/blurred/maps/blur").iterdir())) == 8
