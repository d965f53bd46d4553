"""The report of a run: one page with the numbers, the curves and the pictures of every stage.

The page holds all that it shows, so it can be sent and kept; it asks for nothing from anywhere. What it says of a stage
stands in the stage's mark, so it knows no stage by its name. It is laid out in ``report.html``, which escapes all text.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from markupsafe import Markup

from wsss_lib.data.files import atomic
from wsss_lib.data.pages import hex_of, page
from wsss_lib.pipeline import plots
from wsss_lib.pipeline.kinds import MAPS, PREDICTIONS
from wsss_lib.pipeline.report_examples import examples
from wsss_lib.pipeline.report_stages import Made, mapping, number, points, stages_of, text
from wsss_lib.pipeline.runs import Run, full_disk_is_said

TEMPLATE = Path(__file__).with_name("report.html")
MOST_TILES = 4
NOTES = {"miou": "", "val_miou": "", "val_map": "mAP"}  # what a figure is; mIoU goes without saying


def write_report(folder: str | Path) -> Path:
    """Writes ``report.html`` into a run's folder, from whatever the run has made so far.

    Returns:
        The file.

    Raises:
        InputError: the folder holds no run, or the disk is full.
    """
    run = Run.existing(folder)
    made = page(TEMPLATE, **contents(run))
    with full_disk_is_said(run.folder), atomic(run.folder / "report.html") as aside:
        aside.write_text(made, encoding="utf-8")
    return run.folder / "report.html"


def contents(run: Run) -> dict:
    """What the page says of a run."""
    made = stages_of(run)
    measured = [stage for stage in made if stage.figures is not None]
    pictures, problem = examples(run, made)
    return {
        "name": run.folder.resolve().name,
        "facts": list(facts(run, measured)),
        "warnings": [sentence for stage in made for sentence in stage.warnings],
        "tiles": tiles(measured),
        "stages": [stage_row(stage) for stage in measured],
        "together": duration(total_seconds(measured)),
        "done": [stage.title for stage in made if stage.done],
        "curves": curves(measured),
        "classes": classes(measured),
        "examples": pictures,
        "problem": problem,
        "origin": {
            "Recipe": list(flat(mapping(run.recipe))),
            "Code, versions and machine": list(flat(mapping(run.provenance))),
        },
    }


def facts(run: Run, measured: list[Made]) -> Iterator[str]:
    """When and where the run was made, in a few words each."""
    first, data = mapping(run.provenance), mapping(mapping(run.recipe).get("data"))
    root, seed = text(data.get("root")), number(first.get("seed"))
    total = total_seconds(measured)
    known = [root and f"photos of {root}", text(first.get("date"))[:10], text(first.get("device"))]
    known += [total and duration(total), "" if seed is None else f"seed {first['seed']}"]
    yield from (fact.replace(" ", "\N{NO-BREAK SPACE}") for fact in known if fact)


def tiles(measured: list[Made]) -> list[dict]:
    """The few numbers that say how the run went: of each headline the last stage that has it.

    Of networks that predict it is the first; the ceiling, which follows, is named beside it.
    """
    last: dict[str, dict] = {}
    for stage in measured:
        key, meaning = stage.headline or ("", "")
        if number(stage.figures.get(key)) is None:
            continue
        value, known = percent(stage.figures[key]), last.pop(meaning, None)
        if known and PREDICTIONS in stage.kinds:
            known["meaning"] += f"; {lower(stage.title)} {value}"
        else:
            title = f"{stage.title} maps" if MAPS in stage.kinds else stage.title
            known = {"title": title, "value": value, "meaning": meaning}
        last[meaning] = known
    return list(last.values())[-MOST_TILES:]


def stage_row(stage: Made) -> dict:
    """The row of a stage: its result, two results with hindsight, and its time."""
    values = stage.figures
    key, meaning = stage.headline or ("miou", "")
    note, best = NOTES.get(key, meaning) or at(values.get("threshold")), values.get("miou_best")
    if not note and number(values.get("unsure")):
        note = f"{percent(values['unsure'])} unsure"
    starts = number(values.get("starts")) or 0
    return {
        "title": stage.title,
        "result": percent(values.get(key)) if stage.headline or key in values else "",
        "note": note,
        "best": "" if best is None else percent(best),
        "best_note": at(values.get("threshold_best")),
        "own": "" if best is None else percent(values.get("miou_best_per_image")),
        "time": duration(values.get("seconds")),
        "starts": f"last of {starts:.0f} starts" if starts > 1 else "",
        "from": text(values.get("reused_from")),
    }


def at(threshold: object) -> str:
    """Where a result was reached."""
    return "" if number(threshold) is None else f"at {threshold:.2f}"


def curves(measured: list[Made]) -> Markup | None:
    """The quality of the maps at every threshold."""
    found = {stage.title: list(points(stage.figures.get("curve"))) for stage in measured}
    found = {title: curve for title, curve in found.items() if curve}
    if not found:
        return None
    figure = plots.threshold_curves(
        found,
        chosen={stage.title: number(stage.figures.get("threshold")) for stage in measured},
        lines={stage.title: stage.line for stage in measured},
    )
    return Markup(plots.svg(figure))  # Matplotlib escapes the texts in it


def classes(measured: list[Made]) -> dict:
    """The IoU of each class, stage by stage."""
    columns = []
    for stage in measured:
        on_train = mapping(stage.figures.get("iou"))
        on_val = {} if on_train else mapping(stage.figures.get("val_iou"))
        if on_train or on_val:
            columns.append((stage.title, bool(on_val), on_train or on_val))
    names = list(dict.fromkeys(name for *_, values in columns for name in values))
    colours = plots.palette(len(names))
    rows = [
        {
            "name": name,
            "colour": hex_of(colours[label % 256]),
            "cells": [bar(values.get(name)) for *_, values in columns],
        }
        for label, name in enumerate(names)
    ]
    return {"heads": [(title, on_val) for title, on_val, _ in columns], "rows": rows}


def bar(fraction: object) -> tuple[str, str]:
    """The length of a bar in percent, and what stands over it."""
    return f"{100 * (number(fraction) or 0):.1f}", percent(fraction)


def percent(fraction: object) -> str:
    """A fraction as a percentage with one decimal; a dash where there is none."""
    return "–" if number(fraction) is None else f"{100 * fraction:.1f}"


def duration(seconds: object) -> str:
    """Seconds as a person says them: 4.0 s, 3 min 20 s, 2 h 05 min."""
    if number(seconds) is None:
        return "–"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


def total_seconds(measured: list[Made]) -> float:
    """The time of all stages together."""
    return sum(number(stage.figures.get("seconds")) or 0 for stage in measured)


def lower(title: str) -> str:
    """A title in the middle of a sentence; names such as AMN stay as they are."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def flat(values: dict | list, name: str = "") -> Iterator[tuple[str, object]]:
    """Dotted names and values of nested dicts, and of lists of dicts."""
    items = values.items() if isinstance(values, dict) else enumerate(values, start=1)
    for key, value in items:
        below = f"{name}.{key}" if name else str(key)
        if value and isinstance(value, list) and isinstance(value[0], dict):
            yield from flat(value, below)
        elif isinstance(value, dict):
            yield from flat(value, below)
        else:
            yield below, value
