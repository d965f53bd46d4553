"""New photos get the masks that the run would have made of them."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from tests.small_runs import small_recipe
from wsss_lib.data import layout
from wsss_lib.data.augmentation import normalise
from wsss_lib.data.layout import PHOTOS, InputError
from wsss_lib.data.photos import Photos
from wsss_lib.methods.deeplab import segment
from wsss_lib.pipeline import prediction
from wsss_lib.pipeline.make import run_stages
from wsss_lib.pipeline.prediction import largest, predict
from wsss_lib.pipeline.runs import Run
from wsss_lib.pipeline.trained import labelling, trained
from wsss_lib.recipes import recipe_of


@pytest.fixture(scope="module")
def reference(tiny_root, tmp_path_factory):
    """A run that does not refine its predictions."""
    folder = tmp_path_factory.mktemp("runs") / "reference"
    return run_stages(small_recipe(tiny_root), folder, progress=False)


@pytest.fixture(scope="module")
def refined(reference, tiny_root, tmp_path_factory):
    """The same up to the segmentation network, which looks at two scales and is refined by a CRF."""
    recipe = small_recipe(tiny_root)
    segmenter = replace(recipe.segmenter, refine=True, scales=(1.0, 0.5), mirrored=False)
    folder = tmp_path_factory.mktemp("runs") / "refined"
    recipe = replace(recipe, segmenter=segmenter)
    return run_stages(
        recipe, folder, targets=["segmenter"], reuse=[reference.folder], progress=False
    )


def opened(run: Run, name: str = "segmenter"):
    return trained(recipe_of(run, name), run, name, progress=False)


def val_photos(root: Path) -> list[Path]:
    return [root / PHOTOS / f"{id}.jpg" for id in layout.split_ids(root, "val")]


def written(label_HW, folder: Path) -> bytes:
    layout.write_mask(folder / "mask.png", label_HW)
    return (folder / "mask.png").read_bytes()


def masks_of(network, photos, folder: Path, **options) -> dict[str, bytes]:
    """The bytes of the mask of each photo, by its id."""
    return {
        file.stem: written(label_HW, folder)
        for file, label_HW, _ in predict(network, photos, **options)
    }


def made(run: Run, place: str) -> dict[str, bytes]:
    return {file.stem: file.read_bytes() for file in (run.folder / place).glob("*.png")}


@pytest.mark.parametrize("name", ["segmenter", "supervised"])
def test_photos_of_val_get_the_predictions_of_the_run_to_the_byte(
    reference, tiny_root, tmp_path, name
):
    found = masks_of(opened(reference, name), val_photos(tiny_root), tmp_path)
    assert len(found) == 4 and found == made(reference, f"predictions/{name}")
    assert len(set(found.values())) > 1  # not the same everywhere


def test_so_they_do_with_scales_and_the_crf(refined, reference, tiny_root, tmp_path):
    photos = val_photos(tiny_root)
    found = masks_of(opened(refined), photos, tmp_path)
    assert found == made(refined, "predictions/segmenter")
    assert masks_of(opened(refined), photos, tmp_path, refined=False) != found
    unasked = masks_of(opened(reference), photos, tmp_path)
    assert masks_of(opened(reference), photos, tmp_path, refined=True) != unasked


@pytest.mark.parametrize("pixels", [1, 20_000, 10**9])
def test_other_batches_and_another_order_change_nothing(reference, tiny_root, tmp_path, pixels):
    photos = sorted((tiny_root / PHOTOS).glob("*.jpg"), reverse=True)
    found = masks_of(opened(reference), photos, tmp_path, batch_pixels=pixels)
    assert len(found) == 12 and found.items() > made(reference, "predictions/segmenter").items()


def test_amn_makes_the_pseudo_masks_of_the_run_if_it_is_told_the_tags(
    reference, tiny_root, tmp_path
):
    photos = Photos(tiny_root, "train")
    files = [tiny_root / PHOTOS / f"{id}.jpg" for id in photos.ids]
    tags_NK, network = photos.tags_NK.numpy(), opened(reference, "amn")
    found = masks_of(network, files, tmp_path, tags_NK=tags_NK)
    assert found == made(reference, "masks/amn_masks")
    assert masks_of(network, files, tmp_path, tags_NK=tags_NK, refined=False) != found
    labels = [label_HW for _, label_HW, _ in predict(network, files, tags_NK=0 * tags_NK)]
    assert not np.concatenate([label_HW.ravel() for label_HW in labels]).any()


def test_the_network_that_is_taken_unasked_is_the_segmentation_network(reference):
    assert labelling(recipe_of(reference)) == ["segmenter", "supervised", "amn"]


def test_neither_the_dataset_nor_pretrained_weights_are_needed(reference, tiny_root, tmp_path):
    photos = Path(shutil.copytree(tiny_root / PHOTOS, tmp_path / "elsewhere"))
    run = Run(shutil.copytree(reference.folder, tmp_path / "run"))
    recipe = json.loads((run.folder / "recipe.json").read_text())
    recipe["data"]["root"], recipe["weights"] = str(tmp_path / "gone"), "gone.pth"
    (run.folder / "recipe.json").write_text(json.dumps(recipe))
    files = [photos / file.name for file in val_photos(tiny_root)]
    found = masks_of(opened(run), files, tmp_path)
    assert found == made(reference, "predictions/segmenter")


def test_an_older_run_takes_the_class_names_of_the_dataset(reference, tiny_root, tmp_path):
    run = Run(shutil.copytree(reference.folder, tmp_path / "run"))
    mark = json.loads((run.folder / "stages/segmenter.json").read_text())
    assert mark["shown"].pop("names") == ["background", "apple", "leaf", "plum"]
    (run.folder / "stages/segmenter.json").write_text(json.dumps(mark))
    assert opened(run).names == layout.class_names(tiny_root)
    recipe = json.loads((run.folder / "recipe.json").read_text())
    recipe["data"]["root"] = "gone"
    (run.folder / "recipe.json").write_text(json.dumps(recipe))
    with pytest.raises(InputError, match="gone is gone: make a folder .* labels.txt"):
        opened(run)


def test_the_settings_are_those_that_the_network_was_made_with(reference, tiny_root, tmp_path):
    """What was asked for later, and not made yet, changes nothing."""
    run = Run(shutil.copytree(reference.folder, tmp_path / "run"))
    recipe = json.loads((run.folder / "recipe.json").read_text())
    recipe["segmenter"] |= {
        "rates": [3, 5],
        "scales": [2.0],
        "refine": True,
        "backbone": "resnet50",
    }
    (run.folder / "recipe.json").write_text(json.dumps(recipe))
    for name in ("segmenter", "supervised"):
        found = masks_of(opened(run, name), val_photos(tiny_root), tmp_path)
        assert found == made(reference, f"predictions/{name}")


def test_a_photo_is_turned_as_its_exif_says(reference, tiny_root, tmp_path):
    upright = Image.open(val_photos(tiny_root)[0])
    upright.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter to the right
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    photos = [tmp_path / "upright.png", tmp_path / "turned.png"]
    (_, one, _), (_, other, _) = predict(opened(reference), photos)
    assert one.shape == (upright.height, upright.width) and np.array_equal(one, other)


def test_a_large_photo_is_looked_at_smaller_and_its_mask_has_its_size(reference, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (40, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((270, 120)).save(tmp_path / "large.png")
    network = opened(reference)
    ((_, label_HW, probability_LHW),) = predict(
        network, [tmp_path / "large.png"], max_side=90, probabilities=True
    )
    small = Image.open(tmp_path / "large.png").resize((90, 40), Image.Resampling.LANCZOS)
    image_13HW = normalise(torch.from_numpy(np.array(small)).permute(2, 0, 1)[None])
    expected_LHW = segment(network.model, image_13HW, mirrored=True)[0]
    assert np.allclose(probability_LHW, expected_LHW, atol=0.02)
    whole_LHW = F.interpolate(torch.from_numpy(probability_LHW)[None], (120, 270), mode="bilinear")
    assert np.array_equal(label_HW, whole_LHW[0].argmax(dim=0))


def test_the_largest_score_is_found_without_all_of_them():
    score_LHW = torch.rand(5, 7, 9, generator=torch.Generator().manual_seed(0))
    dense_LHW = F.interpolate(score_LHW[None], (31, 44), mode="bilinear")[0]
    assert torch.equal(largest(score_LHW, (31, 44)).long(), dense_LHW.argmax(dim=0))
    assert torch.equal(largest(score_LHW, (7, 9)), score_LHW.argmax(dim=0))


def test_probabilities_are_those_of_the_network(reference, refined, tiny_root):
    photos = val_photos(tiny_root)
    for _, label_HW, probability_LHW in predict(opened(reference), photos, probabilities=True):
        assert np.allclose(probability_LHW.sum(axis=0), 1, atol=1e-5)
        assert np.array_equal(probability_LHW.argmax(axis=0), label_HW)
    plain = predict(opened(refined), photos, probabilities=True, refined=False)
    crf = predict(opened(refined), photos, probabilities=True)
    assert all(np.array_equal(a[2], b[2]) for a, b in zip(plain, crf))


def test_photos_that_cannot_be_read_are_named_when_all_others_are_done(
    reference, tiny_root, tmp_path
):
    whole = val_photos(tiny_root)
    (tmp_path / "text.jpg").write_text("no photo")
    (tmp_path / "half.jpg").write_bytes(whole[0].read_bytes()[:900])
    photos = [tmp_path / "text.jpg", *whole, tmp_path / "half.jpg"]
    found = []
    with pytest.raises(InputError) as error:
        for file, *_ in predict(opened(reference), photos):
            found.append(file)
    assert sorted(found) == sorted(whole)
    for words in ("2 of 6", str(photos[0]), str(photos[-1]), "truncated"):
        assert words in str(error.value)


def test_photos_are_opened_when_their_turn_comes(reference, tiny_root, monkeypatch):
    opened_files, given = [], []
    read = prediction.read

    def noted(file, max_side):
        opened_files.append(file)
        return read(file, max_side)

    monkeypatch.setattr(prediction, "read", noted)
    photos = sorted((tiny_root / PHOTOS).glob("*.jpg"))
    for file, *_ in predict(opened(reference), photos, batch_pixels=1):
        given.append(file)
        assert len(opened_files) <= len(given) + 1
    assert len(given) == 12


def test_what_is_made_is_left_out_and_its_batch_with_it(reference, tiny_root, monkeypatch):
    photos = val_photos(tiny_root)
    everything = [file for file, *_ in predict(opened(reference), photos)]
    looked = []
    look = prediction.look
    monkeypatch.setattr(
        prediction, "look", lambda network, *given: looked.append(1) or look(network, *given)
    )
    rest = [file for file, *_ in predict(opened(reference), photos, made=lambda f: f != photos[2])]
    assert rest == [photos[2]] and len(everything) == 4 and len(looked) == 1


def test_the_crf_gets_no_more_processes_than_the_memory_holds_photos(monkeypatch):
    monkeypatch.setattr(prediction, "free_cpus", lambda: 16)
    sizes = {Path(str(number)): (1000, 1000) for number in range(100)}

    def count(side, labels):
        return prediction.processes(set(sizes), sizes, side, labels)

    assert count(1000, 21) == 6 and count(1000, 254) == 1 and count(100, 21) == 16
    assert prediction.processes(set(list(sizes)[:31]), sizes, 1000, 21) == 1


def test_refusals(reference, tmp_path):
    recipe = recipe_of(reference)
    with pytest.raises(InputError, match="'classifier' makes no network that labels pixels"):
        trained(recipe, reference, "classifier")
    run = Run(shutil.copytree(reference.folder, tmp_path / "begun"))
    os.remove(run.folder / "checkpoints/segmenter.safetensors")
    with pytest.raises(InputError, match="has no trained segmenter yet: make it with `wsss segm"):
        opened(run)
    (run.folder / "checkpoints/segmenter.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match="cannot be read"):
        opened(run)
