"""The command line as a user meets it: one sentence and exit code 2 for everything unusable."""

import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.small_runs import small_recipe
from wsss_lib import cli
from wsss_lib.data import annotations, files, layout
from wsss_lib.data.layout import ANNOTATIONS, LABELS, MASKS, PHOTOS, SPLITS
from wsss_lib.learning.backbones import backbone
from wsss_lib.learning.storage import save_state
from wsss_lib.recipes import RECIPES


@pytest.fixture
def wsss(monkeypatch, capsys, tmp_path):
    """Runs a command in a folder of its own; returns exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        try:
            cli.main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def small(monkeypatch, own_root):
    """A recipe named ``small`` on a dataset that the test may damage."""
    monkeypatch.setitem(RECIPES, "small", lambda: small_recipe(own_root))
    return own_root


def refused(result, *words, runs=()):
    """Asserts exit code 2 and one sentence that holds the words."""
    code, _, errors = result
    assert code == 2, errors
    assert errors.startswith("wsss: ") and len(errors.strip().splitlines()) == 1, errors
    for word in words:
        assert word in errors, errors


def test_a_run_prints_its_figures_and_where_the_report_is(wsss, small, tmp_path):
    code, output, _ = wsss("run", "small", "--quiet")
    assert code == 0
    for words in (
        "Classifier, mean average precision on val",
        "AdvCAM, mIoU on train, one threshold",
        "Pseudo-masks from AMN, mIoU on train, after the CRF",
        "Segmentation network, mIoU on val",
        "The same, from true masks",
        "report.html",
    ):
        assert words in output
    assert (tmp_path / "runs/small/report.html").exists()
    code, again, _ = wsss("run", "small", "--quiet")
    assert (code, again) == (0, output)


def test_a_stage_runs_only_what_it_needs(wsss, small, tmp_path):
    code, *_ = wsss("cam", "small", "--quiet", "--name", "maps-only")
    assert code == 0
    done = sorted(file.stem for file in (tmp_path / "runs/maps-only/stages").iterdir())
    assert done == ["cam", "classifier"]


def test_any_field_of_the_recipe_can_be_given(wsss, small, tmp_path):
    code, *_ = wsss(
        "advcam", "small", "--quiet", "--advcam.steps", 1, "--seeds.source", "cam",
        "--amn.condition-stage", "None", "--cam.scales", "1.0", "0.5",
    )  # fmt: skip
    recipe = json.loads((tmp_path / "runs/small/recipe.json").read_text())
    assert code == 0
    assert recipe["advcam"]["steps"] == 1 and recipe["seeds"]["source"] == "cam"
    assert recipe["amn"]["condition_stage"] is None and recipe["cam"]["scales"] == [1.0, 0.5]


def test_a_setting_that_is_true_or_false(wsss, small, tmp_path):
    code, *_ = wsss("classifier", "small", "--quiet", "--supervised.wanted", False)
    assert code == 0
    recipe = json.loads((tmp_path / "runs/small/recipe.json").read_text())
    assert recipe["supervised"]["wanted"] is False


def test_a_dry_run_makes_nothing(wsss, small, tmp_path):
    code, output, _ = wsss("seeds", "small", "--dry-run")
    assert code == 0 and not (tmp_path / "runs").exists()
    assert [line.split()[0] for line in output.splitlines() if "will be made" in line] == [
        "classifier", "advcam", "seeds",
    ]  # fmt: skip


def test_maps_and_masks_can_be_evaluated(wsss, small):
    wsss("run", "small", "--quiet")
    code, output, _ = wsss("evaluate", "runs/small/maps/cam", "--data", small, "--threshold", 0.36)
    metrics = json.loads(open("runs/small/metrics.json").read())
    assert code == 0 and f"mIoU {100 * metrics['cam']['miou']:.2f} at threshold 0.36" in output
    code, output, _ = wsss("evaluate", "runs/small/maps/cam", "--data", small)
    of_classes = [float(line.split()[-1]) for line in output.splitlines()[1:]]
    assert np.nanmean(of_classes) == pytest.approx(100 * metrics["cam"]["miou_best"], abs=0.01)
    code, output, _ = wsss("evaluate", "runs/small/masks/amn_masks", "--data", small)
    assert code == 0 and f"mIoU {100 * metrics['amn_masks']['miou']:.2f}" in output
    refused(wsss("evaluate", "runs/small/stages", "--data", small), "neither maps")
    refused(wsss("evaluate", "nowhere", "--data", small), "nowhere")
    for beyond in ("-0.5", "1.01", "nan"):
        code, _, errors = wsss(
            "evaluate", "runs/small/maps/cam", "--data", small, "--threshold", beyond
        )
        assert code == 2 and "from 0 to 1" in " ".join(errors.split())
    damaged = next(Path("runs/small/maps/cam").iterdir())
    damaged.write_bytes(damaged.read_bytes()[:50])
    refused(wsss("evaluate", "runs/small/maps/cam", "--data", small), "make the maps again")


def test_masks_are_evaluated_without_tags_and_as_far_as_there_are_any(wsss, small, tmp_path):
    """The truth is the mask alone."""
    shutil.copytree(small / MASKS, tmp_path / "mine")
    code, output, _ = wsss("evaluate", "mine", "--data", small, "--split", "val")
    assert code == 0 and output.startswith("mIoU 100.00")
    shutil.rmtree(small / ANNOTATIONS)
    assert wsss("evaluate", "mine", "--data", small, "--split", "val") == (0, output, "")
    for number in (0, 2):
        (tmp_path / f"mine/val_{number}.png").unlink()
    code, output, _ = wsss("evaluate", "mine", "--data", small, "--split", "val")
    assert code == 0 and output.startswith("measured on 2 of 4 photos of val with a true mask")
    for number in (1, 3):
        (tmp_path / f"mine/val_{number}.png").unlink()
    refused(wsss("evaluate", "mine", "--data", small, "--split", "val"), "an id is val_0")


def test_a_truth_that_shows_no_class_is_no_truth(wsss, small, tmp_path):
    shutil.copytree(small / MASKS, tmp_path / "mine")
    for file in (small / MASKS).glob("val_*.png"):
        Image.fromarray(np.uint8(255 * (np.asarray(Image.open(file)) > 0))).save(file)
    asked = ("evaluate", "mine", "--data", small, "--split", "val")
    refused(wsss(*asked), "the 4 masks of the list val", "0 and 255 only", "wsss prepare --masks")
    for file in (small / MASKS).glob("*.png"):
        file.rename(file.with_name(f"seg_{file.name}"))
    refused(wsss(*asked), "12 masks", "seg_train_0.png", "id is train_0")
    shutil.rmtree(small / MASKS)
    refused(wsss(*asked), "no true masks for the split val")


def test_a_report_can_be_written_again(wsss, small, tmp_path):
    wsss("cam", "small", "--quiet")
    (tmp_path / "runs/small/report.html").unlink()
    assert wsss("report", "runs/small")[0] == 0
    assert (tmp_path / "runs/small/report.html").exists()
    refused(wsss("report", "runs/nothing"), "runs/nothing")
    refused(wsss("report"), "wsss report runs/toy")


def test_help_teaches(wsss):
    for arguments in ((), ("--help",), ("run",), ("run", "--help")):
        code, output, _ = wsss(*arguments)
        assert code == 0 and all(name in output for name in RECIPES), arguments
    code, output, _ = wsss("cam")
    assert code == 0 and "wsss STAGE RECIPE" in output
    code, output, _ = wsss("run", "voc12", "--help")
    assert code == 0 and "--advcam.step-size" in output and "4.6 grey levels" in output


def test_of_several_processes_the_main_one_speaks(wsss, small, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert wsss("run", "toi") == (2, "", "")
    assert wsss("run") == (0, "", "")
    assert wsss("run", "small", "--advcam.stepz", 3) == (2, "", "")
    assert wsss("run", "small", "--weights", "nowhere.pth") == (2, "", "")


def test_what_a_process_meets_alone_it_says(wsss, small, monkeypatch):
    """The others know nothing of a file that only its own share of a stage reads."""
    monkeypatch.setenv("RANK", "1")
    assert wsss("cam", "small", "--quiet")[0] == 0
    weights = Path("runs/small/checkpoints/classifier.safetensors")
    weights.write_bytes(weights.read_bytes()[:100])
    refused(wsss("advcam", "small", "--quiet"), "classifier counts as not done")


def test_a_seed_that_cannot_be_is_one_sentence(wsss):
    refused(wsss("run", "toy-quick", "--seed", "-1"), "seed must be a whole number")


def test_unknown_words_are_answered_with_the_known_ones(wsss, small):
    refused(wsss("rum", "toy"), "'rum'", "did you mean run?", "evaluate")
    refused(wsss("run", "voc13"), "'voc13'", "did you mean voc12? There are", "toy-quick")
    refused(wsss("run", "quite-another"), "'quite-another'. There are", "toy-quick")
    refused(wsss("run", "small", "--backbone", "vgg"), "resnet50", "timm/NAME, but is vgg")
    for arguments in (
        ("--advcam.stepz", "3"), ("--advcam.steps", "many"),
        ("--crf.iterations", "-1"), ("--cam.seed-thresholds", "0.1", "0.5"),
    ):  # fmt: skip
        code, output, errors = wsss("run", "small", *arguments)
        assert code == 2 and not output and "wsss run small --help" in errors


def test_a_file_that_is_in_the_way(wsss, small, tmp_path):
    (tmp_path / "runs").write_text("")
    refused(wsss("cam", "small", "--quiet"), "runs", "Not a directory")
    (tmp_path / "runs").unlink()
    wsss("classifier", "small", "--quiet")
    (tmp_path / "runs/small/report.html").unlink()
    (tmp_path / "runs/small/report.html").mkdir()
    refused(wsss("report", "runs/small"), "report.html", "is a folder")


def test_a_missing_or_empty_dataset(wsss, small, tmp_path):
    refused(wsss("run", "small", "--data.root", "nowhere"), "nowhere", "data_scripts/")
    (tmp_path / "empty").mkdir()
    refused(wsss("run", "small", "--data.root", "empty"), "empty", "data_scripts/")
    assert not (tmp_path / "runs").exists()


def test_a_missing_or_empty_split(wsss, small, tmp_path):
    refused(wsss("run", "small", "--data.train", "trian"), "trian.txt", "train, val")
    (small / SPLITS / "val.txt").write_text("")
    refused(wsss("run", "small"), "val.txt", "empty")
    assert not (tmp_path / "runs").exists()


def test_an_id_without_a_photo(wsss, small):
    (small / PHOTOS / "train_3.jpg").unlink()
    refused(wsss("run", "small"), "train_3.jpg is missing", "train.txt")


def test_a_truncated_photo(wsss, small):
    file = small / PHOTOS / "train_3.jpg"
    file.write_bytes(file.read_bytes()[:800])
    refused(wsss("run", "small", "--quiet"), "train_3.jpg", "copy or download it again")


def test_photos_of_every_kind_are_handled(wsss, small):
    def change(id, convert, **save):
        with Image.open(small / PHOTOS / f"{id}.jpg") as photo:
            photo = convert(photo)
        photo.save(small / PHOTOS / f"{id}.jpg", **save)

    change("train_0", lambda photo: photo.convert("CMYK"))
    change("train_1", lambda photo: photo.convert("L"))
    deep = lambda photo: Image.fromarray(np.asarray(photo.convert("L"), np.uint16) * 257)  # noqa: E731
    change("train_2", deep, format="PNG")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    change("train_3", lambda photo: photo.transpose(Image.Transpose.ROTATE_90), exif=exif)
    change("val_0", lambda photo: photo.convert("L"))
    code, output, errors = wsss("run", "small", "--quiet")
    assert code == 0 and "Segmentation network, mIoU on val" in output, errors


def test_a_mask_of_another_size_or_with_an_unknown_label(wsss, small):
    file = small / MASKS / "train_3.png"
    mask = np.asarray(Image.open(file))
    layout.write_mask(file, np.where(mask == 1, 9, mask))
    refused(wsss("run", "small", "--quiet"), "train_3.png", "label 9", "3 classes")
    layout.write_mask(file, mask[:-1])
    refused(wsss("run", "small", "--quiet"), "train_3.png", "at the size of the photo")
    layout.write_mask(file, mask)
    assert wsss("run", "small", "--quiet")[0] == 0


def test_an_unknown_class_name(wsss, small):
    file = small / ANNOTATIONS / "train_3.xml"
    file.write_text(file.read_text().replace("leaf", "leef"))
    refused(wsss("run", "small"), "train_3.xml", "'leef'", LABELS)


def test_no_photo_with_a_tag(wsss, small):
    for file in (small / ANNOTATIONS).iterdir():
        annotations.write_annotation(file, id=file.stem, size_HW=(8, 8), objects=[])
    refused(wsss("run", "small", "--quiet"), "no photo")


def test_weights_of_another_network(wsss, small, tmp_path):
    save_state(tmp_path / "mobile.safetensors", backbone("mobilenet_v2", output_stride=32))
    refused(
        wsss("run", "small", "--quiet", "--weights", "mobile.safetensors"),
        "mobile.safetensors", "another network",
    )  # fmt: skip
    refused(wsss("run", "small", "--quiet", "--weights", "no.pth", "--name", "b"), "no.pth")


def test_a_stride_that_the_network_cannot_have(wsss, small):
    refused(wsss("run", "small", "--quiet", "--cam.output-stride", 16), "output stride 16")


def test_what_was_made_otherwise_is_not_removed_unasked(wsss, small):
    assert wsss("advcam", "small", "--quiet")[0] == 0
    assert wsss("classifier", "small", "--quiet", "--advcam.steps", 9)[0] == 0
    refused(
        wsss("advcam", "small", "--quiet", "--advcam.steps", 9),
        "runs/small", "advcam.steps was 2, now 9", "--name", "--again",
    )  # fmt: skip
    assert wsss("advcam", "small", "--quiet", "--advcam.steps", 9, "--again")[0] == 0


def test_runs_to_reuse_must_exist(wsss, small, tmp_path):
    refused(wsss("run", "small", "--quiet", "--reuse", "runs/none"), "runs/none holds no run")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("after", [0, 4, 20, 60, 105])
def test_a_full_disk(wsss, small, tmp_path, monkeypatch, after):
    writes, replace_file = [0], files.os.replace

    def full(source, target):
        writes[0] += 1
        if writes[0] > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace_file(source, target)

    monkeypatch.setattr(files.os, "replace", full)
    refused(wsss("run", "small", "--quiet"), "runs/small", "disk is full")
    assert not list(tmp_path.rglob("*.part"))
    monkeypatch.setattr(files.os, "replace", replace_file)
    assert wsss("run", "small", "--quiet")[0] == 0


def test_the_drawn_dataset_is_not_mixed_with_another(wsss, tmp_path):
    arguments = ("classifier", "toy-quick", "--quiet", "--classifier.training.epochs", "0.1")
    assert wsss(*arguments)[0] == 0
    shutil.rmtree(tmp_path / "runs")
    refused(wsss(*arguments, "--data.draw-seed", 1), "data/toy-quick")
    assert not (tmp_path / "runs").exists()


def test_a_name_with_a_line_break_does_not_break_the_sentence(wsss, tmp_path):
    refused(wsss("evaluate", "maps\nof mine", "--data", str(tmp_path)), "is not a folder")
    refused(wsss("run", "a\nb"), "a\\nb")
