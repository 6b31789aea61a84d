"""`help()` is the library's manual: an example that works, and each public name described."""

from __future__ import annotations

import doctest
import inspect
import pydoc

import pytest

import keyring_pypitoken


def test_the_example_works() -> None:
    test = doctest.DocTestParser().get_doctest(keyring_pypitoken.__doc__ or "", {}, "help", None, None)
    assert doctest.DocTestRunner().run(test) == (0, 4)


def test_help_shows_every_public_name() -> None:
    shown = pydoc.plain(pydoc.render_doc(keyring_pypitoken))
    assert [name for name in keyring_pypitoken.__all__ if f"\n    class {name}(" not in shown] == []


@pytest.mark.parametrize("name", keyring_pypitoken.__all__)
def test_everything_public_is_described(name: str) -> None:
    """That is a class, its methods, and the fields of a value, for which the legacy ones refer to others."""
    public = getattr(keyring_pypitoken, name)
    members = inspect.getmembers(public, lambda member: inspect.isroutine(member) or isinstance(member, property))
    assert vars(public)["__doc__"]
    assert [name for name, member in members if name[0] != "_" and not inspect.getdoc(member)] == []
    if not name.startswith("Legacy"):
        assert [field for field in getattr(public, "_fields", ()) if field not in public.__doc__] == []
