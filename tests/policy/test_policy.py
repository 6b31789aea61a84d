"""Policy files say what DESIGN's table of keys says, and what is wrong in one is told at once, with its line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from policy_cases import (
    CASES,
    IDENTITY,
    KEY_ITSELF,
    LABEL,
    LAYERS,
    LENGTH,
    LINES,
    ODD_NAME,
    OWN_KEYS,
    OWN_LAYERS,
    PROJECT_CASES,
    PROJECT_KEYS,
    PYPROJECTS,
    TOP_KEYS,
    URL,
    WRONG,
)

from keyring_pypitoken.exceptions import PolicyError
from keyring_pypitoken.lookup import PYPI, TESTPYPI, Repository
from keyring_pypitoken.names import valid_label
from keyring_pypitoken.policy.model import PYPROJECT_TABLE, Origin, PolicyFile, Settings, StoreSettings, WithOrigin
from keyring_pypitoken.policy.parser import parse_policy
from keyring_pypitoken.policy.values import WrongValueError, parse_duration
from keyring_pypitoken.toml import load_toml, read_toml

if TYPE_CHECKING:
    from keyring_pypitoken.policy.model import Layer


def parsed(text: str, layer: Layer = "user") -> PolicyFile:
    """Parse a policy file that is as it should be."""
    policy = parse_policy(text, layer=layer, name="p.toml")
    assert policy is not None
    return policy


def refused(text: str, layer: Layer = "user", table: tuple[str, ...] = ()) -> str:
    """Return every problem of a policy file that cannot be followed, with its line."""
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, layer=layer, name="p.toml", table=table)
    assert caught.value.__cause__ is None
    found = [re.fullmatch(r"p\.toml:(\d+):\d+: (.*)", problem.split("\n")[0]) for problem in caught.value.problems]
    return "; ".join(f"{one[2]} (p.toml:{one[1]})" for one in found if one)


def sourced(value: Any, line: int = 2) -> WithOrigin[Any]:
    """Return a value as it is read from a line of the file."""
    return WithOrigin(value, Origin(f"p.toml:{line}"))


def sentence(*problems: str) -> str:
    """Return the whole message about some problems."""
    return "; ".join(problems)


# Keys


@pytest.mark.parametrize("layer", OWN_LAYERS)
@pytest.mark.parametrize(("key", "text", "value"), CASES)
def test_reads_every_key_of_the_user_and_the_site(layer: Layer, key: str, text: str, value: object) -> None:
    """A key's value is known with its line; the other keys stay silent."""
    expected: dict[str, Any] = {key.replace("-", "_"): sourced(value)}
    assert parsed(f"# ours\n{key} = {text}\n", layer).settings == Settings(**expected)


@pytest.mark.parametrize(("key", "text", "value"), PROJECT_CASES)
def test_reads_the_keys_that_a_project_may_set(key: str, text: str, value: object) -> None:
    """A project may say these, by the same words as its user."""
    expected: dict[str, Any] = {key.replace("-", "_"): sourced(value)}
    assert parsed(f"\n{key} = {text}\n", "project").settings == Settings(**expected)


@pytest.mark.parametrize(
    ("layer", "key", "text", "value"),
    [(layer, *case) for layer in LAYERS for case in (PROJECT_CASES if layer == "project" else CASES)],
)
def test_reads_the_same_keys_for_one_repository(layer: Layer, key: str, text: str, value: object) -> None:
    """What a top table may say, a repository's table may say too."""
    policy = parsed(f"[repository.testpypi]\n{key} = {text}\n", layer)
    expected: dict[str, Any] = {key.replace("-", "_"): sourced(value)}
    assert (policy.settings, policy.repositories) == (Settings(), {"testpypi": Settings(**expected)})


@pytest.mark.parametrize("key", [*OWN_KEYS, "store", "url", "domain", "services"])
@pytest.mark.parametrize(("header", "prefix"), [("", ""), ("[repository.pypi]", "repository.pypi.")])
def test_refuses_a_project_that_sets_a_key_of_its_user(key: str, header: str, prefix: str) -> None:
    """A repository's file is somebody else's file: it cannot loosen what its user says, whatever the value."""
    assert refused(f"{header}\n{key} = []\n", "project") == sentence(
        f"{prefix}{key} is for your own policy.toml only: a project cannot set it (p.toml:2)"
    )


