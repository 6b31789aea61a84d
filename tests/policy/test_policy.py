"""Policy files: each key's value is read with its line, and all that is wrong in a file is named at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from policy_cases import CASES, CONFIGURED_KEYS, LABEL, LENGTH, PROJECT_CASES, WRONG

from keyring_pypitoken.exceptions import PolicyError
from keyring_pypitoken.lookup import BUILT_IN, PYPI, TESTPYPI, Repository
from keyring_pypitoken.policy.model import (
    PYPROJECT_TABLE,
    Config,
    Origin,
    PolicyFile,
    RepositorySettings,
    Settings,
    StoreSettings,
    WithOrigin,
)
from keyring_pypitoken.policy.parser import parse_policy
from keyring_pypitoken.policy.values import KEYS, WrongValueError, parse_duration
from keyring_pypitoken.toml import find_lines, load_toml

if TYPE_CHECKING:
    from keyring_pypitoken.policy.model import Layer

LAYERS: tuple[Layer, ...] = ("project", "user")
TOP_KEYS = (
    "projects, valid-for, max-valid-for, max-token-valid-for, clock-skew, not-before, not-after, account, "
    "max-master-age, require-policy, unscoped, confirm, notice, history"
)
PROJECT_KEYS = "projects, valid-for, clock-skew, not-before, not-after, account"
URL = "expected an https URL (http for a loopback address only), without user, query or fragment"
IDENTITY = "expected the path of an age identity file or an SSH private key"
KEY_ITSELF = "a key itself or not a path"
COMMAND = 'a program and its arguments such as ["pass", "show", "pypi"]'


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
    parts = [problem.removeprefix("p.toml:").partition(": ") for problem in caught.value.problems]
    return problems(*(f"{sentence} (p.toml:{line})" for line, _, sentence in parts))


def problems(*sentences: str) -> str:
    return "; ".join(sentences)


def sourced(value: Any, line: int = 2) -> WithOrigin[Any]:
    """Return a value as it is read from a line of the file."""
    return WithOrigin(value, Origin(f"p.toml:{line}"))


# Keys


def test_each_key_is_read_described_and_tried() -> None:
    """A new key needs a field, a description, a right and a wrong value, and a line in the sample policy."""
    from keyring_pypitoken.policy.schema import describe_keys

    names = list(KEYS)
    sample = "".join(
        path.read_text(encoding="utf-8") for path in (Path(__file__).parents[2] / "examples" / "policies").iterdir()
    )
    assert [name.replace("-", "_") for name in names] == list(Settings._fields)
    assert names == list(describe_keys()["keys"])
    assert names == list(dict.fromkeys(key for key, _, _ in CASES))
    assert set(names) == {key for key, _, _ in WRONG}
    assert [name for name in names if f"\n{name} = " not in sample] == []


@pytest.mark.parametrize(("key", "text", "value"), CASES)
def test_reads_every_key_with_its_line(key: str, text: str, value: object) -> None:
    said = {key.replace("-", "_"): sourced(value)}
    for layer in LAYERS if (key, text, value) in PROJECT_CASES else LAYERS[1:]:
        assert parsed(f"# ours\n{key} = {text}\n", layer).settings == Settings(**said)
        policy = parsed(f"[repository.testpypi]\n{key} = {text}\n", layer)
        table = RepositorySettings(origin=Origin("p.toml:1"), **said)
        assert (policy.settings, policy.repositories) == (Settings(), {"testpypi": table})


@pytest.mark.parametrize("key", [*CONFIGURED_KEYS, "store", "url", "domain", "services"])
def test_refuses_a_project_that_sets_a_key_of_its_user(key: str) -> None:
    for header, prefix in (("", ""), ("[repository.pypi]", "repository.pypi.")):
        assert refused(f"{header}\n{key} = []\n", "project") == (
            f"{prefix}{key} is for your own policy.toml only: a project cannot set it (p.toml:2)"
        )


@pytest.mark.parametrize(("key", "text", "problem"), WRONG)
def test_refuses_a_value_that_its_key_does_not_take(key: str, text: str, problem: str) -> None:
    assert refused(f"# ours\n\n{key} = {text}\n") == f"{key} {problem} (p.toml:3)"
    assert refused(f"[repository.testpypi]\n{key} = {text}") == f"repository.testpypi.{key} {problem} (p.toml:2)"


@pytest.mark.parametrize(
    ("layer", "text", "problem"),
    [
        ("user", "\nvalid_for = 3", "unknown key 'valid_for'; did you mean 'valid-for'? (p.toml:2)"),
        ("project", "\nproject = 3", "unknown key 'project'; did you mean 'projects'? (p.toml:2)"),
        ("user", "\n[stores]", "unknown key 'stores'; did you mean 'store'? (p.toml:2)"),
        ("user", "zzz = 1", f"unknown key 'zzz'; known here are {TOP_KEYS}, repository, store (p.toml:1)"),
        # A project is told of nothing that it may not set.
        ("project", "zzz = 1", f"unknown key 'zzz'; known here are {PROJECT_KEYS}, repository (p.toml:1)"),
        ("project", "max-valid-fr = 1", "unknown key 'max-valid-fr'; did you mean 'valid-for'? (p.toml:1)"),
        ("user", "[repository.pypi]\nservice = []", "unknown key 'service'; did you mean 'services'? (p.toml:2)"),
        (
            "user",
            "[repository.pypi]\nzzz = []",
            f"unknown key 'zzz'; known here are {TOP_KEYS}, url, domain, services (p.toml:2)",
        ),
        ("project", "[repository.pypi]\nzzz = []", f"unknown key 'zzz'; known here are {PROJECT_KEYS} (p.toml:2)"),
        ("user", "[store]\nback-end = 1", "unknown key 'back-end'; did you mean 'backend'? (p.toml:2)"),
        ("user", "[store]\nx = 1", "unknown key 'x'; known here are backend, identity, command (p.toml:2)"),
        # What somebody else wrote reaches no terminal as it is, nor at any length.
        ("project", r'"valid-for\u001b" = 1', r"unknown key 'valid-for\x1b'; did you mean 'valid-for'? (p.toml:1)"),
        (
            "project",
            f"[repository.pypi]\n{'z' * 1000} = 1",
            f"unknown key a text of 1000 characters; known here are {PROJECT_KEYS} (p.toml:2)",
        ),
    ],
)
def test_refuses_an_unknown_key_and_names_the_nearest_known(layer: Layer, text: str, problem: str) -> None:
    assert refused(text, layer) == problem


def test_names_every_problem_of_a_file_at_once() -> None:
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
    assert refused(text) == problems(
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


def test_names_every_problem_of_a_project_at_once() -> None:
    text = 'unscoped = "allow"\nproject = []\n[store]\nbackend = 1\n[repository.x]\nurl = 1\naccount = 2\n'
    assert refused(text, "project") == problems(
        "unscoped is for your own policy.toml only: a project cannot set it (p.toml:1)",
        "unknown key 'project'; did you mean 'projects'? (p.toml:2)",
        "store is for your own policy.toml only: a project cannot set it (p.toml:3)",
        "repository.x.url is for your own policy.toml only: a project cannot set it (p.toml:6)",
        f"repository.x.account is 2, {LABEL} (p.toml:7)",
    )


def test_one_sentence_holds_the_first_mistake_and_counts_the_others() -> None:
    for text, sentence in (
        ("a = 1\nb = 2", f"1: unknown key 'a'; known here are {PROJECT_KEYS}, repository; and 1 more: run `COMMAND`."),
        ("\nclock-skew = -1", f"2: clock-skew is -1, {LENGTH}; correct it there."),
    ):
        with pytest.raises(PolicyError) as caught:
            parse_policy(text, layer="project", name="p.toml")
        expected = sentence.replace("COMMAND", "keyring-pypitoken check")
        assert str(caught.value) == f"the policy cannot be followed: p.toml:{expected}"


def test_stops_at_a_hundred_mistakes() -> None:
    assert refused("\n".join(f"k{number} = 1" for number in range(50_000))).count("unknown key") == 100


# Tables of repositories


@pytest.mark.parametrize(
    ("keys", "repository"),
    [
        ('url = "https://Example.ORG:8443/up"', Repository("corp", "https://Example.ORG:8443/up", "example.org", ())),
        (
            'url = "https://example.org/"\ndomain = "tokens.example.org"\nservices = ["corp-index", "corp"]',
            Repository("corp", "https://example.org/", "tokens.example.org", ("corp-index", "corp")),
        ),
        ('url = "http://localhost:8080/"', Repository("corp", "http://localhost:8080/", "localhost", ())),
        ('url = "http://127.0.0.2/legacy/"', Repository("corp", "http://127.0.0.2/legacy/", "127.0.0.2", ())),
        ('url = "http://[::1]:1/"', Repository("corp", "http://[::1]:1/", "::1", ())),
    ],
)
def test_makes_further_repositories_known(keys: str, repository: Repository) -> None:
    """The domain is the URL's host unless it is named."""
    policy = parsed(f"[repository.corp]\n{keys}\n")
    assert Config((policy,)).repositories == (PYPI, TESTPYPI, repository)
    assert Config((parsed('[repository.testpypi]\nservices = ["mine"]\n'),)).repositories[1] == TESTPYPI._replace(
        services=(*TESTPYPI.services, "mine")
    )


