"""Deriving appends the date and the names to a master, and refuses a master that cannot serve."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pypitoken
import pytest
from exposure import everything_about
from macaroons import mint

import keyring_pypitoken.derive as derive_module
from keyring_pypitoken import Token
from keyring_pypitoken.derive import check_master, derive, is_same_token
from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import PYPI, TESTPYPI, Repository
from keyring_pypitoken.policy.model import DEFAULT, Grant, Origin, WithOrigin
from keyring_pypitoken.secret import DerivedToken, MasterToken
from keyring_pypitoken.tokens.macaroon import Macaroon, write_text

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_790_000_000  # 2026-09-21 14:13:20 UTC
AGAIN = "store a new one with `keyring-pypitoken login -r pypi`."
CREATE = "create an API token on pypi.org and store that."
ELSEWHERE = Repository("work", "https://pypi.work.example/legacy/", "work.example", ())


def a_grant(*projects: str, repository: Repository = PYPI, unscoped: bool = False) -> Grant:
    """Return what would be granted for projects: a window of 16 minutes around NOW."""
    return Grant(
        repository=repository,
        account=WithOrigin("default", DEFAULT),
        projects=None if unscoped else WithOrigin(projects or ("demo",), Origin("the arguments")),
        valid_for=WithOrigin(900, DEFAULT),
        clock_skew=WithOrigin(60, DEFAULT),
    )


def derived(text: str, grant: Grant | None = None, now: int = NOW) -> Token:
    """Return the token that is derived from a master's text."""
    token, _, _ = derive(MasterToken(text), grant or a_grant(), now=now)
    return Token.load(token.unwrap())


def refusal(text: str, step: Callable[[], object]) -> str:
    """Return why a step is refused, after a look at whether the refusal shows any of a secret text."""
    with pytest.raises(Refusal) as caught:
        step()
    assert type(caught.value) is Refusal
    # A traceback shows this one exception.
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    secret = text.strip().removeprefix("pypi-")
    shown = everything_about(caught.value)
    assert [secret[at : at + 12] for at in range(len(secret) - 11) if secret[at : at + 12] in shown] == []
    return str(caught.value)


def refused_derivation(text: str, grant: Grant | None = None, now: int = NOW) -> str:
    """Return why a master's text is not derived from."""
    master = MasterToken(text)
    return refusal(text, lambda: derive(master, grant or a_grant(), now=now))


def refused_master(text: str, repository: Repository = PYPI) -> str:
    """Return why a text is not taken for a master."""
    return refusal(text, lambda: check_master(MasterToken(text), repository))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    "caveats",
    [
        (),
        ('[1, ["demo", "other"]]',),
        ("[99]", '{"some": "day"}', "not JSON", b"\xff\xfe", b"\0", ""),
        ("[0, 1790000300, 0]", '[3, "u"]', '[2, ["an id"]]', '{"version": 1, "permissions": "user"}'),
    ],
    ids=["none", "names", "unreadable", "several"],
)
def test_appends_the_date_and_the_names(caveats: tuple[str | bytes, ...], version: int) -> None:
    text = mint(*caveats, version=version)
    master, token = Token.load(text), derived(text, a_grant("demo", "other"))

    assert token.raw_caveats == [*master.raw_caveats, b"[0, 1790000900, 1789999940]", b'[1, ["demo", "other"]]']
    assert (token.prefix, token.domain, token.identifier) == (master.prefix, master.domain, master.identifier)
    assert token.dump() == mint(*caveats, *token.raw_caveats[-2:], version=version)


@pytest.mark.parametrize("version", [1, 2])
def test_derives_what_pypitoken_derives(version: int) -> None:
    text = mint("[99]", '{"version": 1, "permissions": "user"}', version=version)
    theirs = pypitoken.Token.load(text)
    theirs.restrict(not_before=NOW - 60, not_after=NOW + 900, project_names=["a", "demo"])

    assert derived(text, a_grant("a", "demo")).dump() == theirs.dump()


def test_appends_the_date_alone_if_any_project_may_be_uploaded() -> None:
    text = mint('[1, ["other"]]')

    assert derived(text, a_grant(unscoped=True)).raw_caveats == [b'[1, ["other"]]', b"[0, 1790000900, 1789999940]"]


def test_derives_for_the_repository_that_the_master_is_for() -> None:
    token = derived(mint(domain="work.example"), a_grant(repository=ELSEWHERE))

    assert token.domain == "work.example"