@pytest.mark.parametrize(("key", "text", "problem"), WRONG)
def test_refuses_a_value_that_its_key_does_not_take(key: str, text: str, problem: str) -> None:
    """The message tells the key, what was got and expected, and the line."""
    assert refused(f"# ours\n\n{key} = {text}\n") == sentence(f"{key} {problem} (p.toml:3)")


@pytest.mark.parametrize(("key", "text", "problem"), WRONG)
def test_refuses_it_in_a_repository_too(key: str, text: str, problem: str) -> None:
    """The message tells the whole dotted key."""
    assert refused(f"[repository.testpypi]\n{key} = {text}") == sentence(
        f"repository.testpypi.{key} {problem} (p.toml:2)"
    )


@pytest.mark.parametrize(
    ("layer", "text", "problem"),
    [
        ("user", "\nvalid_for = 3", "unknown key 'valid_for'; did you mean 'valid-for'? (p.toml:2)"),
        ("project", "\nproject = 3", "unknown key 'project'; did you mean 'projects'? (p.toml:2)"),
        ("site", "\n[stores]", "unknown key 'stores'; did you mean 'store'? (p.toml:2)"),
        ("user", "zzz = 1", f"unknown key 'zzz'; known here are {TOP_KEYS}, repository, store (p.toml:1)"),
        # A project is told of nothing that it may not set.
        ("project", "zzz = 1", f"unknown key 'zzz'; known here are {PROJECT_KEYS}, repository (p.toml:1)"),
        (
            "project",
            "max-valid-fr = 1",
            "unknown key 'max-valid-fr'; did you mean 'valid-for'? (p.toml:1)",
        ),
        (
            "user",
            "[repository.pypi]\nservice = []",
            "unknown key 'service'; did you mean 'services'? (p.toml:2)",
        ),
        (
            "site",
            "[repository.pypi]\nzzz = []",
            f"unknown key 'zzz'; known here are {TOP_KEYS}, url, domain, services (p.toml:2)",
        ),
        (
            "project",
            "[repository.pypi]\nzzz = []",
            f"unknown key 'zzz'; known here are {PROJECT_KEYS} (p.toml:2)",
        ),
        (
            "user",
            "[store]\nback-end = 1",
            "unknown key 'back-end'; did you mean 'backend'? (p.toml:2)",
        ),
        ("site", "[store]\nx = 1", "unknown key 'x'; known here are backend, identity, command (p.toml:2)"),
        # What somebody else wrote reaches no terminal as it is, nor at any length.
        (
            "project",
            r'"valid-for\u001b" = 1',
            r"unknown key 'valid-for\x1b'; did you mean 'valid-for'? (p.toml:1)",
        ),
        (
            "project",
            f"[repository.pypi]\n{'z' * 1000} = 1",
            f"unknown key a text of 1000 characters; known here are {PROJECT_KEYS} (p.toml:2)",
        ),
    ],
)
def test_refuses_an_unknown_key_and_names_the_nearest_known(layer: Layer, text: str, problem: str) -> None:
    """A slip of the keyboard is no silent loss of a limit."""
    assert refused(text, layer) == sentence(problem)


def test_tells_every_problem_of_a_file_at_once() -> None:
    """Nobody has to repair a file step by step."""
    text = """\
projects = "demo"
valid-for = 0
valid_for = 1
[repository.pypi]
clock-skew = "1h"
url = "https://example.org/"
[repository."no name"]
notice = 1
url = "ftp://example.org/"
domain = 3
services = "x"
[repository]
corp = 1
[store]
backend = 1
kind = 2
"""
    assert refused(text) == sentence(
        """projects is 'demo', expected a list of project names such as ["demo"] (p.toml:1)""",
        "valid-for is 0, expected at least one second (p.toml:2)",
        "unknown key 'valid_for'; did you mean 'valid-for'? (p.toml:3)",
        """repository.pypi.clock-skew is '1h', expected at most "10m" (p.toml:5)""",
        "url of pypi is fixed: it cannot be set (p.toml:6)",
        f"'no name' is not a valid name, {LABEL} (p.toml:7)",
        "repository.'no name'.notice is 1, expected true or false (p.toml:8)",
        f"repository.'no name'.url is 'ftp://example.org/', {URL} (p.toml:9)",
        "repository.'no name'.domain is 3, expected a host name (p.toml:10)",
        """repository.'no name'.services is 'x', expected a list of names such as ["demo"] (p.toml:11)""",
        "repository.corp is 1, expected a table (p.toml:13)",
        'store.backend is 1, expected "module.Class" of a keyring backend, or "age" (p.toml:15)',
        "unknown key 'kind'; known here are backend, identity, command (p.toml:16)",
    )