def test_a_project_makes_no_repository_known() -> None:
    policy = parsed('[repository.corp]\naccount = "work"\n', "project")
    assert policy.repositories == {"corp": RepositorySettings(account=sourced("work"), origin=Origin("p.toml:1"))}
    assert Config((policy,)).repositories == BUILT_IN


CORP = '[repository.corp]\nurl = "https://corp.example/up/"\n'
MERGED = [  # the user's policy, the machine's, and then one and another address, domain, services of corp
    ("[repository.corp]\nprojects = ['a']", CORP + "services = ['idx']", "corp.example", ("idx",)),
    (CORP + "services = ['a']", "[repository.corp]\nservices = ['b']\ndomain = 'tokens'", "tokens", ("a", "b")),
    (CORP.replace("corp.ex", "CORP.ex"), CORP + "domain = 'site'", "site", ()),
    (CORP + "domain = 'user'", CORP + "domain = 'site'", "user", ()),
    ("[repository.corp]\nservices = ['a']", CORP, "corp.example", ("a",)),
]


@pytest.mark.parametrize(("user", "site", "domain", "services"), MERGED)
def test_tables_of_two_layers_about_one_repository_are_merged(
    user: str, site: str, domain: str, services: tuple[str, ...]
) -> None:
    config = Config((parsed(user), parsed(site)))
    (_, _, corp) = config.repositories
    assert (corp.url.lower(), corp.domain, corp.services) == ("https://corp.example/up/", domain, services)
    assert config.conflicts == ()


