"""The house: which modules there are, on which floors, and what they import.

`python tests/support/house.py` draws it for CONTRIBUTING.md, and a test compares the picture with a fresh one.
"""

from __future__ import annotations

import ast
import html
import re
import textwrap
from pathlib import Path

import keyring_pypitoken

ROOT = Path(__file__).parent.parent.parent
PACKAGE = Path(keyring_pypitoken.__file__).parent
PICTURE = ROOT / ".github" / "images" / "house.svg"
# The floors, the lowest first. A module may import those on the floors below its own, and those of its own room.
FLOORS = (
    {"exceptions", "record", "secret", "text", "names", "paths", "memory"},
    {"files", "manual", "toml"},
    {"lookup"},
    {"policy", "tokens"},
    {"uploaders"},
    {"notices"},
    {"vault"},
    {"derive", "history", "index"},
    {"issue"},
    {"backend"},
    {"cli"},
)
KERNEL = ("secret.py", "vault/masters.py", "derive.py", "tokens/macaroon.py", "issue.py")
DOORS = {
    "cli": "you type keyring-pypitoken",
    "backend": "an uploader asks keyring",
    "tokens": "you import Token",
}
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if path.name not in ("__init__.py", "__main__.py")
)
WIDTH, MARGIN, GAP, LINE = 830, 16, 8, 20
LETTER = 8.5  # the width of one, 14 px high
SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 830 {height}" role="img" aria-labelledby="title description">
<title id="title">The house: a room imports from the floors below it only</title>
<desc id="description">{text}</desc>
<style>
text {{ font: 14px ui-monospace, monospace; fill: #1f2328; }}
.room {{ font-weight: bold; }}
.kernel {{ font-weight: bold; fill: #9a6700; }}
.imports {{ font-size: 12px; fill: #59636e; }}
.purpose {{ font: 13px sans-serif; }}
.door {{ font: italic 13px sans-serif; fill: #0969da; }}
.ground {{ fill: #f6f8fa; }}
rect, .roof {{ fill: #ffffff; stroke: #d1d9e0; }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #e6edf3; }}
.kernel {{ fill: #e3b341; }}
.imports {{ fill: #9198a1; }}
.door {{ fill: #58a6ff; }}
.ground {{ fill: #0d1117; }}
rect, .roof {{ fill: #161b22; stroke: #3d444d; }}
}}
</style>
<rect class="ground" x="0.5" y="0.5" width="829" height="{ground}" rx="10"/>
<path class="roof" d="M16 68 L415 12 L814 68 Z"/>
<text class="room" x="415" y="54" text-anchor="middle">keyring_pypitoken</text>
{body}
</svg>
"""


def room(module: str) -> str:
    """Return the room that a module is in: its sub-package, or itself."""
    return module.partition(".")[0]


def imports(module: str) -> tuple[set[str], set[str]]:
    """Return what a module imports, anywhere in it: our modules, and the top names of others."""
    ours: set[str] = set()
    others: set[str] = set()
    path = PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
    package = f"keyring_pypitoken.{module}".split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            if source.partition(".")[0] != "keyring_pypitoken":
                others.add(source.partition(".")[0])
                continue
            for name in node.names:
                full = f"{source}.{name.name}".partition(".")[2]
                ours.add(full if full in MODULES else source.partition(".")[2] or full)
        elif isinstance(node, ast.Import):
            others.update(name.name.partition(".")[0] for name in node.names)
    return ours, others


def needs(name: str) -> set[str]:
    """Return the rooms that the modules of a room import."""
    found = {room(other) for module in MODULES if room(module) == name for other in imports(module)[0]}
    return {other for other in found if other != name and other in map(room, MODULES)}


def draw() -> str:
    """Return the picture: the floors, the highest first; in each room what is in it, and which rooms it imports."""
    rooms = {name: needs(name) for name in sorted(set(map(room, MODULES)))}
    body, y = [], 76
    for floor in reversed(FLOORS):
        width = (WIDTH - 2 * MARGIN - GAP * (len(floor) - 1)) // len(floor)
        drawn = {name: _write_room(name, rooms, width) for name in sorted(floor)}
        height = max(map(len, drawn.values())) * LINE + 14
        for x, (name, lines) in zip(range(MARGIN, WIDTH, width + GAP), drawn.items(), strict=False):
            body.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>')
            body += [f'<text x="{x + 12}" y="{y + 22 + LINE * at}">{line}</text>' for at, line in enumerate(lines)]
            if name in DOORS:
                end = x + width - 12
                body.append(f'<text class="door" x="{end}" y="{y + 22}" text-anchor="end">{DOORS[name]}</text>')
        y += height + GAP
    text = f"From the top: {'; '.join(', '.join(sorted(floor)) for floor in reversed(FLOORS))}."
    return SVG.format(height=y + MARGIN, ground=y + MARGIN - 1, text=text, body="\n".join(body))


def _write_room(name: str, rooms: dict[str, set[str]], width: int) -> list[str]:
    """Return the lines in a room: its name, its modules or what it is for, the rooms that it imports."""
    inside = [module.partition(".")[2] for module in MODULES if module.startswith(f"{name}.")]
    kernel = [module.removesuffix(".py").partition("/") for module in KERNEL]
    names = {last or first for first, _, last in kernel if first == name}
    lines = [f'<tspan class="{"kernel" if name in names else "room"}">{name}</tspan>']
    letters = (width - 24) / LETTER
    if inside:
        lines += textwrap.wrap(" ".join(inside), int(letters))
        lines[1:] = [re.sub(r"\w+", lambda word: _mark(word[0], names), line) for line in lines[1:]]
    elif letters > len("exceptions") * 2:
        purpose = textwrap.wrap(_purpose(name), int(letters * 1.25))
        lines += [f'<tspan class="purpose">{line}</tspan>' for line in purpose]
    # What is imported by way of another room goes without saying.
    direct = rooms[name].difference(*(_below(other, rooms) for other in rooms[name]))
    return [*lines, *([f'<tspan class="imports">&#8595; {", ".join(sorted(direct))}</tspan>'] if direct else [])]


def _mark(word: str, names: set[str]) -> str:
    return f'<tspan class="kernel">{word}</tspan>' if word in names else word


def _purpose(module: str) -> str:
    """Return the first sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))) or ""
    return html.escape(text.partition("\n")[0].partition(". ")[0].rstrip("."))


def _below(name: str, rooms: dict[str, set[str]]) -> set[str]:
    """Return all that a room imports, and what that imports."""
    return rooms[name].union(*(_below(other, rooms) for other in rooms[name]))


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