def test_tells_every_problem_of_a_project_at_once() -> None:
    """The user's keys among them are one problem each."""
    text = 'unscoped = "allow"\nproject = []\n[store]\nbackend = 1\n[repository.x]\nurl = 1\naccount = 2\n'
    assert refused(text, "project") == sentence(
        "unscoped is for your own policy.toml only: a project cannot set it (p.toml:1)",
        "unknown key 'project'; did you mean 'projects'? (p.toml:2)",
        "store is for your own policy.toml only: a project cannot set it (p.toml:3)",
        "repository.x.url is for your own policy.toml only: a project cannot set it (p.toml:6)",
        f"repository.x.account is 2, {LABEL} (p.toml:7)",
    )


# Tables of repositories


@pytest.mark.parametrize("layer", OWN_LAYERS)
@pytest.mark.parametrize(
    ("keys", "repository"),
    [
        ('url = "https://example.org/up/"', Repository("corp", "https://example.org/up/", "example.org", ())),
        (
            'url = "https://Example.ORG:8443/up"',
            Repository("corp", "https://Example.ORG:8443/up", "example.org", ()),
        ),
        (
            'url = "https://example.org/"\ndomain = "tokens.example.org"\nservices = ["corp-index", "corp"]',
            Repository("corp", "https://example.org/", "tokens.example.org", ("corp-index", "corp")),
        ),
        ('url = "http://localhost:8080/"', Repository("corp", "http://localhost:8080/", "localhost", ())),
        ('url = "http://127.0.0.2/legacy/"', Repository("corp", "http://127.0.0.2/legacy/", "127.0.0.2", ())),
        ('url = "http://[::1]:1/"', Repository("corp", "http://[::1]:1/", "::1", ())),
    ],
)
def test_makes_further_repositories_known(layer: Layer, keys: str, repository: Repository) -> None:
    """The domain is the URL's host unless it is told."""
    policy = parsed(f"[repository.corp]\n{keys}\n", layer)
    assert (policy.endpoints, policy.repositories) == ((repository,), {"corp": Settings()})


@pytest.mark.parametrize("built_in", [PYPI, TESTPYPI])
def test_adds_services_to_a_built_in_repository(built_in: Repository) -> None:
    """PyPI's own names stay; what the user adds comes after them."""
    policy = parsed(f'[repository.{built_in.name}]\nservices = ["mine"]\n')
    assert policy.endpoints == (built_in._replace(services=(*built_in.services, "mine")),)