@pytest.mark.parametrize(
    ("caveats", "not_after"),
    [
        ((), NOW + 900),
        (("[0, 1790000900, 0]",), NOW + 900),
        ((f"[0, {NOW + 901}, 0]",), NOW + 900),
        ((f"[0, {NOW + 899}, 0]",), NOW + 899),
        ((f"[0, {NOW + 1}, {NOW}]",), NOW + 1),
        ((f'{{"nbf": {NOW}, "exp": {NOW + 60}}}',), NOW + 60),
        ((f"[0, {NOW + 70}, 0]", f'{{"nbf": 0, "exp": {NOW + 60}}}', f"[0, {NOW + 80}, 0]"), NOW + 60),
        (("[99]", '[1, ["demo"]]', b"\xff"), NOW + 900),
    ],
)
def test_finds_when_the_token_will_end(caveats: tuple[str | bytes, ...], not_after: int) -> None:
    _, _, end = derive(MasterToken(mint(*caveats)), a_grant(), now=NOW)

    assert end == not_after


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the token is empty"),
        ("hunter2 is a password", "the token has no prefix: PyPI's tokens begin with 'pypi-'"),
        ("pypi-AgEI", "the token is cut short"),
        (f"{mint()}=", "the token is incomplete or was changed"),
        (mint()[:-10], "the token is cut short"),
        ("pypi-\udc80", "the token has characters that are not ASCII"),
    ],
    ids=ascii,
)
def test_refuses_a_master_that_cannot_be_read(text: str, reason: str) -> None:
    assert refused_derivation(text) == f"the stored master for pypi cannot be read ({reason}): {AGAIN}"


@pytest.mark.parametrize(
    ("domain", "shown"),
    [
        ("test.pypi.org", "'test.pypi.org'"),
        ("", "''"),
        ("PyPI.org", "'PyPI.org'"),
        ("evil\nline", "'evil\\nline'"),
        ("x" * 100, f"'{'x' * 100}'"),
        ("x" * 101, "a text of 101 characters"),
    ],
)
def test_refuses_a_master_of_another_repository(domain: str, shown: str) -> None:
    expected = f"the stored master for pypi is a token for {shown}, not for 'pypi.org': {AGAIN}"

    assert refused_derivation(mint(domain=domain)) == expected


@pytest.mark.parametrize("prefix", ["test", "Pypi"])
def test_refuses_a_master_of_another_prefix(prefix: str) -> None:
    expected = f"the stored master for pypi does not begin with 'pypi-': {AGAIN}"

    assert refused_derivation(mint().replace("pypi", prefix, 1)) == expected


@pytest.mark.parametrize("caveat", ["[0, {}, 0]", '{{"nbf": 0, "exp": {}}}'])
def test_refuses_a_master_that_expired(caveat: str) -> None:
    text = mint(caveat.format(NOW))

    assert refused_derivation(text) == f"the stored master for pypi expired on 2026-09-21 14:13:20 UTC: {AGAIN}"
    assert derived(text, now=NOW - 1).domain == "pypi.org"


@pytest.mark.parametrize("caveat", ["[0, 9999999999, {}]", '{{"nbf": {}, "exp": 9999999999}}'])
def test_refuses_a_master_that_is_not_valid_yet(caveat: str) -> None:
    text = mint(caveat.format(NOW))

    assert refused_derivation(text, now=NOW - 1) == (
        "the stored master for pypi works only from 2026-09-21 14:13:20 UTC on: wait, or correct this machine's clock."
    )
    assert derived(text, now=NOW).domain == "pypi.org"


@pytest.mark.parametrize(
    ("end", "shown"),
    [
        (0, "1970-01-01 00:00:00 UTC"),
        (-(10**12), "the Unix second -1000000000000"),
        (-(10**30), "the Unix second -1000000000000000000000000000000"),
    ],
)
def test_finds_moments_beyond_the_calendar(end: int, shown: str) -> None:
    assert (
        refused_derivation(mint(f"[0, {end}, {end - 1}]")) == f"the stored master for pypi expired on {shown}: {AGAIN}"
    )


@pytest.mark.parametrize(
    ("names", "projects", "allowed", "refused"),
    [
        (["other"], ["demo"], "'other'", "'demo'"),
        (["b", "a"], ["a", "c", "d"], "'a', 'b'", "'c', 'd'"),
        (["Demo"], ["demo"], "'Demo'", "'demo'"),
        ([], ["demo"], "no project", "'demo'"),
        (list("gfedcba"), ["demo"], "'a', 'b', 'c', 'd', 'e' and 2 more", "'demo'"),
        (list("edcba"), ["demo"], "'a', 'b', 'c', 'd', 'e'", "'demo'"),
        (["x" * 101, "\ud800"], ["demo"], "a text of 101 characters, '\\ud800'", "'demo'"),
        (["other"], [f"p{n}" for n in range(8)], "'other'", "'p0', 'p1', 'p2', 'p3', 'p4' and 3 more"),
    ],
)
@pytest.mark.parametrize("spelling", ["[1, {}]", '{{"version": 1, "permissions": {{"projects": {}}}}}'])
def test_refuses_a_master_of_other_projects(
    names: list[str], projects: list[str], allowed: str, refused: str, spelling: str
) -> None:
    assert refused_derivation(mint(spelling.format(json.dumps(names))), a_grant(*projects)) == (
        f"the stored master for pypi is restricted to {allowed} and cannot upload {refused}: "
        "store one that can, or store this one under another account."
    )


