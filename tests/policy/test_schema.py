"""The schemas that editors and validate-pyproject read say what the parser says, and are what the package ships."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastjsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_cases import ANY_LAYER, CASES, CONFIGURED_KEYS, WRONG, refusal_of, toml_text, toml_value
from sandbox import ROOT

from keyring_pypitoken.lookup import PYPI
from keyring_pypitoken.policy.decision import decide
from keyring_pypitoken.policy.model import DEFAULT, PYPROJECT_TABLE, Evidence, Policies, SearchPath, WithOrigin
from keyring_pypitoken.policy.parser import parse_policy
from keyring_pypitoken.policy.schema import describe_keys, policy_schema, tool_schema
from keyring_pypitoken.policy.values import ENDPOINT_KEYS, KEYS, STORE_KEYS
from keyring_pypitoken.toml import load_toml

if TYPE_CHECKING:
    from sandbox import Run

    from keyring_pypitoken.policy.model import Layer

POLICY_FILES = ROOT / "examples" / "policies"
TOOL = PYPROJECT_TABLE[-1]
LAYERS: tuple[Layer, ...] = ("project", "user")
VALIDATORS = {layer: fastjsonschema.compile(policy_schema(layer), use_default=False) for layer in LAYERS}
search = settings(deadline=None, database=None, max_examples=150)


def fits(content: object, layer: Layer) -> bool:
    """Return True if a policy's content is what the schema describes."""
    try:
        VALIDATORS[layer](content)
    except fastjsonschema.JsonSchemaValueException:
        return False
    return True


# What they describe


def test_each_schema_has_a_name_of_its_own() -> None:
    assert tool_schema(TOOL) | {"$id": ""} == policy_schema("project") | {"$id": ""}
    assert [schema["$id"].rpartition("/")[2] for schema in (*map(policy_schema, LAYERS), tool_schema(TOOL))] == [
        "pypitoken.toml", "policy.toml", "tool.keyring-pypitoken",
    ]  # fmt: skip


def test_the_schemas_are_printed_for_editors(run: Run) -> None:
    for layer in LAYERS:
        assert json.loads(run("keyring_pypitoken.policy.schema", layer).stdout) == policy_schema(layer)


def test_describes_every_key_of_its_layer() -> None:
    """Those of a repository, too; what they take is compared with the parser below."""
    described = describe_keys()
    assert [list(described[table]) for table in ("keys", "endpoint", "store")] == [
        list(KEYS), list(ENDPOINT_KEYS), list(STORE_KEYS),
    ]  # fmt: skip
    assert {*policy_schema("project")["properties"]} == {*KEYS, "repository"} - {*CONFIGURED_KEYS}


def test_the_defaults_are_what_applies_without_a_policy() -> None:
    keys = describe_keys()["keys"]
    defaults = "".join(f"{name} = {toml_value(key['default'])}\n" for name, key in keys.items() if "default" in key)
    policy = parse_policy(defaults, layer="user", name="policy.toml")
    assert policy is not None
    evidence = Evidence(WithOrigin(("demo",), DEFAULT), Path())
    written, silent = (decide(PYPI, Policies(SearchPath(), (), p), evidence) for p in ((policy,), ()))
    assert (written.key, written.notice, written.history) == (silent.key, silent.notice, silent.history)


@pytest.mark.parametrize(("key", "text"), [(key, text) for key, text, _ in CASES])
def test_takes_what_the_parser_takes(key: str, text: str) -> None:
    """Every value of the parser's own tests, at the top and for a repository."""
    assert fits(load_toml(f"{key} = {text}", "p"), "user")
    assert fits(load_toml(f"[repository.pypi]\n{key} = {text}", "p"), "user")
    assert fits(load_toml(f"[repository.testpypi]\n{key} = {text}", "p"), "project") == (key not in CONFIGURED_KEYS)


# Values that the parser refuses and JSON Schema cannot.
BEYOND = {
    *((key, text) for key in ("not-before", "not-after") for text in ("2026-01-31", "18:30:00", "2026-01-31 18:00:00")),
    *((key, '"2026-01-31T18:00:00Z"') for key in ("not-before", "not-after")),
    ("clock-skew", '"10m1s"'),
    ("confirm", '["askpass"]'),
}


