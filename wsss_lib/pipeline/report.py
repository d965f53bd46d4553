"""The report of a run: one page with the numbers, the curves and the pictures of every stage.

The page holds all that it shows, so it can be sent and kept; it asks for nothing from anywhere. What it says of a stage
stands in the stage's mark, so it knows no stage by its name. It is laid out in ``report.html``, which escapes all text.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jinja2
from markupsafe import Markup

from wsss_lib.data.files import atomic
from wsss_lib.pipeline import plots
from wsss_lib.pipeline.pictures import hex_of
from wsss_lib.pipeline.report_examples import examples
from wsss_lib.pipeline.runs import Run, full_disk_is_said

HERE = Path(__file__).parent


def write_report(folder: str | Path) -> Path:
    """Writes ``report.html`` into a run's folder, from whatever the run has made so far.

    Returns:
        The file.

    Raises:
        InputError: the folder holds no run, or the disk is full.
    """
    run = Run.existing(folder)
    page = template().render(contents(run))
    with full_disk_is_said(run.folder), atomic(run.folder / "report.html") as aside:
        aside.write_text(page, encoding="utf-8")
    return run.folder / "report.html"


def template() -> jinja2.Template:
    """The page, with places for what a run has to say."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, trim_blocks=True
    ).get_template("report.html")


def contents(run: Run) -> dict:
    """What the page says of a run."""
    metrics = run.metrics()
    shown = {name: run.mark(name)["shown"] or {"title": name} for name in metrics}
    pictures, no_pictures = examples(run)
    return {
        "name": run.folder.resolve().name,
        "style": Markup((HERE / "report.css").read_text(encoding="utf-8")),  # our own, as is
        "facts": list(facts(run, metrics)),
        "tiles": tiles(metrics, shown),
        "stages": [stage_row(shown[name]["title"], metrics[name]) for name in metrics],
        "together": duration(total_seconds(metrics)),
        "curves": curves(metrics, shown),
        "classes": classes(metrics, shown),
        "examples": pictures,
        "no_pictures": no_pictures,
        "origin": {
            "Recipe": list(flat(run.recipe)),
            "Code, versions and machine": list(flat(run.provenance)),
        },
    }


def facts(run: Run, metrics: dict) -> Iterator[str]:
    """When and where the run was made, in a few words each."""
    made, root = run.provenance, run.recipe.get("data", {}).get("root")
    total = total_seconds(metrics)
    known = [root and f"photos of {root}", made.get("date", "")[:10], made.get("device")]
    known += [total and duration(total), f"seed {made.get('seed')}"]
    yield from (str(fact).replace(" ", "\N{NO-BREAK SPACE}") for fact in known if fact)


def tiles(metrics: dict, shown: dict) -> list[dict]:
    """The few numbers that say how the run went: of each headline the last stage that has it."""
    last: dict[str, dict] = {}
    for name, values in metrics.items():
        key, meaning = shown[name].get("headline") or (None, "")
        if number(values.get(key)) is None:
            continue
        known = last.get(meaning)
        if known and meaning.endswith("on val"):  # the ceiling is named beside the network
            known["meaning"] = f"{meaning}; {lower(shown[name]['title'])} {percent(values[key])}"
            continue
        tile = {"title": shown[name]["title"], "value": percent(values[key]), "meaning": meaning}
        last[meaning] = tile
    return list(last.values())


def stage_row(title: str, values: dict) -> dict:
    """The row of a stage: its result, two results with hindsight, and its time."""
    row = {
        "title": title,
        "result": percent(values.get("miou", values.get("val_miou"))),
        "note": "",
    }
    if "val_map" in values:
        row |= {"result": percent(values["val_map"]), "note": "mAP"}
    if number(values.get("threshold")) is not None:
        row["note"] = f"at {values['threshold']:.2f}"
    if number(values.get("unsure")):
        row["note"] = f"{percent(values['unsure'])} unsure"
    if "miou_best" in values:
        row["best"] = percent(values["miou_best"])
        best = number(values.get("threshold_best"))
        row["best_note"] = "" if best is None else f"at {best:.2f}"
        row["own"] = percent(values.get("miou_best_per_image"))
    return row | {
        "time": duration(values.get("seconds")),
        "starts": values.get("starts"),
        "from": values.get("reused_from"),
    }


def curves(metrics: dict, shown: dict) -> Markup | None:
    """The quality of the maps at every threshold."""
    found = {name: values["curve"] for name, values in metrics.items() if values.get("curve")}
    if not found:
        return None
    titles = {name: shown[name]["title"] for name in found}
    figure = plots.threshold_curves(
        {titles[name]: curve for name, curve in found.items()},
        chosen={titles[name]: number(metrics[name].get("threshold")) for name in found},
        lines={titles[name]: shown[name]["line"] for name in found if shown[name].get("line")},
    )
    return Markup(plots.svg(figure))  # Matplotlib escapes the texts in it


def classes(metrics: dict, shown: dict) -> dict:
    """The IoU of each class, stage by stage."""
    columns = {
        shown[name]["title"]: values.get("iou") or values.get("val_iou")
        for name, values in metrics.items()
    }
    columns = {head: values for head, values in columns.items() if values}
    names = list(next(iter(columns.values()), {}))
    colours = plots.palette(len(names))
    rows = [
        {
            "name": name,
            "colour": hex_of(colours[label % 256]),
            "cells": [bar(values.get(name)) for values in columns.values()],
        }
        for label, name in enumerate(names)
    ]
    return {"heads": list(columns), "rows": rows}


def bar(fraction: float | None) -> tuple[str, str]:
    """The length of a bar in percent, and what stands over it."""
    return f"{100 * (number(fraction) or 0):.1f}", percent(fraction)


def number(value: object) -> float | None:
    """A number as it is; None for all else, as may stand in files that were written by hand."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def percent(fraction: float | None) -> str:
    """A fraction as a percentage with one decimal; a dash where there is none."""
    return "–" if number(fraction) is None else f"{100 * fraction:.1f}"


def duration(seconds: float | None) -> str:
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


def total_seconds(metrics: dict) -> float:
    """The time of all stages together."""
    return sum(number(values.get("seconds")) or 0 for values in metrics.values())


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