@pytest.mark.parametrize(
    ("user", "site", "conflict"),
    [
        ("\n[repository.pipy]", "", "u:2: repository.pipy has no url; did you mean [repository.pypi]?"),
        ("[repository.cor]", CORP, "u:1: repository.cor has no url; did you mean [repository.corp]?"),
        ("", "[repository.zzz]", "s:1: repository.zzz has no url; add the address that it is uploaded to"),
        (CORP.replace("up", "x"), CORP, "s:2: repository.corp has another url already; remove one of them"),
        *(
            (
                f'[repository.mine]\nurl = "{url}"',
                CORP,
                "s:1: repository.corp and repository.mine are both 'https://corp.example/up/'; keep one of them",
            )
            for url in ("https://corp.example/up", "HTTPS://CORP.example:443/UP/", "https://corp.example:0443/up/")
        ),
        (
            CORP + "services = ['idx']",
            "[repository.pypi]\nservices = ['IDX']",
            "u:1: repository.corp and repository.pypi are both 'idx'; keep one of them",
        ),
        (
            "[repository.pypi]\nservices = ['https://test.pypi.org/legacy']",
            "",
            "u:1: repository.testpypi and repository.pypi are both 'https://test.pypi.org/legacy/'; keep one of them",
        ),
    ],
)
def test_finds_what_two_policies_say_differently_about_repositories(user: str, site: str, conflict: str) -> None:
    """Two names for one address would let a nearer table escape the limits of the other."""
    policies = (parse_policy(text, layer="user", name=name) for text, name in ((user, "u"), (site, "s")))
    assert Config(tuple(policy for policy in policies if policy)).conflicts == (conflict,)


