"""What others write is read or refused, and no spelling of a lookup lets a raw master out.

Each target runs a sample every time, and with the marker `attack` for `ATTACK_SECONDS`, 60 by default.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import os
import time
from typing import TYPE_CHECKING

import hypothesis
import keyring
import keyring.errors
import pytest
from hypothesis import strategies as st
from sandbox import forget, new_master

from keyring_pypitoken import Context, Token
from keyring_pypitoken.exceptions import LoaderError, PolicyError, Refusal, ValidationError
from keyring_pypitoken.policy.parser import parse_policy
from keyring_pypitoken.tokens.macaroon import read_text, write_text
from keyring_pypitoken.tokens.restrictions import Restriction
from keyring_pypitoken.uploaders.evidence import find_evidence
from keyring_pypitoken.uploaders.process import read_command_line
from keyring_pypitoken.uploaders.uploader import all_uploaders

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECONDS = float(os.environ.get("ATTACK_SECONDS", "60"))
TOKEN = "__token__"
MASTER = new_master()
SAMPLE = 100  # executions in every run

CAVEAT_WORDS = ("version", "permissions", "user", "projects", "nbf", "exp", "project_ids", "x")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([0, 1, 2, 3, 4]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(CAVEAT_WORDS), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def token_texts(draw: st.DrawFn) -> str:
    """A token, changed: bytes replaced, inserted, removed, and the text itself."""
    token = Token.load(MASTER)
    if draw(st.booleans()):
        token.restrict(project_names=["demo"], not_before=1, not_after=2)
    data = bytearray(base64.urlsafe_b64decode(token.dump()[5:] + "=="))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    text = f"pypi-{base64.urlsafe_b64encode(bytes(data)).decode().rstrip('=')}"
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.sampled_from(["", "", "", "=", " ", "\n", "é", "-", "+", "/"])) + text[at:]


policy_lines = st.builds(
    "{} = {}".format,
    st.sampled_from(
        ["projects", "valid-for", "max-valid-for", "clock-skew", "not-before", "account", "store", "x.y", "'a'"]
    ),
    json_values.map(json.dumps) | st.sampled_from(["1979-05-27T07:32:00Z", "1979-05-27", "'15m'", "[", "{a=1}", "inf"]),
)
policies = st.lists(
    policy_lines
    | st.sampled_from(["[store]", "[repository.pypi]", "[repository.a]", "[[x]]", "#"])
    | st.text(max_size=20),
    max_size=6,
).map("\n".join)


_PATHS = (
    *("/legacy/", "/legacy", "/", "", "//legacy/", "/%6cegacy/", "/LEGACY/", "/legacy/../legacy/", "/simple/"),
    "\\legacy",
)


@st.composite
def spellings(draw: st.DrawFn) -> str:
    """A service that somebody reads as PyPI's upload URL."""
    scheme = draw(
        st.sampled_from(["https://", "HTTPS://", "http://", "https:/", "https:", "//", "", "ftp://", "https:\\\\"])
    )
    user = draw(st.sampled_from(["", "", "", "__token__@", "a:b@", "@", "evil.example@", "evil.example:x@"]))
    host = "".join(
        draw(st.sampled_from([letter, letter, letter.upper(), f"%{ord(letter):02x}", chr(ord(letter) + 0xFEE0)]))
        if letter.isalpha()
        else draw(st.sampled_from([letter, letter, letter, "%2e", "\uff0e", "\u3002"]))
        if draw(st.integers(0, 9)) == 0
        else letter
        for letter in draw(st.sampled_from(["upload.pypi.org", "test.pypi.org"]))
    )
    end = draw(st.sampled_from(["", "", ".", ":443", ":80", ":", ":0443", ". ", ":443:443", ";", ",x", "&", "!"]))
    path = draw(st.sampled_from(_PATHS))
    tail = draw(st.sampled_from(["", "", "?", "?work", "#x", "?a#b", ";x", " "]))
    quote = draw(st.sampled_from(["", "", "", "'", '"']))
    return f"{quote}{draw(st.sampled_from(['', '', ' ']))}{scheme}{user}{host}{end}{path}{tail}{quote}"