def test_a_project_makes_no_repository_known() -> None:
    """Its tables hold settings, for repositories that others made known."""
    policy = parsed('[repository.corp]\naccount = "work"\n', "project")
    assert (policy.endpoints, policy.repositories) == (
        (),
        {"corp": Settings(account=sourced("work"))},
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("repository = 3", "repository is 3, expected tables such as [repository.testpypi] (p.toml:1)"),
        (
            '[[repository]]\nname = "x"',
            "repository is a list, expected tables such as [repository.testpypi] (p.toml:1)",
        ),
        ("[repository]\npypi = true", "repository.pypi is true, expected a table (p.toml:2)"),
        ("[repository.pypi]\nurl = 3", "url of pypi is fixed: it cannot be set (p.toml:2)"),
        ("[repository.testpypi]\ndomain = 3", "domain of testpypi is fixed: it cannot be set (p.toml:2)"),
        ("\n[repository.corp]\n", "repository.corp has no url; add the address that it is uploaded to (p.toml:2)"),
        (
            '[repository.corp]\nurl = "https://example.org/"\ndomain = ""',
            "repository.corp.domain is '', expected a host name (p.toml:3)",
        ),
        (
            '[repository.corp]\nurl = "https://example.org/"\ndomain = false',
            "repository.corp.domain is false, expected a host name (p.toml:3)",
        ),
        (
            '[repository.pypi]\nservices = ["a", ""]',
            "repository.pypi.services holds '', expected names in quotes (p.toml:2)",
        ),
        ("[repository.pypi]\nservices = [1]", "repository.pypi.services holds 1, expected names in quotes (p.toml:2)"),
        (
            "[repository.pypi]\nservices = 1",
            'repository.pypi.services is 1, expected a list of names such as ["demo"] (p.toml:2)',
        ),
    ],
)
def test_refuses_repositories_that_are_none(text: str, problem: str) -> None:
    """Each sentence tells what a repository's table needs."""
    assert refused(text) == sentence(problem)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("3", "3"),
        ('""', "''"),
        ('"example.org"', "'example.org'"),
        ('"https:///legacy/"', "'https:///legacy/'"),
        ('"ftp://example.org/"', "'ftp://example.org/'"),
        ('"ftp://127.0.0.1/"', "'ftp://127.0.0.1/'"),
        ('"http://example.org/"', "'http://example.org/'"),
        ('"http://127.0.0.1.example.org/"', "'http://127.0.0.1.example.org/'"),
        ('"http://192.168.0.1/"', "'http://192.168.0.1/'"),
        ('"https://user@example.org/"', "'https://user@example.org/'"),
        ('"https://example.org/?x"', "'https://example.org/?x'"),
        ('"https://example.org/#x"', "'https://example.org/#x'"),
        ('"https://example.org:99999/"', "'https://example.org:99999/'"),
        ('"https://[::1/"', "'https://[::1/'"),
        ('" https://example.org/"', "' https://example.org/'"),
        ('"https://exam ple.org/"', "'https://exam ple.org/'"),
        (r'"https://example.org/\u001b[2J"', r"'https://example.org/\x1b[2J'"),
    ],
)
def test_refuses_a_url_that_no_token_may_be_sent_to(written: str, shown: str) -> None:
    """A token travels encrypted, or does not leave the machine."""
    assert refused(f"[repository.corp]\nurl = {written}\n") == sentence(
        f"repository.corp.url is {shown}, {URL} (p.toml:2)"
    )


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ('""', "''"),
        ('"a b"', "'a b'"),
        ('"\u00e4"', "'\u00e4'"),
        (f'"{"a" * 65}"', f"'{'a' * 65}'"),
        (f'"{"a" * 101}"', "a text of 101 characters"),
    ],
)
def test_refuses_a_repository_whose_name_is_none(layer: Layer, written: str, shown: str) -> None:
    """The name stands in messages and commands, so it is plain text, and not too long."""
    url = "" if layer == "project" else 'url = "https://example.org/"\n'
    assert refused(f"[repository.{written}]\n{url}", layer) == sentence(
        f"{shown} is not a valid name, {LABEL} (p.toml:1)"
    )


def test_a_name_of_64_characters_is_one() -> None:
    """The limit that the sentence tells is the limit that holds."""
    assert valid_label("a" * 64)
    assert not any(map(valid_label, ("-r", ".a", "_", "@work", "+1", "", "a" * 65)))


def test_the_most_specific_table_comes_first() -> None:
    """A repository's own table speaks before the top one, and for no other repository."""
    policy = parsed("clock-skew = 1\n[repository.testpypi]\nclock-skew = 2\n")
    own = policy.repositories["testpypi"]
    assert (policy.tables(TESTPYPI), policy.tables(PYPI)) == ((own, policy.settings), (policy.settings,))


# The table of the store


