"""Command lines, read as the uploaders' parsers read them."""

from __future__ import annotations

import argparse
import contextlib
import glob
import io
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.uploaders import options as options_module
from keyring_pypitoken.uploaders.options import Grammar, Parsed, expand

if TYPE_CHECKING:
    from pathlib import Path

VALUES = "-r/--repository --repository-url --sign-with -i/--identity"
FLAGS = "-s/--sign --skip-existing -v/--verbose"
LIKE_ARGPARSE = Grammar(VALUES, FLAGS, abbreviations=True)
LIKE_CLAP = Grammar(VALUES, FLAGS)


@pytest.mark.parametrize(
    ("line", "options", "positional"),
    [
        ("-r", [("--repository", None)], []),
        ("--repository", [("--repository", None)], []),
        ("--sign=x a", [("--sign", None)], ["a"]),
        ("-", [], ["-"]),
        ("--unknown x a", [], ["x", "a"]),
        ("--unknown=x a", [], ["a"]),
        ("--unknown -s a", [("--sign", None)], ["a"]),
        ("-q x a", [], ["x", "a"]),
        ("-sq x a", [("--sign", None)], ["x", "a"]),
        ("--repo x", [], ["x"]),
    ],
)
def test_what_argparse_refuses_is_read_as_far_as_possible(
    line: str, options: list[tuple[str, str | None]], positional: list[str]
) -> None:
    parsed = LIKE_CLAP.parse(line.split())
    assert (parsed.options, parsed.positional_args) == (tuple(options), tuple(positional))


def test_an_unknown_option_with_a_space_is_positional_only_for_argparse() -> None:
    assert LIKE_ARGPARSE.parse(["-x y"]).positional_args == ("-x y",)
    assert LIKE_CLAP.parse(["-x y"]).unknown == ("-x y",)
    assert LIKE_CLAP.parse(["-x y"]).positional_args == ()


def test_an_equals_sign_after_a_short_option_can_belong_to_the_value() -> None:
    assert Grammar("-r/--repository", "", equals=False).parse(["-r=x"]).options == (("--repository", "=x"),)


@pytest.mark.parametrize(
    ("line", "options", "positional", "rest"),
    [
        ("-r x upload -s a", [("--repository", "x")], ["upload"], ["-s", "a"]),
        ("upload", [], ["upload"], []),
        ("-s", [("--sign", None)], [], []),
        ("-- upload -s -- a", [], ["upload"], ["-s", "--", "a"]),
        ("-s --", [("--sign", None)], [], []),
    ],
)
def test_the_first_positional_argument_is_a_subcommand_if_asked(
    line: str, options: list[tuple[str, str | None]], positional: list[str], rest: list[str]
) -> None:
    assert LIKE_CLAP.parse(line.split(), stop=True) == Parsed(tuple(options), tuple(positional), tuple(rest))


def test_the_last_value_counts() -> None:
    parsed = LIKE_CLAP.parse(["-r", "x", "--repository=y", "-s", "-r"])
    assert parsed.last("--repository") is None
    assert LIKE_CLAP.parse(["-r", "x", "--repository=y"]).last("--repository") == "y"
    assert (parsed.has("--sign"), parsed.has("--verbose")) == (True, False)
    assert parsed.last("--identity") is None


def _argparse() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    for group in VALUES.split():
        parser.add_argument(*group.split("/"), action="append")
    for group in FLAGS.split():
        parser.add_argument(*group.split("/"), action="count", default=0)
    parser.add_argument("files", nargs="*")
    return parser


_VALUE = st.sampled_from(["x", "dist/a.whl", "a=b", "", "sv"])
_WORDS = st.one_of(
    st.lists(st.sampled_from(["-s", "-v", "-sv", "--sign", "--skip", "--verb", "--skip-existing", "--s"]), max_size=1),
    st.tuples(
        st.sampled_from(["-r", "-i", "-sr", "-vsi", "--repository", "--ident", "--repository-u", "--si"]), _VALUE
    ),
    st.tuples(st.builds("{}={}".format, st.sampled_from(["-r", "--repository", "--sign-w", "--id", "--rep"]), _VALUE)),
    st.tuples(st.builds("{}{}".format, st.sampled_from(["-r", "-si", "-svr"]), st.sampled_from(["x", "sv", "a b"]))),
)


@given(st.lists(_WORDS, max_size=6), st.lists(_VALUE, max_size=3), st.sampled_from(["first", "last", "after --"]))
def test_what_argparse_accepts_is_read_as_argparse_does(
    groups: list[tuple[str, ...]], files: list[str], place: str
) -> None:
    words = [word for group in groups for word in group]
    line = {"first": [*files, *words], "last": [*words, *files], "after --": [*words, "--", *files]}[place]
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            expected = vars(_argparse().parse_args(line))
    except SystemExit:
        reject()
    parsed = LIKE_ARGPARSE.parse(line)
    assert list(parsed.positional_args) == expected.pop("files")
    assert parsed.unknown == ()
    for name, value in expected.items():
        option = "--" + name.replace("_", "-")
        values = [text for key, text in parsed.options if key == option and text is not None]
        count = sum(key == option for key, _ in parsed.options)
        assert (values if isinstance(value, list) else count) == (value or 0)


@pytest.fixture
def tree(work: Path) -> Path:
    for name in ("a.whl", "b.whl", ".c.whl", "sub/d.whl", "sub/deep/e.whl", ".hidden/f.whl", "[x]/g.whl", "a"):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).touch()
    with contextlib.suppress(OSError):  # Windows lets only some users make links
        (work / "dangling.whl").symlink_to(work / "nowhere")
    return work


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "*.whl",
            ".*.whl",
            "?.whl",
            "[ab].whl",
            "[!a].whl",
            "*",
            "**",
            "**/*.whl",
            "*/*.whl",
            "*/deep/*",
            "sub/*/*.whl",
        ),
        *("a.whl", "missing*", "missing", "", "./*.whl", "sub//*.whl", "../work/*.whl", "*/../a.whl", "a.whl/*"),
        *("[x]/*.whl", "[[]x]/*", "dangling*", "dangling.whl", ".hidden/*", ".*/f.whl", "a/*"),
        *("A.whl", "SUB/*.whl", "Sub/D*", "sub\\*.whl"),  # another case is kept on Windows
    ],
)
def test_patterns_are_expanded_as_glob_does(tree: Path, pattern: str) -> None:
    if os.name == "nt" and pattern == "*/../a.whl":
        pytest.skip("`a.whl/..` is there on Windows, and glob lists directories only")
    expected = [os.path.normpath(tree / name) for name in glob.glob(pattern)]
    assert [os.path.normpath(path) for path in expand(tree, pattern)] == expected


def test_an_absolute_pattern_is_expanded_wherever_the_program_runs(tree: Path) -> None:
    assert expand(tree / "sub", f"{tree}/?.whl") == glob.glob(f"{tree}/?.whl")


def test_a_pattern_that_looks_at_too_many_files_is_refused(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options_module, "_MAX_LOOKED_AT", 100)
    with pytest.raises(Refusal) as refusal:
        expand(tree, "*/../*/../*/../*")
    assert str(refusal.value) == "the pattern '*/../*/../*/../*' looks at too many files: name them."