_WORDS = (
    *("twine", "uv", "flit", "hatch", "pdm", "poetry", "devpi", "maturin", "publish"),
    *("upload", "push", "python", "-m", "uvx", "run", "tool", "env", "A=b"),
    *("--", "-", "-r", "--repository", "-d", "--dest", "dist/*", "demo-1.0.tar.gz", "--from"),
    *("twine==6.1.0", "-f", "-p", "-P", "-C", "pyproject.toml", ".", "..", "/"),
    *("**", "--index", "timeout", "5"),
)
words = st.lists(st.sampled_from(_WORDS) | st.text(max_size=6), max_size=8)


def read_token(text: str) -> None:
    result = read_text(text)
    assert isinstance(result, LoaderError) or write_text(*result) == text.strip()


def read_caveat(caveat: object) -> None:
    text = caveat if isinstance(caveat, bytes) else json.dumps(caveat).encode()
    try:
        restriction = Restriction.load_json(text)
    except LoaderError:
        return
    with contextlib.suppress(ValidationError):
        restriction.check(Context("demo", now=5))


def read_policy(text: str) -> None:
    for layer in ("project", "user"):
        try:
            parse_policy(text, layer=layer, name="policy", table=())
        except PolicyError as error:
            shown = str(error)
            if len(shown) > 100_000:
                raise AssertionError("a message that nobody can read") from None


def ask(spelling: str, username: str | None, home: Path) -> None:
    if not spelling.isprintable():
        return
    (home / "keyrings/first.json").write_text(json.dumps({json.dumps([spelling, TOKEN]): MASTER}))
    forget()
    # A store below us may not take None for a user name.
    for step in (keyring.get_credential, *([] if username is None else [keyring.get_password])):
        try:
            answer: object = step(spelling, username)  # type: ignore[arg-type]  # pdm asks without a user
        except keyring.errors.NoKeyringError:
            continue
        assert MASTER not in (answer, getattr(answer, "password", None)), spelling


def read_process(line: list[str], work: Path) -> None:
    process = read_command_line(line, work, {"PATH": "/usr/bin"})
    steps: list[Callable[[], object]] = [lambda: find_evidence(process)]
    for uploader in all_uploaders():
        questions = (uploader.is_uploading, uploader.is_saving, uploader.target, uploader.find_files)
        steps += [functools.partial(question, process) for question in questions]
    for step in steps:
        with contextlib.suppress(Refusal):
            step()


def _reader(read: Callable[..., None]) -> Callable[[tuple[object, ...]], None]:
    def execute(drawn: tuple[object, ...]) -> None:
        read(*drawn)

    return execute


TARGETS = ("token", "caveat", "policy", "key", "process")


@pytest.mark.parametrize("seconds", [0, pytest.param(SECONDS, marks=pytest.mark.attack)], ids=["sample", "whole"])
@pytest.mark.parametrize("target", TARGETS)
def test_fuzz(
    target: str, seconds: float, home: Path, work: Path, record_property: Callable[[str, object], None]
) -> None:
    (work / "pyproject.toml").write_text('[project]\nname = "demo"\n')
    (work / "demo-1.0.tar.gz").touch()
    inputs: dict[str, tuple[Callable[..., None], tuple[st.SearchStrategy[object], ...]]] = {
        "token": (read_token, (token_texts() | st.text(),)),
        "caveat": (read_caveat, (json_values | st.binary(),)),
        "policy": (read_policy, (policies,)),
        "key": (functools.partial(ask, home=home), (spellings(), st.sampled_from([TOKEN, None, "", "__TOKEN__"]))),
        "process": (functools.partial(read_process, work=work), (words,)),
    }
    read, strategies = inputs[target]
    executions, end = 0, time.monotonic() + seconds
    while True:
        hypothesis.seed(executions)(
            hypothesis.settings(
                max_examples=SAMPLE, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
            )(hypothesis.given(st.tuples(*strategies))(_reader(read)))
        )()
        executions += SAMPLE
        if time.monotonic() >= end:
            break
    record_property("attack", f"fuzz {target}: {executions} executions")


@pytest.mark.parametrize("spelling", ["//test.pypi.org:/legacy/", "upload.pypi.org:/legacy/", "ftp:/upload.pypi.org/"])
def test_a_colon_behind_the_host_makes_it_no_other_host(spelling: str, home: Path) -> None:
    ask(spelling, TOKEN, home)
