"""The report of a run: one page with the numbers, the curves and the pictures of every stage.

The page holds all that it shows, so it can be sent and kept; it asks for nothing from anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

from wsss_lib.data.files import atomic
from wsss_lib.pipeline import plots
from wsss_lib.pipeline.report_examples import dot, examples
from wsss_lib.pipeline.runs import Run, full_disk_is_said

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
MAPS = ("cam", "advcam", "amn")
LABELS = {
    "classifier": "Classifier",
    "cam": "CAM",
    "advcam": "AdvCAM",
    "seeds": "Seeds",
    "amn": "AMN",
    "pseudo_masks": "Pseudo-masks",
    "segmenter": "Segmentation network",
    "supervised": "The same, from true masks",
}


def write_report(folder: str | Path) -> Path:
    """Writes ``report.html`` into a run's folder, from whatever the run has made so far.

    Returns:
        The file.

    Raises:
        InputError: the folder holds no run, or the disk is full.
    """
    run = Run(folder)
    metrics, name = run.metrics(), run.folder.resolve().name
    sections = [header(run, metrics), tiles(metrics), stages(metrics), curves(metrics)]
    sections += [classes(metrics), *examples(run), origin(run)]
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    page = PAGE.format(title=escape(name), style=style, body="\n".join(filter(None, sections)))
    with full_disk_is_said(run.folder), atomic(run.folder / "report.html") as aside:
        aside.write_text(page, encoding="utf-8")
    return run.folder / "report.html"


def section(title: str, meaning: str, body: str, kind: str = "") -> str:
    """A card of the page: its title, a sentence in grey, and what it shows."""
    meaning = f'<p class="soft">{meaning}</p>' if meaning else ""
    return f'<section class="{kind}"><h2>{title}</h2>{meaning}\n{body}\n</section>'


def table(heads: list[str], rows: list[list[str]], kind: str = "") -> str:
    """A table whose cells are HTML; it scrolls sideways where the screen is narrow."""
    head = "".join(f"<th>{cell}</th>" for cell in heads)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def percent(fraction: float | None) -> str:
    """A fraction as a percentage with one decimal; a dash where there is none."""
    return "–" if fraction is None else f"{100 * fraction:.1f}"


def duration(seconds: float | None) -> str:
    """Seconds as a person says them: 4.0 s, 3 min 20 s, 2 h 05 min."""
    if seconds is None:
        return "–"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


def header(run: Run, metrics: dict) -> str:
    """Whose run this is, and when and where it was made."""
    made, total = run.provenance, total_seconds(metrics)
    root = run.recipe.get("data", {}).get("root")
    facts = [root and f"photos of {root}", made.get("date", "")[:10], made.get("device")]
    facts += [total and duration(total), f"seed {made.get('seed')}"]
    line = " · ".join(escape(fact).replace(" ", "&nbsp;") for fact in facts if fact)
    name = escape(run.folder.resolve().name)
    return f'<h1>{name}: from tags to masks</h1>\n<p class="soft">{line}</p>'


def total_seconds(metrics: dict) -> float:
    """The time of all stages together."""
    return sum(values.get("seconds") or 0 for values in metrics.values())


def tiles(metrics: dict) -> str:
    """The few numbers that say how the run went."""
    figures = []
    if "val_map" in metrics.get("classifier", {}):
        value = metrics["classifier"]["val_map"]
        figures.append(("Classifier", value, "mean average precision on val"))
    maps = [name for name in MAPS if "miou" in metrics.get(name, {})]
    if maps:
        value = metrics[maps[-1]]["miou"]
        figures.append((f"{LABELS[maps[-1]]} maps", value, "mIoU on train, one threshold"))
    if "miou" in metrics.get("pseudo_masks", {}):
        value = metrics["pseudo_masks"]["miou"]
        figures.append(("Pseudo-masks", value, "mIoU on train, after the CRF"))
    network = metrics.get("segmenter", {})
    if "val_miou" in network:
        ceiling = network.get("supervised_val_miou")
        meaning = "mIoU on val" + (f"; from true masks {percent(ceiling)}" if ceiling else "")
        figures.append(("Segmentation network", network["val_miou"], meaning))
    cells = [
        f"<div><span>{name}</span><b>{percent(value)}<small>%</small></b><span>{meaning}</span></div>"
        for name, value, meaning in figures
    ]
    return f'<section class="tiles">{"".join(cells)}</section>' if cells else ""


def stages(metrics: dict) -> str:
    """The table of stages: what each one reached, and how long it took."""
    rows = list(stage_rows(metrics))
    if not rows:
        return section("Nothing measured yet", "No stage of this run is finished.", "")
    heads = ["", "result", "at the best<br>threshold", "each photo at<br>its own best", "time"]
    rows.append(["Together", "", "", "", duration(total_seconds(metrics))])
    return section(
        "Stages",
        "mIoU in %: the overlap of prediction and truth divided by their union, averaged over the "
        "classes. Maps, seeds (where they are sure) and pseudo-masks are measured on the training "
        "photos, the networks on val.",
        table(heads, rows, "sum"),
    )


def stage_rows(metrics: dict) -> Iterator[list[str]]:
    """For each stage its name, its result, two results with hindsight, and its time."""
    network = metrics.get("segmenter", {})
    for stage, label in LABELS.items():
        if stage not in metrics:
            continue
        values = metrics[stage]
        result, best, own = percent(values.get("miou")), "", ""
        if stage == "classifier":
            result = f"{percent(values.get('val_map'))} <small>mAP</small>"
        elif stage in MAPS and "miou" in values:
            result = at(values["miou"], values.get("threshold"))
            best = at(values.get("miou_best"), values.get("threshold_best"))
            own = percent(values.get("miou_best_per_image"))
        elif stage == "seeds" and "unsure" in values:
            result += f" <small>{percent(values['unsure'])} unsure</small>"
        elif stage == "pseudo_masks":
            result = ""
        elif stage == "segmenter":
            result = percent(network.get("val_miou"))
        elif stage == "supervised":
            result = percent(network.get("supervised_val_miou"))
        again = f"<small>last of {values['starts']} starts</small> " if "starts" in values else ""
        yield [label, noted(result), best, own, again + duration(values.get("seconds"))]
        for source in MAPS if stage == "pseudo_masks" else ():
            if source in values:
                name = f'<span class="under">from {LABELS[source]}</span>'
                yield [name, noted(percent(values[source].get("miou"))), "", "", ""]


def noted(result: str) -> str:
    """A result with room for a note behind it, so that numbers stand below each other."""
    return result if "<small>" in result or not result else f"{result} <small></small>"


def at(miou: float | None, threshold: float | None) -> str:
    """A mIoU and the threshold it was reached at."""
    where = "" if threshold is None else f" <small>at {threshold:.2f}</small>"
    return percent(miou) + where


def curves(metrics: dict) -> str:
    """The quality of the maps at every threshold."""
    found = {name: metrics[name]["curve"] for name in MAPS if metrics.get(name, {}).get("curve")}
    if not found:
        return ""
    chosen = {name: metrics[name].get("threshold") for name in found}
    figure = plots.threshold_curves(found, chosen=chosen)
    return section(
        "Maps at every threshold",
        "A pixel is background where no map exceeds the threshold. The dot is the threshold that "
        "this run uses for all photos. The wider a curve, the less depends on that choice.",
        f'<div class="curves">{plots.svg(figure)}</div>',
        "split",
    )


def classes(metrics: dict) -> str:
    """The IoU of each class, step by step."""
    masks, network = metrics.get("pseudo_masks", {}), metrics.get("segmenter", {})
    columns = {LABELS[name]: metrics.get(name, {}).get("iou") for name in MAPS}
    columns |= {f"masks from<br>{LABELS[name]}": masks.get(name, {}).get("iou") for name in MAPS}
    columns["network<br>on val"] = network.get("val_iou")
    columns["from true<br>masks"] = network.get("supervised_val_iou")
    columns = {head: values for head, values in columns.items() if values}
    if not columns:
        return ""
    names = list(next(iter(columns.values())))
    colours = plots.palette(len(names))
    rows = [
        [dot(colours[label]) + escape(name), *(bar(iou.get(name)) for iou in columns.values())]
        for label, name in enumerate(names)
    ]
    meaning = "Intersection over union in %."
    return section("Class by class", meaning, table(["", *columns], rows, "bars"))


def bar(fraction: float | None) -> str:
    """A percentage over a bar of that length."""
    return (
        f'<span class="bar" style="--share:{100 * (fraction or 0):.1f}%">{percent(fraction)}</span>'
    )


def origin(run: Run) -> str:
    """The recipe and the provenance, folded."""
    folded = {"Recipe": run.recipe, "Code, versions and machine": run.provenance}
    body = "\n".join(
        f"<details><summary>{title}</summary>{facts(values)}</details>"
        for title, values in folded.items()
    )
    return section("Where this comes from", "", body)


def facts(values: dict) -> str:
    """A table of nested values, each under its dotted name."""
    rows = [[escape(name), escape(str(value))] for name, value in flat(values)]
    return table(["", ""], rows, "facts")


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