@pytest.mark.parametrize(("key", "text"), [(key, text) for key, text, _ in WRONG])
def test_refuses_what_the_parser_refuses(key: str, text: str) -> None:
    """Every wrong value of the parser's own tests, but for those that the module names."""
    content = load_toml(f"{key} = {text}", "p")
    assert fits(content, "user") == ((key, text) in BEYOND)


@pytest.mark.parametrize("file", sorted(POLICY_FILES.iterdir()), ids=lambda path: path.name)
def test_takes_the_sample_policies(file: Path) -> None:
    """Each as a policy of its layer, and a user's is none of a project."""
    content = load_toml(file.read_text(encoding="utf-8"), file.name)
    user = file.name == "policy.toml"
    assert fits(content, "user")
    assert fits(content, "project") != user


def test_takes_date_times_as_editors_pass_them_on() -> None:
    """A text with an offset, since JSON has no date-times."""
    for text in ("2026-01-31T18:00:00Z", "2026-01-31t18:00:00.25z", "2026-01-31 18:00+01:00"):
        assert fits({"not-before": text}, "project")
    for text in ("2026-01-31T18:00:00", "2026-01-31", "soon"):
        assert not fits({"not-before": text}, "project")


# Everything else: what hypothesis finds

GOOD_URLS = [
    "https://example.org/",
    "HTTPS://a.b:1",
    "https://a/b@c",
    "https://a/b:1/~c",
    "http://localhost/",
    "http://[::1]/",
]
LENGTHS = st.from_regex(r"\A(?:[0-9]{1,3}d)?(?:[0-9]{1,2}h)?(?:[0-9]{1,2}m)?(?:[0-9]{1,2}s)?\Z")
SKEWS = st.from_regex(r"\A(?:[0-9]m)?(?:[0-5]?[0-9]s)?\Z")
NUMBERS = st.integers(-2, 3) | st.integers(595, 605) | st.integers(315_359_998, 315_360_002)
BOOLS = st.booleans()
ZONES = st.integers(-1439, 1439).map(lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes)))
# Python writes no year below 1000 as TOML wants it, and the ends of its calendar have no Unix seconds.
MOMENTS = st.datetimes(datetime.datetime(1000, 1, 1), datetime.datetime(9999, 1, 1), timezones=ZONES)  # noqa: DTZ001 - hypothesis adds the zone
LABELS = st.from_regex(r"\A[a-zA-Z0-9._@+-]{1,64}\Z") | st.text(max_size=3)
PROJECT_NAMES = st.from_regex(r"\A[a-zA-Z0-9._-]{1,5}\*?\Z") | st.text(max_size=3)
TEXTS = st.text(max_size=3)
# For each key values that it may take, near misses, and what another key takes.
VALUES: dict[str, st.SearchStrategy[object]] = {
    "projects": st.lists(PROJECT_NAMES, max_size=3),
    "valid-for": LENGTHS | NUMBERS | st.just("auto"),
    "max-valid-for": LENGTHS | NUMBERS,
    "max-token-valid-for": LENGTHS | NUMBERS,
    "max-master-age": LENGTHS | NUMBERS,
    "confirm": BOOLS | st.lists(TEXTS.map("/".__add__), min_size=1, max_size=2) | st.just([]),
    "clock-skew": SKEWS | NUMBERS,
    "not-before": MOMENTS,
    "not-after": MOMENTS,
    "account": LABELS,
    "require-policy": BOOLS,
    "unscoped": st.sampled_from(["refuse", "allow", "Allow"]),
    "notice": BOOLS,
    "history": BOOLS,
    "url": st.sampled_from([*GOOD_URLS, "https://", "https://a/?b", "https://u@a/", "ftp://a/", "https://a b/", ""]),
    "domain": TEXTS,
    "services": st.lists(TEXTS, max_size=2),
    "backend": st.from_regex(r"\A[a-zA-Z0-9_.\u00e4]{1,6}\Z"),
    "command": st.lists(TEXTS, max_size=2),
}
# Strings and floats are left out: in the place of a date-time and of a whole number JSON cannot tell them.
STRANGE: st.SearchStrategy[object] = BOOLS | st.lists(BOOLS, max_size=1) | st.just({}) | st.just(0.5)


