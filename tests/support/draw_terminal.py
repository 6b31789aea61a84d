"""Draw what the demonstration prints as a terminal: `python tests/support/draw_terminal.py` writes the picture.

It is an SVG without scripts, links or fonts of its own, since GitHub and PyPI let neither through. A test compares its
text with what the demonstration prints today.
"""

from __future__ import annotations

import html
import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).parent.parent.parent
PICTURE = ROOT / ".github" / "images" / "terminal.svg"
WIDTH = 82  # columns, of which one is free on either side
# What is shown of the demonstration: the steps from the first of these up to the second.
FIRST, BEHIND = "Store a master", "... and no project"
TIME = r"\d\d:\d\d:\d\d"
TIMES = ("14:06:07", "14:00:07")  # until when the token works, since when
STYLES = {
    r"(?m)^\$ .*?(?=  +#|$)": "bold white",
    r"(?m)^\$": "bold green",
    r"(?m)^#.*": "bold cyan",
    r"  +# .*": "dim white",
    r"(?s)keyring-pypitoken: derived.*?defaults\)": "bold yellow",
    r"the master itself: no": "bold green",
    r"restricted to .*": "bold green",
    r"403 Forbidden|Invalid API Token: .*": "bold red",
}
GROUND, GREY, WHITE, BLUE = (22, 27, 34), (201, 209, 217), (240, 246, 252), (121, 192, 255)
RED, GREEN, YELLOW, VIOLET = (255, 123, 114), (126, 231, 135), (242, 204, 96), (210, 168, 255)
THEME = TerminalTheme(GROUND, GREY, [GROUND, RED, GREEN, YELLOW, BLUE, VIOLET, BLUE, WHITE])
SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="title description">
<title id="title">twine upload with keyring-pypitoken, recorded</title>
<desc id="description">TEXT</desc>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, monospace; font-size: {char_height}px; }}
.{unique_id}-title {{ font-family: sans-serif; font-size: 18px; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def record() -> str:
    """Return what the demonstration prints, with a port and times that do not change."""
    environ = os.environ | {"PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "try_it.py", "--here"],
        env=environ,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    printed = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8000", done.stdout)
    printed = re.sub(rf"\d{{4}}-\d\d-\d\d (?={TIME})", "", printed)
    found = dict.fromkeys(re.findall(TIME, printed))
    shown = dict(zip(found, TIMES, strict=True))
    return re.sub(TIME, lambda time: shown[time[0]], printed)


def select(printed: str) -> str:
    """Return the steps that are shown, with their titles as comments."""
    steps = printed[printed.index(FIRST) : printed.index(BEHIND)].strip()
    return re.sub(r"(?m)^    ", "", re.sub(r"(?m)^(?=\S)", "# ", steps))


def draw(text: str) -> str:
    """Return the picture of a terminal's text."""
    console = Console(width=WIDTH, file=io.StringIO(), record=True, force_terminal=True, color_system="truecolor")
    shown = Text(text)
    for pattern, style in STYLES.items():
        shown.highlight_regex(pattern, style)
    console.print(Padding(shown, (0, 1, 1, 1)))
    picture = console.export_svg(title="", theme=THEME, code_format=SVG, unique_id="t")
    picture = re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.1f}", picture)
    return re.sub(r"\s*\n\s*", "\n", picture).replace("TEXT", html.escape(text, quote=False))


if __name__ == "__main__":
    PICTURE.write_text(draw(select(record())), encoding="utf-8")