@pytest.mark.parametrize("layer", OWN_LAYERS)
@pytest.mark.parametrize("backend", ["keyring.backends.SecretService.Keyring", "a.B", "_m1.sub_2.C3"])
def test_reads_the_store_that_keeps_the_masters(layer: Layer, backend: str) -> None:
    """The backend is a class in a module."""
    policy = parsed(f'[store]\nbackend = "{backend}"\n', layer)
    assert policy.store == StoreSettings(sourced(backend))


@pytest.mark.parametrize("layer", OWN_LAYERS)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('backend = "age"', StoreSettings(sourced("age"))),
        ('identity = "~/key.txt"', StoreSettings(sourced("age"), sourced("~/key.txt"))),
        ('backend = "age"\nidentity = "a b"', StoreSettings(sourced("age"), sourced("a b", 3))),
        ('identity = "age-plugin-demo-1.txt"\nbackend = "a.B"', StoreSettings(sourced("a.B", 3), sourced(ODD_NAME))),
    ],
)
def test_reads_the_identity_of_the_age_file(layer: Layer, text: str, expected: StoreSettings) -> None:
    """An identity alone names the age file as the store; beside another backend it opens a file that is there."""
    assert parsed(f"[store]\n{text}\n", layer).store == expected


@pytest.mark.parametrize("text", ["", "[store]\n"])
def test_a_store_need_not_be_named(text: str) -> None:
    """Without a name the best one is chosen later."""
    assert parsed(text).store == StoreSettings()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("store = 3", "store is 3, expected a table [store] (p.toml:1)"),
        ('store = "x.Y"', "store is 'x.Y', expected a table [store] (p.toml:1)"),
        *(
            (
                f'[store]\nbackend = "{name}"',
                f"""store.backend is '{name}', expected "module.Class" of a keyring backend, or "age" (p.toml:2)""",
            )
            for name in ("", "Keyring", "a..B", ".a.B", "a.B.", "a.1", "a b.C", "a.B;import os")
        ),
        (
            "[store]\nbackend = []",
            'store.backend is a list, expected "module.Class" of a keyring backend, or "age" (p.toml:2)',
        ),
        *(
            (f"[store]\nidentity = {value}", f"store.identity is {shown}, {IDENTITY} (p.toml:2)")
            for value, shown in {
                "1": "1",
                "[]": "a list",
                "true": "true",
                '""': "''",
                '" "': "' '",
                '"a\\nb"': KEY_ITSELF,
                '"AGE-SECRET-KEY-1QQQQQQQQ"': KEY_ITSELF,
                '"x age-secret-key-1qqqqqqqq"': KEY_ITSELF,
                '"AGE-PLUGIN-YUBIKEY-1QQQQQQQQ"': KEY_ITSELF,
                '"-----BEGIN OPENSSH PRIVATE KEY-----"': KEY_ITSELF,
            }.items()
        ),
    ],
)
def test_refuses_a_store_that_is_none(text: str, problem: str) -> None:
    """What is imported is named as a class in a module, and as nothing else."""
    assert refused(text) == sentence(problem)


# The file


def test_an_empty_file_is_a_policy_that_says_nothing() -> None:
    """It is there, and silent."""
    assert parsed("", "project") == PolicyFile(
        layer="project",
        origin=Origin("p.toml"),
        settings=Settings(),
        repositories={},
        endpoints=(),
        store=StoreSettings(),
    )


@pytest.mark.parametrize(("text", "line"), PYPROJECTS.values(), ids=PYPROJECTS)
def test_finds_its_table_in_a_pyproject_however_it_is_written(text: str, line: int) -> None:
    """TOML has many spellings of one table; each is read, and its line is found."""
    policy = parse_policy(text, layer="project", name="p.toml", table=PYPROJECT_TABLE)
    assert policy is not None
    assert policy.settings.projects == sourced(frozenset({"demo"}), line)


@pytest.mark.parametrize("text", ["", "tool = 3", "[tool]", "[tool.other]\nprojects = 1", "keyring-pypitoken = 1"])
def test_a_pyproject_without_its_table_holds_no_policy(text: str) -> None:
    """Somebody else's file is no error."""
    assert parse_policy(text, layer="project", name="p.toml", table=PYPROJECT_TABLE) is None


