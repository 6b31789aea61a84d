"""`restrict` and `inspect`."""

from __future__ import annotations

import json
import time
from typing import Any

import pymacaroons
import pytest
from sandbox import Command, new_master

from keyring_pypitoken import Token


@pytest.mark.parametrize(
    ("options", "caveats"),
    [
        (["--project", "My.Demo", "--project", "b"], [b'[1, ["b", "my-demo"]]']),
        (["--project-id", "00000000-0000-0000-0000-00000000000a"], [b'[2, ["00000000-0000-0000-0000-00000000000a"]]']),
        (["--user-id", "00000000-0000-0000-0000-00000000000b"], [b'[3, "00000000-0000-0000-0000-00000000000b"]']),
        (["--not-before", "100", "--not-after", "200"], [b"[0, 200, 100]"]),
        (["--not-before", "1970-01-01T00:01:40Z", "--not-after", "1970-01-01T01:03:20+01:00"], [b"[0, 200, 100]"]),
    ],
)
def test_restrict_appends_the_restriction(options: list[str], caveats: list[bytes], command: Command) -> None:
    code, out, _ = command("restrict", *options, stdin=new_master() + "\n")
    assert (code, out.count("\n")) == (0, 1)
    raw = Token.load(out.strip()).raw_caveats
    assert [sorted(caveat) for caveat in raw] == [sorted(caveat) for caveat in caveats]


@pytest.mark.parametrize(
    ("options", "begins", "ends"),
    [
        (["--valid-for", "1h30m"], -60, 5400),
        (["--valid-for", "90s", "--not-before", "0"], None, 90),
        (["--not-after", "9999999999"], -60, None),
    ],
)
def test_restrict_completes_a_window(
    options: list[str], begins: int | None, ends: int | None, command: Command
) -> None:
    before = int(time.time())
    _, out, _ = command("restrict", *options, stdin=new_master())
    (raw,) = Token.load(out.strip()).raw_caveats
    _, not_after, not_before = json.loads(raw)
    after = int(time.time())
    assert not_before == 0 if begins is None else before + begins <= not_before <= after + begins
    assert not_after == 9_999_999_999 if ends is None else before + ends <= not_after <= after + ends


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "no restriction was given: see `keyring-pypitoken restrict --help`."),
        (["--not-before", "1"], "--not-before needs an end beside it: add --not-after or --valid-for."),
        (
            ["--valid-for", "1h", "--not-after", "9"],
            "--valid-for and --not-after both say when the token ends: leave one of them out.",
        ),
        (
            ["--valid-for", "soon"],
            (
                "--valid-for is 'soon', expected a length of time of at most 3650 days such as "
                '"90s", "15m", "1h30m" or "2d", or whole seconds.'
            ),
        ),
        *(
            (
                ["--not-after", text],
                (
                    f"--not-after is '{text}', expected a date and time with its offset, such as "
                    "2026-01-31T18:00:00Z, or Unix seconds."
                ),
            )
            for text in ("2030-01-01", "tomorrow")
        ),
    ],
)
def test_restrict_refuses_what_is_not_a_restriction(options: list[str], sentence: str, command: Command) -> None:
    assert command.refused("restrict", *options, stdin=new_master()) == sentence


NEVER = "this token never works, because no {} is allowed by all of its restrictions: restrict another token."
ID, OTHER_ID = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"


@pytest.mark.parametrize(
    ("first", "then", "warnings"),
    [
        ({}, ["--project", "b"], ["this token never expires: add --valid-for, such as --valid-for 1h."]),
        ({"project_names": ["a", "b"]}, ["--project", "b", "--valid-for", "1h"], []),
        ({"project_names": ["a"]}, ["--project", "b", "--valid-for", "1h"], [NEVER.format("project")]),
        ({"legacy_project_names": ["a"]}, ["--project", "b", "--valid-for", "1h"], [NEVER.format("project")]),
        ({"project_ids": [ID]}, ["--project-id", OTHER_ID, "--valid-for", "1h"], [NEVER.format("project id")]),
        ({"user_id": ID}, ["--user-id", OTHER_ID, "--valid-for", "1h"], [NEVER.format("user")]),
        ({"not_before": 1, "not_after": 2}, ["--not-before", "3", "--not-after", "9"],
         ["this token does not work, because it is never valid: restrict another token."]),
        ({}, ["--not-before", "5", "--not-after", "5"],
         ["this token does not work, because it is never valid: restrict another token."]),
    ],
)  # fmt: skip
def test_restrict_warns_of_a_token_that_works_never_or_for_ever(
    first: dict[str, Any], then: list[str], warnings: list[str], command: Command
) -> None:
    token = Token.load(new_master())
    given = token.restrict(**first).dump() if first else token.dump()
    code, out, err = command("restrict", *then, stdin=given)
    assert (code, out[:5]) == (0, "pypi-")
    assert err.splitlines() == [f"keyring-pypitoken: {warning}" for warning in warnings]


def test_restrict_warns_of_a_restriction_that_pypi_does_not_know(command: Command) -> None:
    macaroon = pymacaroons.Macaroon.deserialize(new_master().removeprefix("pypi-"))
    macaroon.add_first_party_caveat("[99]")
    given = f"pypi-{macaroon.serialize()}"
    assert command("restrict", "--project", "a", "--valid-for", "1h", stdin=given)[2] == (
        "keyring-pypitoken: this token never works, because PyPI denies one of its restrictions: restrict another "
        "token.\n"
    )


def test_restrict_and_inspect_refuse_what_is_not_a_token(command: Command) -> None:
    for words in (("restrict", "--project", "demo"), ("inspect",)):
        sentence = command.refused(*words, stdin="pypi-hunter2hunter2")
        assert "hunter2" not in sentence


@pytest.mark.parametrize(("offset", "state"), [(-1000, "Expired "), (500, "Valid for another "), (None, None)])
def test_inspect_shows_what_a_token_can_do(offset: int | None, state: str | None, command: Command) -> None:
    token = Token.load(new_master())
    token.restrict(project_names=["demo"])
    if offset is not None:
        token.restrict(not_before=1, not_after=int(time.time()) + offset)
    code, out, err = command("inspect", stdin=token.dump())
    assert (code, err) == (0, "")
    lines = out.splitlines()
    if state is not None:
        assert lines.pop(0).startswith(state)
        assert any("; here that is from 1970-01-01 " in line for line in lines)
    assert lines[:5] == [
        "location    pypi.org",
        f"identifier  {token.identifier}",
        "format      macaroon version 2",
        "Restrictions:",
        "  1  only uploads of the project 'demo'",
    ]
    assert lines[-1] == "PyPI may apply further restrictions that are not visible in the token."
    assert "signature" not in out
    description = command.json("inspect", stdin=token.dump())
    assert (description["location"], description["identifier"]) == ("pypi.org", token.identifier)
    assert len(description["caveats"]) == len(token.raw_caveats)


def test_inspect_shows_years_that_no_calendar_has(command: Command) -> None:
    token = Token.load(new_master())
    token.restrict(not_before=1, not_after=10**18)
    _, out, _ = command("inspect", stdin=token.dump())
    assert out.count("until the Unix second 1000000000000000000") == 2


def test_inspect_of_a_master_says_that_nothing_can_be_seen(command: Command) -> None:
    _, out, _ = command("inspect", stdin=new_master())
    assert "No restriction can be seen in it.\nPyPI may apply further restrictions" in out
