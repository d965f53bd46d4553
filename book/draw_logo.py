"""Draws the logo and the favicon of the book: a tag that becomes a mask of pixels.

    .venv/bin/python book/draw_logo.py

Writes `_static/logo.svg`, `logo.png` and `favicon.png`.
"""

from pathlib import Path

from PIL import Image, ImageDraw

from wsss_lib.pipeline.plots import CLASS_COLOURS

FOLDER = Path(__file__).parent / "_static"
SIDE = 64
ORANGE, BLUE, YELLOW, TEAL, *_ = CLASS_COLOURS
TAG = [(2, 32), (17, 12), (33, 12), (33, 52), (17, 52)]
HOLE = (17, 32, 4)  # centre and radius
CELL, PITCH = 8.5, 10.5
# Columns of pixels from the tag to the right; a dot is a pixel of background.
COLUMNS = ["BBBB", "OBBT", ".OT."]
COLOURS = {"B": BLUE, "O": ORANGE, "T": TEAL}


def cells() -> list[tuple[float, float, str]]:
    """Left, top and colour of each pixel."""
    return [
        (35 + PITCH * x - 0.5, 12 + PITCH * y, COLOURS[letter])
        for x, column in enumerate(COLUMNS)
        for y, letter in enumerate(column)
        if letter != "."
    ]


def svg() -> str:
    """The logo as a drawing."""
    x, y, radius = HOLE
    ring = f"M{x - radius} {y}a{radius} {radius} 0 1 0 {2 * radius} 0a{radius} {radius} 0 1 0 {-2 * radius} 0z"
    outline = "M" + "L".join(f"{a} {b}" for a, b in TAG) + "z"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {SIDE}">',
        "<title>A tag that becomes a mask</title>",
        f'<path fill="{BLUE}" fill-rule="evenodd" d="{outline}{ring}"/>',
        *(
            f'<rect x="{left:g}" y="{top:g}" width="{CELL}" height="{CELL}" rx="1.2" fill="{colour}"/>'
            for left, top, colour in cells()
        ),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def picture(side: int, finer: int = 8) -> Image.Image:
    """The logo as pixels on a transparent ground, drawn finer and made smaller."""
    scale = side * finer / SIDE
    image = Image.new("RGBA", (side * finer, side * finer))
    draw = ImageDraw.Draw(image)
    draw.polygon([(a * scale, b * scale) for a, b in TAG], fill=BLUE)
    x, y, radius = (each * scale for each in HOLE)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(0, 0, 0, 0))
    for left, top, colour in cells():
        box = (left, top, left + CELL, top + CELL)
        draw.rounded_rectangle([each * scale for each in box], radius=1.2 * scale, fill=colour)
    return image.resize((side, side), Image.Resampling.LANCZOS)


def main() -> None:
    """Writes the three files."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "logo.svg").write_text(svg(), encoding="utf-8")
    picture(256).save(FOLDER / "logo.png", optimize=True)
    picture(48).save(FOLDER / "favicon.png", optimize=True)


if __name__ == "__main__":
    main()