def test_reads_the_tables_of_repositories_in_a_pyproject() -> None:
    """Their paths begin with the tool's."""
    text = '[tool.keyring-pypitoken.repository.testpypi]\naccount = "work"\n'
    policy = parse_policy(text, layer="project", name="p.toml", table=PYPROJECT_TABLE)
    assert policy is not None
    assert policy.repositories == {"testpypi": Settings(account=sourced("work"))}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[tool]\nkeyring-pypitoken = 3", "tool.keyring-pypitoken is 3, expected a table (p.toml:2)"),
        ("[[tool.keyring-pypitoken]]", "tool.keyring-pypitoken is a list, expected a table (p.toml:1)"),
        (
            "[tool.keyring-pypitoken]\nx = 1",
            f"unknown key 'x'; known here are {PROJECT_KEYS}, repository (p.toml:2)",
        ),
    ],
)
def test_refuses_a_table_of_a_pyproject_that_is_none(text: str, problem: str) -> None:
    """Whoever wrote the table wants it followed."""
    assert refused(text, "project", PYPROJECT_TABLE) == sentence(problem)


BROKEN = [
    ("a = [1", "p.toml:1:5: unclosed array\n 1 | a = [1\n   |     ^"),
    ("[a\n", "p.toml:1:3: expected ']' at the end of a table declaration\n 1 | [a\n   |   ^"),
    (
        "\nb = 15m",
        (
            "p.toml:2:7: expected newline or end of document after a statement; put text in quotes\n"
            " 2 | b = 15m\n   |       ^"
        ),
    ),
    ("account = work", "p.toml:1:11: invalid value; put text in quotes\n 1 | account = work\n   |           ^"),
    ("a = [1,\n", "p.toml:1:5: the value is not closed\n 1 | a = [1,\n   |     ^"),
    ("[a]\n[a]", "p.toml:2:2: 'a' is there twice, first in line 1\n 2 | [a]\n   |  ^"),
    ("a.b = 1\r\na.b = 2", "p.toml:2:1: 'a.b' is there twice, first in line 1\n 2 | a.b = 2\n   | ^"),
    ("[x]\na = 1\n[y]\na = 1\na = 2", "p.toml:5:1: 'y.a' is there twice, first in line 4\n 5 | a = 2\n   | ^"),
    ("a = '\0'", "p.toml:1:6: found invalid character '\\x00'\n 1 | a = '\\x00'\n   |      ^"),
    ("= 1", "p.toml:1:1: invalid statement\n 1 | = 1\n   | ^"),
    ("# x\n\n\n[[[", "p.toml:4:3: invalid initial character for a key part\n 4 | [[[\n   |   ^"),
]


@pytest.mark.parametrize(("text", "shown"), BROKEN)
def test_shows_where_toml_is_broken(text: str, shown: str) -> None:
    with pytest.raises(PolicyError) as caught:
        load_toml(text, "p.toml")
    assert caught.value.problems == (shown,)
    place, _, problem = shown.partition("\n")[0].partition(": ")
    assert str(caught.value) == f"{place} is not valid TOML: {problem}; correct it there."


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"valid-for = {'9' * 5000}", 1),
        (f"valid-for = 0x{'f' * 10_000}", 1),
        (f"{'a' * 1001} = 1", 1),
        (f"\nprojects = {'[' * 100_000}", 2),
        (f"projects = {'{a=' * 100_000}", 1),
        (f"{'a.' * 80_000}a = 1", 1),
        (f"[{'a.' * 80_000}a]", 1),
        ("\n".join(f"k{number} = 1" for number in range(10_001)), 10_001),
        (f"a = [{'1,' * 200_000}]", 1),
    ],
)
def test_refuses_what_no_parser_reads_in_time(text: str, line: int) -> None:
    with pytest.raises(PolicyError) as caught:
        load_toml(text, "p.toml")
    assert str(caught.value) == f"p.toml:{line} is nested too deeply or too long to be read: simplify it."


def test_reads_ten_thousand_projects_in_one_line() -> None:
    names = [f"project-{number}" for number in range(10_000)]
    policy = parsed(f"projects = {names}")
    assert policy.settings.projects == sourced(frozenset(names), 1)


# Carets