def table(names: list[str]) -> st.SearchStrategy[dict[str, object]]:
    """Write a table of some of the keys, and now and then of a wrong value or an unknown key."""
    pairs = [st.tuples(st.just(name), VALUES[name]) for name in names]
    wrong = st.tuples(st.sampled_from([*VALUES, "valid_for", "repository", "store"]), STRANGE)
    return st.lists(st.one_of(*pairs) | wrong, max_size=4).map(dict)


URLS = VALUES["url"].map(lambda url: {"url": url})
REPOSITORY = st.tuples(table(list(VALUES)), URLS | st.just({})).map(lambda pair: pair[0] | pair[1])
REPOSITORIES = st.dictionaries(st.sampled_from(["pypi", "testpypi", "corp"]) | LABELS, REPOSITORY | STRANGE, max_size=2)
DOCUMENTS = st.tuples(
    table(list(KEYS)),
    st.fixed_dictionaries({}, optional={"repository": REPOSITORIES, "store": table(["backend", "command"])}),
).map(lambda pair: pair[0] | pair[1])


@search
@given(DOCUMENTS, ANY_LAYER)
def test_agrees_with_the_parser(content: dict[str, Any], layer: Layer) -> None:
    """Whatever stands in a policy, as far as JSON Schema can tell it: followed by the one, taken by the other."""
    refusal = refusal_of(toml_text(content, ()), layer, ())
    assert fits(content, layer) == (refusal is None), refusal


@search
@given(st.one_of(*(st.tuples(st.just(name), VALUES[name]) for name in KEYS)), ANY_LAYER)
def test_agrees_with_the_parser_on_each_key(pair: tuple[str, object], layer: Layer) -> None:
    """The same for one key alone, so that most documents can be followed."""
    refusal = refusal_of(toml_text(dict([pair]), ()), layer, ())
    assert fits(dict([pair]), layer) == (refusal is None), refusal


@search
@given(st.from_regex(r"\A[hH]ttps?://[ -~\u00a0]{1,20}\Z"))
def test_never_refuses_a_url_that_the_parser_takes(url: str) -> None:
    """The schema knows less of URLs than the parser, and is never the stricter one."""
    content = {"repository": {"corp": {"url": url}}}
    assert fits(content, "user") or refusal_of(toml_text(content, ()), "user", ()) is not None


# validate-pyproject


def test_validate_pyproject_finds_it() -> None:
    """The entry point has the table's name, and leads to the function."""
    entry_points = importlib.metadata.entry_points(group="validate_pyproject.tool_schema", name=TOOL)
    assert [entry_point.load() for entry_point in entry_points] == [tool_schema]


HEAD = '[project]\nname = "demo"\nversion = "1"\n[tool.keyring-pypitoken]\n'


def test_validate_pyproject_takes_a_policy(run: Run, work: Path) -> None:
    """The program itself, with a table of every key that a project may set."""
    keys = {key: text for key, text, _ in reversed(CASES) if key not in CONFIGURED_KEYS}
    lines = [f"{key} = {text}" for key, text in keys.items()]
    lines += ["[tool.keyring-pypitoken.repository.testpypi]", *lines]
    (work / "pyproject.toml").write_text(HEAD + "\n".join(lines), encoding="utf-8")
    done = run("validate_pyproject", "pyproject.toml")
    assert (done.returncode, done.stdout) == (0, "Valid file: pyproject.toml\n"), done.stderr


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("valid_for = 3", "`tool.keyring-pypitoken` must not contain {'valid_for'} properties"),
        ('valid-for = "soon"', "`tool.keyring-pypitoken.valid-for` cannot be validated by any definition"),
        ("not-before = 3", "`tool.keyring-pypitoken.not-before` must NOT match"),
        ("notice = true", "`tool.keyring-pypitoken` must not contain {'notice'} properties"),
        ("repository.pypi.account = 1", "`tool.keyring-pypitoken.repository.pypi.account` must be string"),
    ],
)
def test_validate_pyproject_refuses_what_is_no_policy(line: str, problem: str, run: Run, work: Path) -> None:
    """Before the first upload is refused for it."""
    (work / "pyproject.toml").write_text(HEAD + line, encoding="utf-8")
    done = run("validate_pyproject", "pyproject.toml")
    assert done.returncode == 1
    assert problem in done.stdout + done.stderr