@pytest.mark.parametrize(
    "url",
    [
        "https://upload.pypi.org/legacy/",
        "https://UPLOAD.pypi.org:443/legacy",
        "https://upload.pypi.org/",
        "https://upload.pypi.org:8443/legacy/",
        "https://upload.pypi.org/other/",
    ],
)
def test_refuses_another_name_for_pypi(url: str) -> None:
    """By whatever spelling: its table would not have the limits of [repository.pypi]."""
    expected = "is at upload.pypi.org, which is pypi: write its keys in [repository.pypi]"
    assert refused(f'[repository.x]\nurl = "{url}"') == f"repository.x.url {expected} (p.toml:2)"
    assert refused(f'[repository.x]\nurl = "{url.lower().replace("upload", "test")}"').startswith(
        "repository.x.url is at test."
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
    assert refused(text) == problem


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
        ('"https://example.org./"', "'https://example.org./'"),
        ('"https://example.org//up/"', "'https://example.org//up/'"),
        ('"https://example.org/a/../up/"', "'https://example.org/a/../up/'"),
        ('"https://example.org/up/."', "'https://example.org/up/.'"),
        ('"https://example.org/%75p/"', "'https://example.org/%75p/'"),
        (r'"https://example.org\\@corp/"', r"'https://example.org\\@corp/'"),
        ('"https://ex\u00e4mple.org/"', "'https://ex\u00e4mple.org/'"),
    ],
)
def test_refuses_a_url_that_no_token_may_be_sent_to(written: str, shown: str) -> None:
    """A token is sent encrypted or to this machine, and each address has one spelling."""
    assert refused(f"[repository.corp]\nurl = {written}\n") == f"repository.corp.url is {shown}, {URL} (p.toml:2)"


@pytest.mark.parametrize("name", ["", "a b", "\u00e4", "-a", "a" * 65, "a" * 101])
def test_refuses_a_repository_whose_name_is_none(name: str) -> None:
    shown = "a text of 101 characters" if len(name) > 100 else repr(name)
    assert refused(f'[repository."{name}"]\n', "project") == f"{shown} is not a valid name, {LABEL} (p.toml:1)"
    assert set(parsed(f"[repository.{'a' * 64}]", "project").repositories) == {"a" * 64}


def test_the_most_specific_table_comes_first() -> None:
    policy = parsed("notice = true\n[repository.pypi]\nnotice = false\n")
    assert policy.tables(PYPI) == (policy.repositories["pypi"], policy.settings)
    assert policy.tables(TESTPYPI) == (policy.settings,)


# The store


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", StoreSettings()),
        (
            'backend = "keyring.backends.SecretService.Keyring"',
            StoreSettings(sourced("keyring.backends.SecretService.Keyring")),
        ),
        ('backend = "_m1.sub_2.C3"', StoreSettings(sourced("_m1.sub_2.C3"))),
        ('backend = "age"', StoreSettings(sourced("age"))),
        # An identity alone names the age file as the store; beside another backend it opens a file that is there.
        ('identity = "~/key.txt"', StoreSettings(sourced("age"), sourced("~/key.txt"))),
        (
            'identity = "age-plugin-demo-1.txt"\nbackend = "a.B"',
            StoreSettings(sourced("a.B", 3), sourced("age-plugin-demo-1.txt")),
        ),
        (
            'command = ["pass", "show", "pypi/{account}"]',
            StoreSettings(command=sourced(("pass", "show", "pypi/{account}"))),
        ),
    ],
)
def test_reads_what_keeps_the_masters(text: str, expected: StoreSettings) -> None:
    assert parsed(f"[store]\n{text}\n").store == expected


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
        (
            "[store]\ncommand = ['op']\nbackend = 'a.B'",
            "backend contradicts the command beside it: keep one of them (p.toml:3)",
        ),
    ],
)
def test_refuses_a_store_that_is_none(text: str, problem: str) -> None:
    assert refused(text) == problem


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ('"pass show"', f"is 'pass show', expected a list of {COMMAND}"),
        ("[]", f"is empty, expected {COMMAND}"),
        ('["pass", ""]', "holds '', expected a program and its arguments in quotes"),
        ('["pass", 3]', "holds 3, expected a program and its arguments in quotes"),
        (r'["a\u0000b"]', "holds a token or a NUL, expected a program that prints the master"),
        ('["echo", "pypi-AgEIcHlwaS5vcmc"]', "holds a token or a NUL, expected a program that prints the master"),
    ],
)
def test_refuses_a_command_that_cannot_be_run(written: str, problem: str) -> None:
    assert refused(f"[store]\ncommand = {written}") == f"store.command {problem} (p.toml:2)"