@pytest.mark.parametrize("caveat", ['[1, ["a", "demo"]]', '{"version": 1, "permissions": {"projects": ["demo"]}}'])
def test_derives_from_a_master_of_the_project(caveat: str) -> None:
    assert derived(mint(caveat)).raw_caveats[0] == caveat.encode()


append = Macaroon.append


def add(macaroon: Macaroon, *caveats: bytes) -> None:
    append(macaroon, *caveats)


OURS = (b"[0, 1790000900, 1789999940]", b'[1, ["demo"]]')


def lose_a_caveat(macaroon: Macaroon) -> None:
    add(macaroon, *OURS)
    del macaroon.caveats[0]


def change(macaroon: Macaroon, **to: str) -> None:
    add(macaroon, *OURS)
    for name, value in to.items():
        setattr(macaroon, name, value)


MISTAKES: dict[str, Callable[[Macaroon], object]] = {
    "nothing added": lambda token: token,
    "no names": lambda token: add(token, OURS[0]),
    "no date": lambda token: add(token, OURS[1]),
    "another order": lambda token: add(token, *reversed(OURS)),
    "a longer window": lambda token: add(token, b"[0, 1790000901, 1789999940]", OURS[1]),
    "an earlier window": lambda token: add(token, b"[0, 1790000900, 1789999939]", OURS[1]),
    "another name": lambda token: add(token, OURS[0], b'[1, ["demo", "other"]]'),
    "other bytes": lambda token: add(token, OURS[0], b'[1,["demo"]]'),
    "something more": lambda token: add(token, *OURS, b'{"version": 1, "permissions": "user"}'),
    "a caveat lost": lose_a_caveat,
    "another domain": lambda token: change(token, location="test.pypi.org"),
    "another identifier": lambda token: change(token, identifier="another"),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_refuses_what_was_not_meant(mistake: Callable[[Macaroon], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Macaroon, "append", lambda macaroon, *_: mistake(macaroon))

    assert refused_derivation(mint("[99]")) == (
        "internal error: the derived token does not match the grant; please report it."
    )


def test_lets_out_what_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Macaroon, "append", lambda macaroon, *_: add(macaroon, *OURS))

    assert derived(mint("[99]")).raw_caveats == [b"[99]", *OURS]


def test_another_prefix_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derive_module, "write_text", lambda _prefix, macaroon: write_text("other", macaroon))

    assert refused_derivation(mint("[99]")) == (
        "internal error: the derived token does not match the grant; please report it."
    )


def test_names_are_normalized_and_sorted() -> None:
    assert derived(mint(), a_grant("b", "A_a")).raw_caveats[1] == b'[1, ["a-a", "b"]]'


def test_hands_out_a_derived_token_that_shows_nothing() -> None:
    master = MasterToken(mint())
    token, _, _ = derive(master, a_grant(), now=NOW)

    assert type(token) is DerivedToken
    assert repr(token) == "DerivedToken(***)"
    assert master.reveal() == mint()


@pytest.mark.parametrize("around", ["{}", " {}", "{}\n", "\t{}\r\n"])
@pytest.mark.parametrize(
    "caveats",
    [
        (),
        ('[1, ["demo"]]',),
        ('{"version": 1, "permissions": "user"}', '[2, ["an id"]]', '[3, "u"]'),
        ("[99]", b"\xff"),
    ],
    ids=["none", "names", "several", "unreadable"],
)
def test_takes_a_master(around: str, caveats: tuple[str | bytes, ...]) -> None:
    text = mint(*caveats)
    master = check_master(MasterToken(around.format(text)), PYPI)

    assert type(master) is MasterToken
    assert master.reveal() == text


def test_takes_a_master_of_any_repository() -> None:
    text = mint(domain="work.example")

    assert check_master(MasterToken(text), ELSEWHERE).reveal() == text