def problems(text: str, layer: Layer = "project") -> tuple[str, ...]:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, layer=layer, name="p.toml")
    return caught.value.problems


def test_shows_each_mistake_in_its_line() -> None:
    text = 'projects = ["demo"]\n  valid_for = "2h"\n[repository.pypi]\nnot-after = "2030-01-01"  # soon\n'
    assert problems(text) == (
        "p.toml:2:3: unknown key 'valid_for'; did you mean 'valid-for'?\n 2 |   valid_for = \"2h\"\n   |   ^",
        (
            "p.toml:4:13: repository.pypi.not-after is '2030-01-01', which is a text: write the date-time without "
            'quotes\n 4 | not-after = "2030-01-01"  # soon\n   |             ^'
        ),
    )


def test_one_sentence_holds_the_first_mistake_and_counts_the_others() -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy("a = 1\nb = 2\nc = 3", layer="project", name="p.toml")
    assert str(caught.value) == (
        f"the policy cannot be followed: p.toml:1:1: unknown key 'a'; known here are {PROJECT_KEYS}, repository; "
        "and 2 more: run `keyring-pypitoken check`."
    )
    with pytest.raises(PolicyError) as caught:
        parse_policy("\nnot-before = 3", layer="project", name="p.toml")
    assert str(caught.value) == (
        "the policy cannot be followed: p.toml:2:14: not-before is 3, expected a date-time with its offset such as "
        "2026-01-31T18:00:00Z; correct it there."
    )


@pytest.mark.parametrize(
    ("text", "layer", "problem"),
    [
        (
            "[tool.keyring-pypitoken]\nprojects = []",
            "project",
            "1:2: [tool.keyring-pypitoken] is for pyproject.toml: write its keys at the top here",
        ),
        (
            'projects = ["acme-*"]',
            "project",
            "1:12: projects holds the pattern 'acme-*', which only a policy.toml may: list the names",
        ),
        (
            '[repository.pypi]\nprojects = ["a", "acme-*"]',
            "project",
            "2:12: repository.pypi.projects holds the pattern 'acme-*', which only a policy.toml may: list the names",
        ),
        ("[repository.pipy]", "user", "1:2: repository.pipy has no url; did you mean [repository.pypi]?"),
        (
            "[store]\ncommand = ['op']\nbackend = 'a.B'",
            "user",
            "3:1: backend contradicts the command beside it: keep one of them",
        ),
    ],
)
def test_explains_what_is_in_the_wrong_place(text: str, layer: Layer, problem: str) -> None:
    (found,) = problems(text, layer)
    assert found.partition("\n")[0] == f"p.toml:{problem}"


def test_a_long_line_is_cut_around_the_caret() -> None:
    (found,) = problems(f"{' ' * 500}zzzz = {'1' * 500}")
    _, line, below = found.split("\n")
    assert line == f" 1 | {' ' * 50}zzzz = {'1' * 43}"
    assert below == f"   | {' ' * 50}^"


def test_control_characters_of_a_line_are_shown_escaped() -> None:
    (found,) = problems("x = 1 # \t\x7f\u202e".replace("\x7f", ""))
    assert found.split("\n")[1] == r" 1 | x = 1 # \t\u202e"


@pytest.mark.parametrize(
    "line", ["account = 'pypi-AgEIcHlwaS5vcmc x'", "identity = 'AGE-SECRET-KEY-1QQ'", "x = '-----BEGIN A PRIVATE KEY'"]
)
def test_a_line_that_may_hold_a_secret_is_not_shown(line: str) -> None:
    found = problems(line)
    assert not any("\n" in problem or "AgEI" in problem or "1QQ" in problem for problem in found)


# Patterns and commands

COMMAND = 'a program and its arguments such as ["pass", "show", "pypi"]'


@pytest.mark.parametrize("layer", OWN_LAYERS)
@pytest.mark.parametrize(
    ("written", "pattern"), [("acme-*", "acme-*"), ("Acme_.*", "acme-*"), ("a*", "a*"), ("a.B*", "a-b*")]
)
def test_reads_patterns_of_the_user_and_the_site(layer: Layer, written: str, pattern: str) -> None:
    assert parsed(f'projects = ["{written}", "b"]', layer).settings.projects == sourced(frozenset({pattern, "b"}), 1)


