"""List the files on an index that no token in the history of keyring-pypitoken can have uploaded.

    keyring-pypitoken history --json -n 0 > history.json
    python3 examples/audit.py history.json

It needs Python 3.11 and the network, and no package. The histories of all machines that upload can be named. A file is
listed if no token worked when it arrived, or if none that worked was derived for a file of its name and size; tokens
whose files were not known are compared by time alone. Exit code 1 if a file is listed.

It cannot show what was deleted since, or what a machine did under `history = false`; who can write a history can
hide in it. Uploads by Trusted Publishing are listed with their provenance: check that the publisher is yours.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import sys
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

JSON = "application/vnd.pypi.simple.v1+json"  # PEP 691; sizes and upload times since PEP 700
MAX_BYTES = 32 * 1024 * 1024
TOLERANCE = 60  # seconds between the clocks of an index


def main() -> int:
    """Compare an index with the histories."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("history", nargs="+", help="what `keyring-pypitoken history --json -n 0` printed; - for stdin")
    parser.add_argument("--repository", default="pypi", metavar="NAME", help="whose tokens count (default: pypi)")
    parser.add_argument("--index-url", default="https://pypi.org/simple/", metavar="URL", help="its simple API")
    parser.add_argument("--project", action="append", help="what to look at (default: the projects in the history)")
    options = parser.parse_args()
    try:
        entries = [entry for name in options.history for entry in read_history(name, options.repository)]
    except (OSError, ValueError, TypeError, LookupError) as error:
        parser.error(f"a history cannot be read ({type(error).__name__})")
    projects = {normalize(name) for name in options.project or ()} or {n for e in entries for n in e["projects"] or ()}
    if not entries or not projects:
        parser.error(f"the history has no token for a project on {options.repository}: name it with --project")
    begins = min(entry["time"] for entry in entries)
    code = 0
    for project in sorted(projects):
        try:
            files = [file for file in list_files(options.index_url, project) if file["uploaded"] >= begins - TOLERANCE]
        except (OSError, ValueError, TypeError, LookupError) as error:
            print(f"{project}: the index does not list its files with sizes and times ({type(error).__name__})")
            code = 1
            continue
        unexplained = [file for file in files if not any(explains(entry, project, file) for entry in entries)]
        print(f"{project}: {len(files) - len(unexplained)} of {len(files)} files explained by the history")
        for file in unexplained:
            moment = datetime.datetime.fromtimestamp(file["uploaded"], datetime.UTC)
            print(
                f"  {file['filename']!a}, {file['size']} bytes, {moment:%Y-%m-%d %H:%M} UTC, {file.get('provenance')!a}"
            )
            code = 1
    return code


def read_history(name: str, repository: str) -> list[dict[str, Any]]:
    """Return the entries of a history that are about a repository."""
    text = sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
    return [entry for entry in json.loads(text) if entry["repository"] == repository]


def list_files(index_url: str, project: str) -> list[dict[str, Any]]:
    """Return what an index says about the files of a project."""
    is_loopback = index_url.startswith("http://127.0.0.1:")
    if not is_loopback and not index_url.startswith("https://"):
        raise ValueError(index_url)
    opener = build_opener(ProxyHandler({} if is_loopback else None))
    request = Request(f"{index_url.rstrip('/')}/{project}/", headers={"Accept": JSON})  # noqa: S310 - checked above
    with opener.open(request, timeout=30) as answer:
        files: list[dict[str, Any]] = json.loads(answer.read(MAX_BYTES))["files"]
    for file in files:
        file["uploaded"] = datetime.datetime.fromisoformat(file["upload-time"]).timestamp()
    return files


def explains(entry: dict[str, Any], project: str, file: dict[str, Any]) -> bool:
    """Return True if the token of an entry can have uploaded a file."""
    is_in_time = entry["not_before"] - TOLERANCE <= file["uploaded"] <= entry["not_after"] + TOLERANCE
    is_for_project = entry["projects"] is None or project in entry["projects"]
    known = entry.get("files")
    return is_in_time and is_for_project and (known is None or [file["filename"], file["size"]] in known)


def normalize(name: str) -> str:
    """Return the spelling of a project's name that indexes use (PEP 503)."""
    return re.sub("[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
