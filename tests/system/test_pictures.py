"""The pictures of the documents show what there is today, and what GitHub and PyPI let through."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import draw_terminal
import house
import pytest
from sandbox import ROOT

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = sorted((ROOT / ".github" / "images").glob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"


def parse(picture: str) -> ET.Element:
    return ET.fromstring(picture)  # noqa: S314 - our own file


def texts(picture: str) -> str:
    """Return all that can be read in a picture, without the spaces that a drawing sets."""
    found = ["".join(element.itertext()) for element in parse(picture).iter(f"{SVG}text")]
    return re.sub(r"\s+", "", "".join(found))


def test_the_terminal_shows_what_the_demonstration_prints() -> None:
    printed = draw_terminal.select(draw_terminal.record())
    shown = draw_terminal.PICTURE.read_text(encoding="utf-8")
    assert texts(shown) == re.sub(r"\s+", "", printed), "run tests/support/draw_terminal.py"
    assert texts(draw_terminal.draw(printed)) == texts(shown)


def test_the_house_is_as_the_imports_are() -> None:
    assert house.PICTURE.read_text(encoding="utf-8") == house.draw(), "run tests/support/house.py"


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_a_picture_needs_nothing_from_elsewhere_and_can_be_read_aloud(image: Path) -> None:
    """GitHub and PyPI show it as an image: without scripts, links, and what is at other addresses."""
    root = parse(image.read_text(encoding="utf-8"))
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        *("svg", "title", "desc", "style", "defs", "clipPath", "g", "rect", "circle", "path", "text", "tspan"),
    }
    assert root.get("role") == "img"
    named = {element.get("id"): element.text for element in root if element.get("id")}
    assert all(named[name] for name in (root.get("aria-labelledby") or "").split())
    style = root.findtext(f"{SVG}style") or ""
    assert "url(" not in style
    assert "@import" not in style
    families = re.findall(r"font(?:-family)?: ([^;}]*)", style)
    assert all(family.endswith(("monospace", "sans-serif")) for family in families)
    assert not [name for element in root.iter() for name in element.attrib if "href" in name or name.startswith("on")]
