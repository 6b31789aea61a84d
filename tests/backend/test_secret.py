"""Secrets never show their text by accident, and few lines of the package can ask for it."""

from __future__ import annotations

import copy
import io
import json
import logging
import pickle
import pprint
import traceback
from typing import TYPE_CHECKING

import pytest
from macaroons import mint

from keyring_pypitoken.secret import DerivedToken, MasterToken, Passphrase, find_locations

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = "pypi-AgEIcHlwaS5vcmcCAmlkAAAGIHNlY3JldA"
MASTER, DERIVED, PASSPHRASE = MasterToken(TEXT), DerivedToken(TEXT), Passphrase(TEXT)
Secret = MasterToken | DerivedToken | Passphrase
SECRETS = pytest.mark.parametrize("secret", [MASTER, DERIVED, PASSPHRASE], ids=["master", "derived", "passphrase"])

OWN_OPENER = {MasterToken: "reveal", DerivedToken: "unwrap", Passphrase: "reveal_to_age"}


@SECRETS
def test_opens_for_those_who_may(secret: Secret) -> None:
    assert getattr(secret, OWN_OPENER[type(secret)])() == TEXT


def test_lets_only_a_derived_token_out() -> None:
    assert not hasattr(MASTER, "unwrap")
    assert not hasattr(DERIVED, "reveal")
    assert not isinstance(MASTER, DerivedToken)
    assert not isinstance(DERIVED, MasterToken)


@SECRETS
@pytest.mark.parametrize(
    ("show", "expected"),
    [
        (repr, "{}"),
        (str, "{}"),
        (ascii, "{}"),
        (format, "{}"),
        (lambda secret: f"{secret}", "{}"),
        (lambda secret: f"{secret=}", "secret={}"),
        ("{0} {0!s} {0!r}".format, "{} {} {}"),
        (lambda secret: "%s %r %a" % ((secret,) * 3), "{} {} {}"),
        (lambda secret: str([secret]), "[{}]"),
        (lambda secret: str({"a": secret}), "{{'a': {}}}"),
        (pprint.pformat, "{}"),
        (lambda secret: str(ValueError(secret)), "{}"),
        (lambda secret: repr(ValueError(secret)), "ValueError({})"),
    ],
)
def test_shows_its_kind_only(secret: Secret, show: Callable[[object], str], expected: str) -> None:
    kind = f"{type(secret).__name__}(***)"

    assert show(secret) == expected.format(kind, kind, kind)


def test_follows_the_format_of_a_text() -> None:
    assert f"{MASTER:.^20}|{MASTER:.6}|{DERIVED:>18}" == "..MasterToken(***)..|Master| DerivedToken(***)"


@SECRETS
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_refuses_to_be_pickled(secret: Secret, protocol: int) -> None:
    for value in (secret, [secret], {"password": secret}):
        with pytest.raises(TypeError) as caught:
            pickle.dumps(value, protocol)

        assert str(caught.value) == f"a {type(secret).__name__} is never copied out of its process"


@SECRETS
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_refuses_to_be_copied(secret: Secret, duplicate: Callable[[object], object]) -> None:
    with pytest.raises(TypeError) as caught:
        duplicate(secret)

    assert str(caught.value) == f"a {type(secret).__name__} is never copied out of its process"


@SECRETS
def test_has_nothing_that_could_be_dumped(secret: Secret) -> None:
    with pytest.raises(TypeError):
        vars(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(TypeError):
        iter(secret)  # type: ignore[call-overload]  # that is the point
    with pytest.raises(AttributeError):
        secret.text = TEXT  # type: ignore[union-attr]  # that is the point
    assert secret not in (TEXT, type(secret)(TEXT))


@SECRETS
def test_has_no_public_attribute_that_shows_it(secret: Secret) -> None:
    public = {name: getattr(secret, name) for name in dir(secret) if not name.startswith("_")}

    assert [name for name, value in public.items() if TEXT in f"{value} {value!r}"] == []
    assert set(public) == {
        OWN_OPENER[type(secret)],
        *(("is_token", "equals", "is_in", "holds") if secret is MASTER else ()),
    }


def fail(*secrets: Secret) -> None:
    """Raise an exception that holds secrets, from a frame that holds them too."""
    by_name = {"secrets": secrets, "in a list": [*secrets]}
    raise ValueError(*secrets, by_name)


def test_does_not_show_in_a_traceback_with_locals() -> None:
    with pytest.raises(ValueError, match="MasterToken") as caught:
        fail(MASTER, DERIVED)
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())

    assert "secrets = (MasterToken(***), DerivedToken(***))" in shown
    assert TEXT not in shown


def test_does_not_show_in_a_log() -> None:
    log = io.StringIO()
    logger = logging.getLogger("test_secret")
    handler = logging.StreamHandler(log)
    logger.addHandler(handler)

    logger.warning("%s %r", MASTER, DERIVED)
    logger.warning(MASTER)
    try:
        fail(MASTER, DERIVED)
    except ValueError:
        logger.exception("failed with %s", {"secret": MASTER})
    logger.removeHandler(handler)

    assert log.getvalue().splitlines()[:3] == [
        "MasterToken(***) DerivedToken(***)",
        "MasterToken(***)",
        "failed with {'secret': MasterToken(***)}",
    ]
    assert TEXT not in log.getvalue()


@pytest.mark.parametrize("kind", [MasterToken, DerivedToken, Passphrase])
def test_gives_no_state_away(kind: type[Secret]) -> None:
    for method in ("__getstate__", "__reduce__"):
        with pytest.raises(TypeError) as refused:
            getattr(kind("pypi-secret"), method)()
        assert str(refused.value) == f"a {kind.__name__} is never copied out of its process"


LONG = "A" * 80


@pytest.mark.parametrize(
    ("text", "locations"),
    [
        (mint(), ["pypi.org"]),
        (mint(version=1), ["pypi.org"]),
        (mint().encode(), ["pypi.org"]),
        (mint(domain="pypi.example"), ["pypi.example"]),
        (" ".join(mint()), ["pypi.org"]),
        (mint()[5:], ["pypi.org"]),
        (f"pypi-AgE{LONG}", [None]),
        (f"pypi-MDA{LONG}", [None]),
        (f"pypi-AgE{LONG[:79]}", []),
        (mint()[:30] + " " * 60, []),
        ("pypi-reader-and-its-long-name-of-a-service-that-nobody-would-take-for-a-token", []),
        (f"pypi-{LONG}", []),
        (None, []),
    ],
)
def test_finds_what_is_a_token(text: object, locations: list[str | None]) -> None:
    assert find_locations(text) == locations