@pytest.mark.parametrize("layer", OWN_LAYERS)
def test_reads_the_program_that_prints_the_master(layer: Layer) -> None:
    policy = parsed('[store]\ncommand = ["pass", "show", "pypi/{account}"]', layer)
    assert policy.store == StoreSettings(command=sourced(("pass", "show", "pypi/{account}")))


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (
            '"pass show"',
            f"is 'pass show', expected a list of {COMMAND}",
        ),
        ("[]", f"is empty, expected {COMMAND}"),
        ('["pass", ""]', "holds '', expected a program and its arguments in quotes"),
        ('["pass", 3]', "holds 3, expected a program and its arguments in quotes"),
        (r'["a\u0000b"]', "holds a token or a NUL, expected a program that prints the master"),
        ('["echo", "pypi-AgEIcHlwaS5vcmc"]', "holds a token or a NUL, expected a program that prints the master"),
    ],
)
def test_refuses_a_command_that_cannot_be_run(written: str, problem: str) -> None:
    assert refused(f"[store]\ncommand = {written}") == sentence(f"store.command {problem} (p.toml:2)")


def test_keeps_the_spelling_of_a_length() -> None:
    valid_for = parsed('valid-for = "120m"').settings.valid_for
    assert valid_for is not None
    assert (valid_for.value, valid_for.spelling) == (7200, "120m")


def test_loads_toml() -> None:
    """What is TOML comes back as Python's values."""
    assert load_toml("a = [1, 'b']\n[c.d]\n", "p.toml") == {"a": [1, "b"], "c": {"d": {}}}


# Lines


@pytest.mark.parametrize(("text", "lines"), LINES.values(), ids=LINES)
def test_finds_the_place_of_every_key(text: str, lines: dict[tuple[str, ...], tuple[int, int, int]]) -> None:
    assert read_toml(text, "p.toml")[1] == lines


def test_names_the_first_line_if_a_key_is_written_with_escapes() -> None:
    assert refused('\n"valid\\u002dfor" = 0') == sentence("valid-for is 0, expected at least one second (p.toml:1)")


# Lengths of time


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("1h30m", 5400),
        ("2d", 172_800),
        (900, 900),
        ("1d2h3m4s", 93_784),
        ("0s", 0),
        (0, 0),
        ("007m", 420),
        ("3650d", 315_360_000),
        (315_360_000, 315_360_000),
    ],
)
def test_reads_a_length_of_time(value: object, seconds: int) -> None:
    """Days, hours, minutes and seconds in this order, or whole seconds."""
    assert parse_duration(value) == seconds


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", "''"),
        ("m", "'m'"),
        ("15", "'15'"),
        ("15 m", "'15 m'"),
        ("15m ", "'15m '"),
        ("15m\n", r"'15m\n'"),
        ("15M", "'15M'"),
        ("1h1d", "'1h1d'"),
        ("1m1m", "'1m1m'"),
        ("1.5h", "'1.5h'"),
        ("-1m", "'-1m'"),
        ("\u0661m", "'\u0661m'"),  # ARABIC-INDIC DIGIT ONE
        ("\uff11m", "'\uff11m'"),  # FULLWIDTH DIGIT ONE
        ("3651d", "'3651d'"),
        ("3650d1s", "'3650d1s'"),
        ("0000000001s", "'0000000001s'"),
        (f"{'9' * 101}s", "a text of 102 characters"),
        (-1, "-1"),
        (315_360_001, "315360001"),
        (10**13, "a number out of range"),
        (True, "true"),
        (False, "false"),
        (1.5, "1.5"),
        (900.0, "900.0"),
        (float("inf"), "a number out of range"),
        ([], "a list"),
        ({}, "a table"),
    ],
)
def test_refuses_what_is_no_length_of_time(value: object, shown: str) -> None:
    """Nothing is guessed: a length without a unit, or in another order, is refused."""
    with pytest.raises(WrongValueError) as caught:
        parse_duration(value)
    assert str(caught.value) == f"is {shown}, {LENGTH}"
