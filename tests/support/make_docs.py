"""Rewrites the parts of `.github/docs` that are made from the code: `python tests/support/make_docs.py`.

A part is between two comments; the first names it. A test compares the pages with a fresh run.
"""

from __future__ import annotations

import argparse
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keyring_pypitoken.cli.main import build_parser
from keyring_pypitoken.policy import decision
from keyring_pypitoken.policy.values import ENDPOINT_KEYS, KEYS, STORE_KEYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DOCS = Path(__file__).parent.parent.parent / ".github" / "docs"
_PART = re.compile(r"(<!-- made by tests/support/make_docs\.py: ([a-z ]+) -->\n).*?(<!-- end -->\n)", re.DOTALL)
# What applies if no policy has the key; `none` for those that then limit nothing.
_DEFAULTS = {
    "valid-for": f'`"{decision._AUTO.value}"`',
    "max-valid-for": f'`"{decision._MAX_VALID_FOR.spelling}"`',
    "max-token-valid-for": "`max-valid-for`",
    "uplink": f'`"{decision._UPLINK.spelling}"`',
    "clock-skew": f'`"{decision.DEFAULT_CLOCK_SKEW}s"`',
    "account": '`"default"`',
    "require-policy": "`false`",
    "unscoped": '`"refuse"`',
    "notice": "`true`",
    "history": "`true`",
}
# Options, variables, file names and patterns of names are code, wherever the uploaders have them in a sentence.
_CODE = re.compile(
    r"(?<![\w`/-])(--?[a-z][\w-]*\b|-[A-Za-z]\b|[\w.-]*_[\w:.-]*\w|~?/?\.pypirc|[a-z]+(?:[.-][a-z]+)*[.-]NAME|config\.toml)",
)


def render(page: str) -> str:
    """Return the text of a page with its made parts made again."""
    return _PART.sub(lambda found: f"{found[1]}{make(found[2])}{found[3]}", page)


def make(name: str) -> str:
    """Return a part by its name, such as `policy keys` or `uploader twine`."""
    return _PARTS[name]()


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), *(list(row) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _schema() -> dict[str, Any]:
    text = files("keyring_pypitoken.policy").joinpath("policy.schema.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def _description(name: str, properties: dict[str, Any]) -> str:
    found = properties[name]
    if "$ref" in found:
        found = _schema()["definitions"][found["$ref"].rpartition("/")[2]]
    return re.sub(r'("[^"]+")', r"`\1`", found["description"])


def _policy_keys() -> str:
    return _table(
        ("key", "meaning", "default", "in a project"),
        (
            (
                f"`{name}`",
                _description(name, _schema()["properties"]),
                _DEFAULTS.get(name, "none"),
                "yes" if key.project_may else "no",
            )
            for name, key in KEYS.items()
        ),
    )


def _described(keys: Iterable[str], properties: dict[str, Any]) -> str:
    return _table(("key", "meaning"), ((f"`{name}`", _description(name, properties)) for name in keys))


def _commands() -> str:
    parser = build_parser()
    (found,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    names = {action.dest: action.metavar for action in found._choices_actions}
    return "\n".join(_command(name, found.choices[name], str(shown)) for name, shown in names.items())


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
    "repository keys": lambda: _described(ENDPOINT_KEYS, _schema()["definitions"]["further"]["properties"]),
    "store keys": lambda: _described(STORE_KEYS, _schema()["properties"]["store"]["properties"]),
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
