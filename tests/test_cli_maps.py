"""CAM and AdvCAM of any photos, with classifiers that are only used."""

import shutil
import sys

import pytest
import torch
from PIL import Image
from torchvision import models
from torchvision.transforms.v2.functional import pil_to_tensor

from tests.small_runs import small_recipe
from tests.test_cli import refused, wsss  # noqa: F401
from wsss_lib.data.augmentation import normalise
from wsss_lib.data.layout import PHOTOS, read_photo
from wsss_lib.data.maps import load_map
from wsss_lib.data.photos import Photos
from wsss_lib.methods.advcam import Climbing, advcam
from wsss_lib.methods.cam import cam
from wsss_lib.pipeline.attribution import attribute
from wsss_lib.pipeline.classifiers import Used, of_run, published_torchvision, used
from wsss_lib.pipeline.make import run_stages
from wsss_lib.recipes import recipe_of


@pytest.fixture(scope="module")
def run(tiny_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "small"
    return run_stages(small_recipe(tiny_root), folder, targets=["cam"], progress=False)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """A classifier of three classes that somebody trained, as a file."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("theirs")
    torch.save({"state_dict": models.resnet18(num_classes=3).state_dict()}, folder / "own.pth")
    (folder / "labels.txt").write_text("cat\ndog\ntabby cat\n")
    return folder


def test_a_runs_classifier_is_used_as_the_run_uses_it(run, tiny_root):
    """The maps are those of the functions that the chapters call, bit for bit; CAM's are those of the run."""
    classifier = of_run(recipe_of(run, "classifier"), run)
    photos = Photos(tiny_root, "train")
    settings = Climbing(steps=3, regularization=3.0, regularization_unit="mean")
    for index in range(3):
        tag_BK = photos.tags_NK[index : index + 1].float()
        file = tiny_root / PHOTOS / f"{photos.ids[index]}.jpg"
        classes = tag_BK[0].nonzero().flatten().tolist()
        found = attribute(classifier, file, classes, settings=settings)
        image_BCHW = normalise(photos.image(index)[None])
        assert torch.equal(found.cam_khw, cam(classifier.model, image_BCHW, tag_BK))
        one_by_one = advcam(classifier.model, image_BCHW, tag_BK, settings=settings, batch_pixels=1)
        assert torch.equal(found.advcam_khw, one_by_one)
        stored = load_map(run.folder / f"maps/cam/{photos.ids[index]}.npz")
        assert stored[0].tolist() == found.classes_k
        assert torch.allclose(stored[1], found.cam_khw, atol=2e-3)


def test_photos_maps_and_words(wsss, run, tiny_root, tmp_path):  # noqa: F811
    (tmp_path / "in").mkdir()
    shutil.copy(tiny_root / PHOTOS / "val_0.jpg", tmp_path / "in/a b.jpg")
    shutil.rmtree(tmp_path / "gone", ignore_errors=True)
    code, _, errors = wsss(
        "maps", "in", "--network", run.folder, "--to", "out", "--quiet", "--steps", "2"
    )
    assert code == 0
    names = sorted(
        str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*.*")
    )
    assert names == ["a b.jpg", "advcam/a b.npz", "cam/a b.npz"]
    with Image.open(tmp_path / "out/a b.jpg") as picture:
        assert picture.width > 600
    classes, map_khw, size = load_map(tmp_path / "out/advcam/a b.npz")
    assert (
        len(classes) == len(map_khw) > 0 and size == read_photo(tmp_path / "in/a b.jpg").size[::-1]
    )


def test_a_file_of_ones_own(wsss, theirs, tiny_root, tmp_path):  # noqa: F811
    photo = tiny_root / PHOTOS / "val_0.jpg"
    command = [
        "maps",
        photo,
        "--network",
        "resnet18",
        "--weights",
        theirs / "own.pth",
        "--to",
        "out",
        "--steps",
        "2",
        "--quiet",
    ]
    assert wsss(*command, "--labels", theirs / "labels.txt", "--classes", "TABBY CAT", "0")[0] == 0
    assert load_map(tmp_path / "out/cam/val_0.npz")[0].tolist() == [0, 2]
    assert wsss(*command, "--output-stride", "8", "--classes", "1")[0] == 0
    refused(
        wsss(*command, "--labels", theirs / "labels.txt", "--classes", "tabby"),
        "no class 'tabby'",
        "tabby cat",
    )
    refused(wsss(*command, "--classes", "cat"), "no names", "0 to 2", "--labels FILE")
    refused(wsss(*command, "--classes", "3"), "no names")


def test_the_network_sees_photos_as_it_says():
    """The mean and the deviation are the network's own."""
    classifier = used_with(mean=(0.5, 0.5, 0.5), std=(0.25, 0.5, 1.0))
    image = torch.tensor([0, 255, 51], dtype=torch.uint8)[None, :, None, None]
    assert torch.allclose(classifier.seen(image).flatten(), torch.tensor([-2.0, 1.0, -0.3]))


def used_with(**more):
    return Used(torch.nn.Linear(1, 1), None, **more)


REFUSED = {
    "a network": (["--network", "resnet51"], "no network 'resnet51'; did you mean resnet"),
    "weights": (["--network", "resnet34", "--weights", "own.pth"], "belong to another network than ResNet"),
    "no head": (["--network", "resnet18", "--weights", "headless.pth"], "has no last layer (fc.weight)"),
    "labels": (["--network", "resnet18", "--weights", "own.pth", "--labels", "two.txt"], "holds 2 names"),
    "another kind": (["--network", "vgg11", "--weights", "own.pth"], "no class activation maps"),
    "timm": (["--network", "timm/resnet18"], "pip install timm"),
    "a stride": (["--network", "resnet18", "--weights", "own.pth", "--output-stride", "3"], "output stride 3"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_said(case, wsss, theirs, tiny_root, tmp_path, monkeypatch):  # noqa: F811
    words, sentence = REFUSED[case]
    shutil.copy(theirs / "own.pth", tmp_path)
    state = models.resnet18(num_classes=3).state_dict()
    torch.save(
        {n: v for n, v in state.items() if not n.startswith("fc")}, tmp_path / "headless.pth"
    )
    (tmp_path / "two.txt").write_text("cat\ndog\n")
    monkeypatch.setitem(sys.modules, "timm", None)
    refused(wsss("maps", tiny_root / PHOTOS / "val_0.jpg", *words, "--to", "out"), sentence)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_networks_of_another_scale_bring_photos_to_it(name):
    """torchvision's weights of these two were learned on (x - 0.5) / 0.5, whatever normalisation is written beside them."""
    assert published_torchvision(name)[0]().transform_input


def test_a_network_of_timm(tiny_root, tmp_path):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    torch.save(timm.create_model("resnet10t", num_classes=4).state_dict(), tmp_path / "own.pth")
    classifier = used("timm/resnet10t", tmp_path / "own.pth")
    found = attribute(classifier, tiny_root / PHOTOS / "val_0.jpg", [1], settings=Climbing(steps=2))
    image = pil_to_tensor(read_photo(tiny_root / PHOTOS / "val_0.jpg"))[None]
    assert found.cam_khw.isfinite().all() and classifier.seen(image).dtype == torch.float32