# The file


def test_an_empty_file_is_a_policy() -> None:
    assert parsed("", "project") == PolicyFile(Origin("p.toml"), Settings(), {}, StoreSettings())


PYPROJECTS = [  # a text, and the line of its projects as far as one scan finds it
    ('[tool.keyring-pypitoken]\nprojects = ["demo"]\n', 2),
    ('[tool . keyring-pypitoken] # ours\n\nprojects = ["demo"]\n', 3),
    ('["tool"."keyring-pypitoken"]\r\n"projects" = ["demo"]\r\n', 2),
    ("[tool.'keyring-pypitoken']\n'projects' = ['demo']\n", 2),
    ('[tool]\nkeyring-pypitoken.projects = ["demo"]\n', 2),
    ('tool.keyring-pypitoken.projects = ["demo"]\n', 1),
    ('[tool]\nkeyring-pypitoken = { projects = ["demo"] }\n', 2),
    ('\ntool = { keyring-pypitoken = { projects = ["demo"] } }\n', 2),
    ("[project]\nprojects = 1\n[tool.keyring-pypitoken]\nprojects = ['demo']\n", 4),
    ('\n[tool."keyring\\u002dpypitoken"]\nprojects = ["demo"]\n', 2),
]


@pytest.mark.parametrize(("text", "line"), PYPROJECTS)
def test_finds_its_table_in_a_pyproject_however_it_is_written(text: str, line: int) -> None:
    policy = parse_policy(text, layer="project", name="p.toml", table=PYPROJECT_TABLE)
    assert policy is not None
    assert policy.settings.projects == sourced(frozenset({"demo"}), line)


@pytest.mark.parametrize("text", ["", "tool = 3", "[tool]", "[tool.other]\nprojects = 1", "keyring-pypitoken = 1"])
def test_a_pyproject_without_its_table_has_no_policy(text: str) -> None:
    assert parse_policy(text, layer="project", name="p.toml", table=PYPROJECT_TABLE) is None


@pytest.mark.parametrize(
    ("text", "table", "problem"),
    [
        ("[tool]\nkeyring-pypitoken = 3", PYPROJECT_TABLE, "tool.keyring-pypitoken is 3, expected a table (p.toml:2)"),
        (
            "[[tool.keyring-pypitoken]]",
            PYPROJECT_TABLE,
            "tool.keyring-pypitoken is a list, expected a table (p.toml:1)",
        ),
        (
            "[tool.keyring-pypitoken.repository.pypi]\nx = 1",
            PYPROJECT_TABLE,
            f"unknown key 'x'; known here are {PROJECT_KEYS} (p.toml:2)",
        ),
        (
            "[tool.keyring-pypitoken]\nprojects = []",
            (),
            "[tool.keyring-pypitoken] is for pyproject.toml: write its keys at the top here (p.toml:1)",
        ),
        (
            '[repository.pypi]\nprojects = ["a", "acme-*"]',
            (),
            (
                "repository.pypi.projects holds the pattern 'acme-*', which only a policy.toml may: list the names "
                "(p.toml:2)"
            ),
        ),
    ],
)
def test_refuses_what_is_in_the_wrong_place(text: str, table: tuple[str, ...], problem: str) -> None:
    assert refused(text, "project", table) == problem


def test_reads_patterns_of_the_user_and_the_machine() -> None:
    for written, pattern in (("acme-*", "acme-*"), ("Acme_.*", "acme-*"), ("a*", "a*"), ("a.B*", "a-b*")):
        projects = parsed(f'projects = ["{written}", "b"]').settings.projects
        assert projects == sourced(frozenset({pattern, "b"}), 1)


# TOML


