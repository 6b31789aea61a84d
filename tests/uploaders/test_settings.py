"""Settings files that several uploaders share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from keyring_pypitoken.exceptions import PolicyError, Refusal
from keyring_pypitoken.uploaders.options import Parsed
from keyring_pypitoken.uploaders.settings import (
    DEFAULT,
    Pypirc,
    Setting,
    Source,
    Sources,
    Table,
    checked_url,
    home,
    read_ini,
    read_pypirc,
    read_table,
)


@pytest.fixture
def environ(home: Path) -> dict[str, str]:
    return {"HOME": str(home), "USERPROFILE": str(home)}


def test_an_ini_file_is_read_by_section_without_interpolation(work: Path) -> None:
    (work / "x.cfg").write_text("[DEFAULT]\na = 1\n[One]\nB: %(x)s %\n[two]\na = 2\n  more\n", encoding="utf-8")
    assert read_ini(work / "x.cfg", "x.cfg") == {"One": {"b": "%(x)s %", "a": "1"}, "two": {"a": "2\nmore"}}


def test_other_parsers_take_the_defaults_for_a_section_and_ignore_a_mark(work: Path) -> None:
    (work / "x.cfg").write_text("\ufeff[DEFAULT]\na = 1\n[One]\nb = 2\n", encoding="utf-8")
    assert read_ini(work / "x.cfg", "x.cfg", as_python=False) == {"DEFAULT": {"a": "1"}, "One": {"b": "2"}}


def test_many_sections_with_many_common_values_take_linear_time(work: Path) -> None:
    text = "[DEFAULT]\n" + "".join(f"a{at}=\n" for at in range(50_000)) + "".join(f"[{at}]\n" for at in range(50_000))
    (work / "x.cfg").write_text(text, encoding="utf-8")
    assert len(read_ini(work / "x.cfg", "x.cfg")) == 50_000  # a copy for each would need 100 GB


def test_a_lone_carriage_return_ends_a_line_as_for_every_reader_of_text(work: Path) -> None:
    (work / "x.cfg").write_bytes(b"[a]\rb = 1\r[c]\r\nd = 2\n")
    assert read_ini(work / "x.cfg", "x.cfg") == {"a": {"b": "1"}, "c": {"d": "2"}}


def test_an_absent_ini_file_has_no_sections(work: Path) -> None:
    assert read_ini(work / "missing", "missing") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a\n", "x\\x1b is not a valid INI file (MissingSectionHeaderError): correct it."),
        ("[a]\n[a]\n", "x\\x1b is not a valid INI file (DuplicateSectionError): correct it."),
        ("[a]\nb=1\nb=2\n", "x\\x1b is not a valid INI file (DuplicateOptionError): correct it."),
        ("[a]\nsecret\n", "x\\x1b is not a valid INI file (ParsingError): correct it."),
        ("[a]\nb =" + " " * 4100, "x\\x1b has a line of more than 4096 characters: shorten it."),
        ("\ufeff[a]\n", "x\\x1b begins with a byte order mark, at which uploaders stop: save it without one."),
        ("\udcff", "x\\x1b is not UTF-8 text: save it as UTF-8."),
    ],
)
def test_a_broken_ini_file_is_refused_without_its_content(work: Path, text: str, message: str) -> None:
    (work / "x").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(PolicyError) as refusal:
        read_ini(work / "x", "x\x1b")
    assert str(refusal.value) == message


def test_a_line_of_the_longest_length_is_read(work: Path) -> None:
    (work / "x").write_text("[a]\nb=" + "c" * 4094, encoding="utf-8")
    assert read_ini(work / "x", "x") == {"a": {"b": "c" * 4094}}


def test_an_unreadable_ini_file_is_refused(work: Path) -> None:
    (work / "x").mkdir()
    with pytest.raises(PolicyError) as refusal:
        read_ini(work / "x", "x")
    assert str(refusal.value) == "x is not a regular file: replace it with one."


def test_pypirc_is_in_the_home_directory_and_may_be_absent(home: Path, work: Path, environ: dict[str, str]) -> None:
    assert read_pypirc(environ, work).sections == {}
    (home / ".pypirc").write_text("[pypi]\nusername = me\n", encoding="utf-8")
    assert read_pypirc(environ, work).sections == {"pypi": {"username": "me"}}


@pytest.mark.parametrize("path", ["rc", "~/work/rc", "../work/rc", "{work}/rc"])
def test_an_option_names_another_pypirc(work: Path, environ: dict[str, str], path: str) -> None:
    (work / "rc").write_text("[x]\n", encoding="utf-8")
    assert read_pypirc(environ, work, path.format(work=work)).sections == {"x": {}}


def test_a_pypirc_that_an_option_names_must_exist(work: Path, environ: dict[str, str]) -> None:
    with pytest.raises(PolicyError) as refusal:
        read_pypirc(environ, work, "no\x1brc")
    assert str(refusal.value) == "'no\\x1brc' does not exist: correct the option that names it."


def test_the_home_directory_is_that_of_the_environment(work: Path) -> None:
    variable = "USERPROFILE" if os.name == "nt" else "HOME"
    assert home({variable: str(work)}) == work
    assert home({}) == Path.home()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.example/", True),
        ("HTTP://127.0.0.1:1", True),
        ("https:///legacy/", False),
        ("ftp://a.example/", False),
        ("a.example", False),
        ("", False),
        ("https://[a.example/", False),
        ("https://a.example:x/", False),
    ],
)
def test_a_url_of_the_web_names_a_host(url: str, *, expected: bool) -> None:
    if expected:
        assert checked_url(url, "rc") == url
        return
    with pytest.raises(Refusal) as refusal:
        checked_url(url, "rc")
    assert str(refusal.value) == "the repository URL of rc is not one of http or https: correct it."


def test_a_source_is_shown_without_control_characters() -> None:
    assert str(Source("file", "x\x1b.toml", "a.b")) == "a.b in x\\x1b.toml"
    assert [str(source) for source in (DEFAULT, Source("option", "--url"))] == ["default", "--url"]


def test_what_may_be_a_password_is_in_no_repr() -> None:
    assert repr(Setting("hunter2")) == "Setting(..., Source(kind='default', name='default', key='', in_checkout=False))"
    assert repr(Setting()).startswith("Setting(None, ")
    values = {"a": {"password": "hunter2"}}
    table = Table(values, "x.toml")
    assert "hunter2" not in repr((table, Pypirc("rc", values), Sources(Parsed(), {"A": "hunter2"}, (table,))))


def test_what_a_checkout_has_parsed_is_bounded_together(work: Path) -> None:
    """A long text in each directory above: uv's workspace is looked for in all of them."""
    for number in range(30):
        (work / f"{number}.toml").write_text(f"# {'x' * 100_000}\n")
    for number in (*range(20), *range(20)):  # the same file again costs no more
        read_table(work / f"{number}.toml", work)
    with pytest.raises(PolicyError, match=r"^20\.toml is too much to read, together with "):
        read_table(work / "20.toml", work)
