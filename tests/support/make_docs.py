"""Rewrites the parts of `.github/docs` that are made from the code: `python tests/support/make_docs.py`.

A part is between two comments; the first names it. A test compares the pages with a fresh run.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keyring_pypitoken.cli.main import build_parser
from keyring_pypitoken.policy.schema import describe_keys
from keyring_pypitoken.policy.values import PROJECT_KEYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DOCS = Path(__file__).parent.parent.parent / ".github" / "docs"
_PART = re.compile(r"(<!-- made by tests/support/make_docs\.py: ([a-z ]+) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def render(page: str) -> str:
    """Return the text of a page with its made parts made again."""
    return _PART.sub(lambda part: f"{part[1]}{make(part[2])}{part[3]}", page)


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub makes of headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def make(name: str) -> str:
    """Return a part by its name, such as `policy keys` or `uploader twine`."""
    return _PARTS[name]()


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), *(list(row) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _meaning(key: Any) -> str:
    return re.sub(r'("[^"]+")', r"`\1`", key["description"])


def _policy_keys() -> str:
    return _table(
        ("key", "meaning", "default", "in a project"),
        (
            (
                f"`{name}`",
                _meaning(key),
                f"`{json.dumps(key['default'])}`" if "default" in key else "none",
                "yes" if name in PROJECT_KEYS else "no",
            )
            for name, key in describe_keys()["keys"].items()
        ),
    )


def _described(table: str) -> str:
    return _table(("key", "meaning"), ((f"`{name}`", _meaning(key)) for name, key in describe_keys()[table].items()))


def _commands() -> str:
    parser = build_parser()
    (subparsers,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    names = {action.dest: action.metavar for action in subparsers._choices_actions}
    return "\n".join(_command(name, subparsers.choices[name], str(shown)) for name, shown in names.items())


def _command(name: str, parser: argparse.ArgumentParser, shown: str) -> str:
    other = shown.removeprefix(name).strip(" ()")
    text = f"### {name}\n\n{parser.description}{f' `{other}` is the same.' if other else ''}\n\n"
    rows: list[tuple[str, str]] = []
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.dest != "help"]
        if actions and group.title not in ("options", "positional arguments"):
            rows.append((f"*{group.title}*", ""))
        rows += [(_spelling(action), action.help or "") for action in actions]
    if rows:
        text += _table(("argument", "meaning"), rows) + "\n"
    lines = [f"$ {line.strip()}\n" for line in (parser.epilog or "").splitlines()[1:]]
    return f"{text}```console\n{''.join(lines)}```\n"


def _spelling(action: argparse.Action) -> str:
    value = f" {action.metavar}" if action.metavar and action.nargs != 0 else ""
    if not action.option_strings:
        return f"`{action.metavar} ...`"
    value = f" [{action.metavar}]" if action.nargs == "?" else value
    return ", ".join(f"`{option}{value}`" for option in action.option_strings)


_PARTS: dict[str, Callable[[], str]] = {
    "policy keys": _policy_keys,
    "repository keys": lambda: _described("endpoint"),
    "store keys": lambda: _described("store"),
    "commands": _commands,
}


def main() -> None:
    """Rewrite every page that a made part of has changed."""
    for path in sorted(DOCS.glob("*.md")):
        old = path.read_text(encoding="utf-8")
        new = render(old)
        if new != old:
            path.write_text(new, encoding="utf-8", newline="\n")
            print(f"rewrote {path.name}")  # noqa: T201 - it is run by a person


if __name__ == "__main__":
    main()