BROKEN = [
    ("a = [1", 1, "unclosed array"),
    ("[a\n", 1, "expected ']' at the end of a table declaration"),
    ("\nb = 15m", 2, "expected newline or end of document after a statement; put text in quotes"),
    ("account = work", 1, "invalid value; put text in quotes"),
    ("a = [1,\n", 1, "the value is not closed"),
    ("[a]\n[a]", 2, "'a' is there twice, first in line 1"),
    ("a.b = 1\r\na.b = 2", 2, "'a.b' is there twice, first in line 1"),
    ("[x]\na = 1\n[y]\na = 1\na = 2", 5, "'y.a' is there twice, first in line 4"),
    ("a = '\0'", 1, "found invalid character '\\x00'"),
    ("= 1", 1, "invalid statement"),
    ("# x\n\n\n[[[", 4, "invalid initial character for a key part"),
    ("a = {'pypi-AgEIcHlwaS5vcmc' = 1, 'pypi-AgEIcHlwaS5vcmc' = 2}", 1, "SECRET"),
    (f"a = {'9' * 5000}", 1, "a number is too long"),
]


@pytest.mark.parametrize(("text", "line", "problem"), BROKEN)
def test_names_the_line_in_which_toml_is_broken(text: str, line: int, problem: str) -> None:
    with pytest.raises(PolicyError) as caught:
        load_toml(text, "p.toml")
    if problem == "SECRET":
        assert "pypi-AgE" not in str(caught.value)
    else:
        assert caught.value.problems == (f"p.toml:{line}: {problem}",)
        assert str(caught.value) == f"p.toml:{line} is not valid TOML: {problem}; correct it there."


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (f"\nprojects = {'[' * 100_000}", ""),
        (f"projects = {'{a=' * 100_000}", ""),
        (f"{'a.' * 80_000}a = 1", ":1"),
        (f"\n[{'a.' * 80_000}a]", ":2"),
        ("x = {" + "'a' . " * 12 + "a = 1}", ":1"),
    ],
)
def test_refuses_what_is_nested_too_deeply(text: str, place: str) -> None:
    with pytest.raises(PolicyError) as caught:
        load_toml(text, "p.toml")
    assert str(caught.value) == f"p.toml{place} is nested too deeply: simplify it."


HOSTILE = {
    "parts": "\n".join(f"k{number}" + ".a" * 999 + " = 1" for number in range(500)),
    "parts below a header": "["
    + ".".join("a" * 12)
    + "]\n"
    + "\n".join(f"k{n}" + ".a" * 11 + "=1" for n in range(30_000)),
    "escaped quotes": '"' + '\\"' * 500_000,
    "quotes": "\"'" * 500_000,
    "spaces": " \t" * 500_000,
    "long quoted parts": ("'" + "x" * 60 + "'.") * 15_000,
    "keys": "\n".join(f"k{number} = 1" for number in range(80_000)),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_keeps_nobody_waiting(text: str, tmp_path: Path) -> None:
    """Without a bound, the first of them takes the parser a minute."""
    (tmp_path / "p.toml").write_text(text[: 1024 * 1024])
    code = (
        "import contextlib, pathlib\n"
        "from keyring_pypitoken import exceptions, toml\n"
        "text = pathlib.Path('p.toml').read_text()\n"
        "with contextlib.suppress(exceptions.PolicyError):\n"
        "    toml.load_toml(text, 'p.toml')\n"
        "    toml.find_lines(text)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=50)


def test_finds_the_first_line_of_each_key() -> None:
    text = "# a = 1\na . 'b.c' = 1\r\n[ x.\"y\" ]\nz = [\n 'q = 1',\n]\n[[x.y]]\n  z = 2\n\u2028\x85\nv = {w = 1}\n"
    assert find_lines(text) == {
        ("a",): 2, ("a", "b.c"): 2, ("x",): 3, ("x", "y"): 3, ("x", "y", "z"): 4, ("x", "y", "v"): 10,
    }  # fmt: skip


def test_reads_ten_thousand_projects_in_one_line() -> None:
    names = [f"project-{number}" for number in range(10_000)]
    assert parsed(f"projects = {names}").settings.projects == sourced(frozenset(names), 1)


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