NO_TOKEN = f"this is not a PyPI API token, and a password cannot be restricted: {CREATE}"
TEST_LOGIN = "store it with `keyring-pypitoken login -r testpypi`, or "
ELSE = ", but pypi needs one for pypi.org: "
EXPIRES = f"this token expires: it is a derived token, not a master: {CREATE}"
CUT = "the token is cut short or was changed: copy all of it."
LACKS = "the token lacks `pypi-` at its beginning: copy all of it."
NAMED = "`NAME=` is before the token: give only what follows it."
AROUND = "there is other text around the token: leave it out."
HIDDEN = "the token has a hidden character (U+{}) in it: copy it again, without that."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"no token given: {CREATE}"),
        (" \t\n\u00a0", f"no token given: {CREATE}"),
        *((text, NO_TOKEN) for text in ("hunter2 is a password", "a-password-with-dashes", "pypi")),
        *((text, NO_TOKEN) for text in ("pass\u00e9 is a password", "  pypi-is-my-password", "pypi-pass\u00e9")),
        (mint()[:-10], CUT),
        (mint()[:20], CUT),
        (mint()[:40] + mint()[50:], CUT),
        (f'"{mint()}"', "the token is in quotes: leave them out."),
        (f"\u201c{mint()}\u201d", "the token is in quotes: leave them out."),
        (f"TWINE_PASSWORD={mint()}", NAMED),
        (f"export UV_PUBLISH_TOKEN='{mint()}'", NAMED),
        (f"password = {mint()}", NAMED),
        (f"token: {mint()}", NAMED),
        (f"\u200b{mint()}", HIDDEN.format("200B")),
        (f"{mint()[:30]}\u200b{mint()[30:]}", HIDDEN.format("200B")),
        (f"{mint()}\x00", HIDDEN.format("0000")),
        (f"{mint()[:30]}\n{mint()[30:]}", "the token is broken into lines: copy it again, without that."),
        (f"{mint()[:30]} {mint()[30:]}", AROUND),
        (f"<{mint()}>", AROUND),
        (mint().replace("pypi-", "test-", 1), LACKS),
        (mint().removeprefix("pypi-"), LACKS),
        (mint().upper()[:5] + mint()[5:], LACKS),
        (mint(domain="test.pypi.org"), f"this token is for 'test.pypi.org'{ELSE}{TEST_LOGIN}{CREATE}"),
        (mint(domain="x" * 101), f"this token is for a text of 101 characters{ELSE}{CREATE}"),
        (mint("[0, 9999999999, 0]"), EXPIRES),
        (mint('{"nbf": 0, "exp": 9999999999}'), EXPIRES),
        (mint("[99]", "[0, 9, 0]", "[99]"), EXPIRES),
    ],
    ids=lambda value: ascii(value)[:40],
)  # fmt: skip
def test_refuses_what_is_not_a_master(text: str, message: str) -> None:
    assert refused_master(text) == message


def test_two_tokens_are_the_same_by_their_identifier() -> None:
    narrower = mint('[1, ["demo"]]')
    for one, other, same in ((mint(), narrower, True), (mint(), "x", False), ("x", "x", True)):
        assert is_same_token(MasterToken(one), MasterToken(other)) is same


def test_takes_grants_for_the_same_at_any_moment() -> None:
    grant = a_grant()
    later = grant._replace(policies=(Origin("a file"),), notice=False)

    assert later.key == grant.key
    assert hash(grant.key) == hash(later.key)


@pytest.mark.parametrize(
    "change",
    [
        {"repository": TESTPYPI},
        {"account": WithOrigin("work", DEFAULT)},
        {"projects": WithOrigin(("demo", "other"), DEFAULT)},
        {"projects": None},
        {"valid_for": WithOrigin(901, DEFAULT)},
        {"clock_skew": WithOrigin(61, DEFAULT)},
        {"start": WithOrigin(NOW - 60, DEFAULT)},
        {"end": WithOrigin(NOW + 60, DEFAULT)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_finds_grants_apart(change: dict[str, Any]) -> None:
    grant = a_grant()
    elsewhere = grant._replace(account=WithOrigin("default", Origin("policy.toml:3")))

    assert grant._replace(**change).key != grant.key
    assert elsewhere.key == grant.key


def test_a_grant_never_changes() -> None:
    value = a_grant()
    for name in value._fields:
        with pytest.raises(AttributeError):
            setattr(value, name, None)


def test_refuses_more_names_than_version_1_of_the_format_can_hold() -> None:
    names = [f"project-{number}" for number in range(6000)]
    with pytest.raises(Refusal) as refused:
        derive(MasterToken(mint(version=1)), a_grant(*names), now=NOW)
    assert str(refused.value) == (
        "the stored master for pypi cannot be restricted so: the restriction is longer than version 1 of the format "
        "can hold (64 KiB): name fewer projects."
    )
