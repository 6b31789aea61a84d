"""What is granted: the most specific preference, within the strictest limit, and where every part comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from policy_cases import CASES

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import BUILT_IN, PYPI, TESTPYPI
from keyring_pypitoken.policy.decision import check_repository_names, decide, find_contradictions, least_of
from keyring_pypitoken.policy.model import DEFAULT, Evidence, Grant, NamedFile, Origin, Policies, SearchPath, WithOrigin
from keyring_pypitoken.policy.parser import parse_policy
from keyring_pypitoken.policy.values import KEYS

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyring_pypitoken.lookup import Repository
    from keyring_pypitoken.policy.model import PolicyFile

PLACES = ("project", "user", "site")
OUTSIDE = "upload it from its own repository, or add it there (it was named by the arguments)."
NOW = 1_769_882_400  # 2026-01-31T18:00:00Z
FILES = Origin("the arguments")
AUTO = Origin("auto: files not known")
UNKNOWN = (
    "the project of this upload is unknown: name the distribution files, run it in the project's directory, or run "
    "`export KEYRING_PYPITOKEN_PROJECT=NAME`."
)


def read(text: str | None, place: str) -> PolicyFile | None:
    """Parse the policy of the user or of a site; None stands for no file."""
    return None if text is None else parse_policy(text, layer="user", name=f"{place}.toml")


def path(*projects: str | None, trusted: bool = True) -> SearchPath:
    """Return a search path with these policies, nearest first."""
    files = []
    for number, text in enumerate(projects):
        policy = None if text is None else parse_policy(text, layer="project", name=f"{'../' * number}project.toml")
        files += [] if policy is None else [policy._replace(trusted=trusted)]
    return SearchPath(tuple(files))


def layers(project: str | None = None, user: str | None = None, site: str | None = None) -> Policies:
    """Return the policies in force, each by its text."""
    return Policies(path(project), (), configured(read(user, "user"), read(site, "site")))


def configured(*policies: PolicyFile | None) -> tuple[PolicyFile, ...]:
    return tuple(policy for policy in policies if policy is not None)


def shown(projects: WithOrigin[tuple[str, ...]] | None, *sizes: int) -> Evidence:
    """Return evidence of projects, and of files if their sizes are given."""
    files = tuple(NamedFile(Path(str(number)), "demo", size) for number, size in enumerate(sizes))
    return Evidence(projects, Path(), files or None)


def named(*projects: str) -> WithOrigin[tuple[str, ...]]:
    """Return evidence of projects."""
    return WithOrigin(projects, FILES)


def grant(
    project: str | None = None,
    user: str | None = None,
    site: str | None = None,
    *,
    evidence: WithOrigin[tuple[str, ...]] | None = named("demo"),  # noqa: B008 - it is frozen
    repository: Repository = PYPI,
    shorter: int | None = None,
) -> Grant:
    """Decide about an upload of the project demo to PyPI, unless another is named."""
    length = None if shorter is None else WithOrigin(shorter, Origin("VALID_FOR"))
    return decide(repository, layers(project, user, site), shown(evidence), shorter=length)


def refusal(
    project: str | None = None,
    user: str | None = None,
    site: str | None = None,
    *,
    evidence: WithOrigin[tuple[str, ...]] | None = named("demo"),  # noqa: B008 - it is frozen
    now: int = NOW,
    shorter: int | None = None,
) -> str:
    """Return why an upload is refused."""
    with pytest.raises(Refusal) as caught:
        grant(project, user, site, evidence=evidence, shorter=shorter).window(now)
    return str(caught.value)


def test_grants_the_defaults_without_any_policy() -> None:
    assert grant() == Grant(
        repository=PYPI,
        account=WithOrigin("default", DEFAULT),
        projects=named("demo"),
        valid_for=WithOrigin(900, AUTO),
        clock_skew=WithOrigin(60, DEFAULT),
        notice=True,
        history=True,
    )


def test_names_the_project_policies_that_were_followed() -> None:
    """The notice names them; a user's policy alone is none of a project."""
    assert (grant("").policies, grant(None, "", "").policies) == (("project.toml",), ())


def outcomes(user: str) -> list[object]:
    """Return what a user's policy grants or refuses in a few situations."""
    typed = WithOrigin(5000, Origin("--valid-for"))
    answers: list[object] = []
    for evidence, length in ((named("demo"), None), (None, None), (named("demo"), typed)):
        try:
            answers.append(decide(PYPI, layers(None, user), shown(evidence), typed_valid_for=length))
        except Refusal as refusal:
            answers.append(str(refusal))
    return answers


@pytest.mark.parametrize("key", KEYS)
def test_every_key_has_an_effect(key: str) -> None:
    """A new key that no decision reads would be a promise that nobody keeps."""
    assert any(outcomes(f"{key} = {text}") != outcomes("") for name, text, _ in CASES if name == key)


# Preferences

# Each layer's table for PyPI and then its top table, the project's before the user's before the site's.
LADDER = [(layer, table, f"{layer}.toml:{4 if table else 1}") for layer in PLACES for table in (True, False)]
# Each preference, what those six say, and what holds if none of them does.
PREFERENCES: list[tuple[str, list[object]]] = [
    ("valid-for", [100, 200, 300, 400, 500, 600, 900]),
    ("clock-skew", [1, 2, 3, 4, 5, 6, 60]),
    ("account", ["a", "b", "c", "d", "e", "f", "default"]),
]


@pytest.mark.parametrize(("key", "values"), PREFERENCES)
def test_the_most_specific_preference_wins(key: str, values: list[object]) -> None:
    """A repository's table comes before the top one, a project before its user, and the user before the site."""
    origins = [*(Origin(origin) for _, _, origin in LADDER), AUTO if key == "valid-for" else DEFAULT]
    for silent in range(7):
        files: dict[str, list[str]] = {}
        for (layer, for_repository, _), value in list(zip(LADDER, values, strict=False))[silent:]:
            lines = files.setdefault(layer, ["", "", "[repository.pypi]", ""])
            lines[3 if for_repository else 0] = f"{key} = {json.dumps(value)}"
        decided = grant(*("\n".join(files[layer]) if layer in files else None for layer in PLACES))
        assert getattr(decided, key.replace("-", "_")) == WithOrigin(values[silent], origins[silent])
    text = "valid-for = 100\n[repository.testpypi]\nvalid-for = 200\n"
    assert (grant(text).valid_for.value, grant(text, repository=TESTPYPI).valid_for.value) == (100, 200)


@pytest.mark.parametrize("key", ["notice", "history"])
def test_the_user_decides_over_the_site_about_the_notice_and_the_history(key: str) -> None:
    for user, site, expected in (
        (None, None, True),
        ("KEY = false", None, False),
        ("KEY = false", "KEY = true", False),
        ("KEY = true", "KEY = false", True),
        (None, "KEY = false", False),
        ("KEY = true\n[repository.pypi]\nKEY = false", None, False),
    ):
        decided = grant(None, user and user.replace("KEY", key), site and site.replace("KEY", key))
        values = {"notice": decided.notice, "history": decided.history}
        assert values == {"notice": True, "history": True, key: expected}


@pytest.mark.parametrize(
    ("user", "site", "expected"),
    [
        (None, None, None),
        ("confirm = false", "confirm = false", None),
        ("confirm = true", None, (True, "user.toml:1")),
        ("confirm = true", "confirm = false", (True, "user.toml:1")),
        # What the machine's policy asks for, no user's loosens: neither by a no, nor by a program that always says yes.
        ("confirm = false", "confirm = true", (True, "site.toml:1")),
        ('confirm = ["/bin/true"]', 'confirm = ["/bin/ask", "-x"]', (("/bin/ask", "-x"), "site.toml:1")),
        ('confirm = ["/bin/true"]', "confirm = true", (True, "site.toml:1")),
        ("confirm = false", "[repository.pypi]\nconfirm = true", (True, "site.toml:2")),
        # In one file, the table of the repository counts.
        ("confirm = true\n[repository.pypi]\nconfirm = false", None, None),
        ('confirm = true\n[repository.pypi]\nconfirm = ["/bin/ask"]', None, (("/bin/ask",), "user.toml:3")),
        ("[repository.testpypi]\nconfirm = true", None, None),
    ],
)
def test_a_yes_is_asked_for_if_a_policy_wants_it(user: str | None, site: str | None, expected: object) -> None:
    confirm = grant(None, user, site).confirm
    assert (confirm and (confirm.value, confirm.origin)) == expected


def test_the_lookups_account_comes_first() -> None:
    account = WithOrigin("mine", Origin("the lookup"))
    assert decide(PYPI, layers('account = "work"'), shown(named("demo")), account=account).account == account


# The length of the window and its ceiling


@pytest.mark.parametrize(
    ("user", "site", "ceiling"),
    [
        ('max-valid-for = "30m"', None, "30 minutes (user.toml:1)"),
        ('max-valid-for = "2h"', 'max-valid-for = "30m"', "30 minutes (site.toml:1)"),
        ('max-valid-for = "30m"', 'max-valid-for = "2h"', "30 minutes (user.toml:1)"),
        ('max-valid-for = "2h"\n[repository.pypi]\nmax-valid-for = 60', None, "1 minute (user.toml:3)"),
        ('max-valid-for = 60\n[repository.pypi]\nmax-valid-for = "2h"', None, "1 minute (user.toml:1)"),
        (None, None, "1 hour (its default)"),
    ],
)
def test_refuses_a_length_above_the_strictest_ceiling(user: str | None, site: str | None, ceiling: str) -> None:
    """It is not cut: both places are named, since only a person can decide which of them is meant."""
    assert refusal("\nvalid-for = 3660", user, site) == (
        f"valid-for is 1 hour 1 minute (project.toml:2), above max-valid-for, which is {ceiling}: "
        "shorten valid-for, or raise max-valid-for in your own policy.toml."
    )


def test_grants_a_length_up_to_the_ceiling() -> None:
    for project, user, seconds in (
        ("valid-for = 3600", None, 3600),
        ("valid-for = 60", "max-valid-for = 60", 60),
        ('valid-for = "1d"', 'max-valid-for = "2d"', 86_400),
    ):
        assert grant(project, user).valid_for == WithOrigin(seconds, Origin("project.toml:1"))
    assert grant('valid-for = "30m"\nclock-skew = "2m"').window(NOW) == (NOW - 120, NOW + 1800)


def test_a_lower_ceiling_cuts_the_default() -> None:
    """It is no preference of a person, so that nothing is refused."""
    for ceiling in (60, 899, 900, 901):
        decided = grant(None, f"max-valid-for = {ceiling}")
        cut = Origin("auto: files not known; cut to max-valid-for (user.toml:1)")
        assert decided.valid_for == (WithOrigin(ceiling, cut) if ceiling < 900 else WithOrigin(900, AUTO))
        assert decided.window(NOW)[1] == NOW + min(ceiling, 900)


def test_the_environment_may_only_shorten_the_window() -> None:
    for seconds in (1, 899, 900):
        assert grant(shorter=seconds).valid_for == WithOrigin(seconds, Origin("VALID_FOR"))
    for project, user, length in (
        (None, None, "15 minutes (auto: files not known)"),
        ("valid-for = 300", None, "5 minutes (project.toml:1)"),
        (None, "max-valid-for = 60", "1 minute (auto: files not known; cut to max-valid-for (user.toml:1))"),
    ):
        assert refusal(project, user, shorter=901) == (
            f"VALID_FOR asks for 15 minutes 1 second, and it may only shorten valid-for, which is {length}: "
            "set it to less, or run `unset VALID_FOR`."
        )


# The absolute window

START, END = "not-before = 2026-01-31T18:00:00Z", "not-after = 2026-01-31T18:00:00Z"


@pytest.mark.parametrize(
    ("policy", "now", "window"),
    [
        # not-before cuts the clock skew, and not-after the length.
        (START, NOW, (NOW, NOW + 900)),
        (START, NOW + 60, (NOW, NOW + 960)),
        (START, NOW + 61, (NOW + 1, NOW + 961)),
        (END, NOW - 900, (NOW - 960, NOW)),
        (END, NOW - 899, (NOW - 959, NOW)),
        (END, NOW - 1, (NOW - 61, NOW)),
        (f"{START}\nnot-after = 2026-01-31T18:00:01Z", NOW, (NOW, NOW + 1)),
    ],
)
def test_cuts_the_window_to_the_absolute_bounds(policy: str, now: int, window: tuple[int, int]) -> None:
    """not-before itself is inside, not-after itself is not."""
    assert grant(policy).window(now) == window


def test_refuses_outside_the_absolute_window() -> None:
    """The clock skew does not open it earlier."""
    for policy in (START, "not-before = 2026-01-31T19:00:00+01:00\nnot-after = 2027-01-01T00:00:00Z"):
        assert refusal(policy, now=NOW - 1) == (
            "not-before allows uploads only from 2026-01-31 18:00:00 UTC on (project.toml:1): wait, or change it there."
        )
    for now in (NOW, NOW + 10_000):
        assert refusal(END, now=now) == (
            "not-after allowed uploads only until 2026-01-31 18:00:00 UTC (project.toml:1): change it there if it is "
            "wrong."
        )


@pytest.mark.parametrize("strictest", range(6))
def test_the_strictest_bound_of_all_tables_holds(strictest: int) -> None:
    """The latest not-before and the earliest not-after, each wherever it stands."""
    texts = []
    for number, (_, for_repository, _) in enumerate(LADDER):
        start, end = 10 if number == strictest else 0, 50 if number == 5 - strictest else 59
        texts.append("[repository.pypi]" if for_repository else "")
        texts.append(f"not-before = 2026-01-31T18:00:{start:02}Z")
        texts.append(f"not-after = 2026-01-31T18:00:{end:02}Z")
    # In a file the top table comes first.
    files = ["\n".join([*texts[n + 3 : n + 6], *texts[n : n + 3]]) for n in (0, 6, 12)]
    decided = grant(*files)
    lines = [f"{layer}.toml:{5 if for_repository else 2}" for layer, for_repository, _ in LADDER]
    ends = [f"{layer}.toml:{6 if for_repository else 3}" for layer, for_repository, _ in LADDER]
    assert (decided.start, decided.end) == (
        WithOrigin(NOW + 10, Origin(lines[strictest])),
        WithOrigin(NOW + 50, Origin(ends[5 - strictest])),
    )
    assert decided.window(NOW + 20) == (NOW + 10, NOW + 50)


# require-policy


@pytest.mark.parametrize(
    ("user", "site", "where"),
    [
        ("require-policy = true", None, "user.toml:1"),
        ("require-policy = false", "\nrequire-policy = true", "site.toml:2"),
        ("require-policy = true", "require-policy = false", "user.toml:1"),
        ("require-policy = false\n[repository.pypi]\nrequire-policy = true", None, "user.toml:3"),
        ("require-policy = true\n[repository.pypi]\nrequire-policy = false", None, "user.toml:1"),
    ],
)
def test_refuses_a_project_without_a_policy_if_one_is_required(user: str | None, site: str | None, where: str) -> None:
    """One table that requires it is enough, and an empty file is a policy."""
    assert refusal(None, user, site) == (
        f"no project policy was found, and {where} requires one: add a pypitoken.toml that lists the project."
    )
    assert grant("", user, site).projects == named("demo")
    assert grant(None, "require-policy = false\n[repository.testpypi]\nrequire-policy = true").projects


# The projects


def test_grants_what_was_named_if_every_list_allows_it() -> None:
    """The token is for what is uploaded now, and not for all that could be."""
    for texts in (
        ('projects = ["demo", "other"]', 'projects = ["demo"]', 'projects = ["more", "demo"]'),
        ('[repository.pypi]\nprojects = ["demo"]',),
        ("[repository.testpypi]\nprojects = []",),
    ):
        assert grant(*texts).projects == named("demo")


LISTS = [
    ("project", 'projects = ["other"]', "project.toml:1", "only 'other'"),
    ("user", '\nprojects = ["other", "more"]', "user.toml:2", "only 'more', 'other'"),
    ("site", "projects = []", "site.toml:1", "no project"),
    ("project", "[repository.pypi]\nprojects = []", "project.toml:2", "no project"),
    ("project", 'projects = ["demo"]\n[repository.pypi]\nprojects = ["other"]', "project.toml:3", "only 'other'"),
    ("project", 'projects = ["other"]\n[repository.pypi]\nprojects = ["demo"]', "project.toml:1", "only 'other'"),
    (
        "user",
        'projects = ["g", "f", "e", "d", "c", "b", "a"]',
        "user.toml:1",
        "only 'a', 'b', 'c', 'd', 'e' and 2 more",
    ),
    ("user", 'projects = ["e", "d", "c", "b", "a"]', "user.toml:1", "only 'a', 'b', 'c', 'd', 'e'"),
]


@pytest.mark.parametrize(("layer", "text", "where", "allowed"), LISTS)
def test_refuses_a_project_outside_the_policy(layer: str, text: str, where: str, allowed: str) -> None:
    """The sentence names the project, the list that lacks it, and what named the project."""
    assert refusal(*(text if layer == name else None for name in PLACES)) == (
        f"project 'demo' is not allowed here: {where} allows {allowed}; {OUTSIDE}"
    )


def test_names_all_projects_that_are_outside_and_the_nearest_list_that_refuses() -> None:
    assert refusal('projects = ["b"]', 'projects = ["c"]', evidence=named("a", "b", "c")) == (
        f"projects 'a', 'c' are not allowed here: project.toml:1 allows only 'b'; {OUTSIDE}"
    )


@pytest.mark.parametrize(
    ("project", "projects", "where"),
    [
        ('projects = ["b", "a"]', ("a", "b"), "project.toml:1"),
        ('\n[repository.pypi]\nprojects = ["b", "a"]', ("a", "b"), "project.toml:3"),
        ('projects = ["a", "b", "c"]\n[repository.pypi]\nprojects = ["d", "c", "b"]', ("b", "c"), "project.toml:3"),
    ],
)
def test_takes_the_projects_of_the_policy_if_nothing_else_names_one(
    project: str, projects: tuple[str, ...], where: str
) -> None:
    assert grant(project, evidence=None).projects == WithOrigin(projects, Origin(where))
    assert refusal(project, "projects = []", evidence=None).endswith(f"(it was named by {where}).")


def test_refuses_an_unknown_project() -> None:
    """A token for any project is given only if somebody allows it and nobody sets a limit."""
    for texts in (
        (None, None, None),
        ("", "", ""),
        (None, 'unscoped = "refuse"', None),
        (None, 'unscoped = "allow"', 'unscoped = "refuse"'),
        (None, 'unscoped = "refuse"', 'unscoped = "allow"'),
        (None, 'unscoped = "allow"\n[repository.pypi]\nunscoped = "refuse"', None),
        (None, '[repository.testpypi]\nunscoped = "allow"', None),
        # A user's list is a ceiling, and tells nothing about this upload.
        (None, 'projects = ["demo"]', None),
        (None, 'projects = ["acme-*"]', 'projects = ["acme-*"]'),
        # A token for any project would go beyond these lists.
        (None, 'unscoped = "allow"\nprojects = ["acme-*"]', None),
        (None, 'unscoped = "allow"\nprojects = ["demo"]', None),
        (None, 'unscoped = "allow"', "projects = []"),
        ("projects = []", 'unscoped = "allow"', None),
        ('projects = ["a"]\n[repository.pypi]\nprojects = ["b"]', 'unscoped = "allow"', None),
    ):
        assert refusal(*texts, evidence=None) == UNKNOWN


def test_grants_any_project_if_the_user_allows_it() -> None:
    for texts in (
        (None, 'unscoped = "allow"', None),
        (None, None, 'unscoped = "allow"'),
        ("", 'unscoped = "allow"', 'unscoped = "allow"'),
        (None, '[repository.pypi]\nunscoped = "allow"', None),
    ):
        assert grant(*texts, evidence=None).projects is None
    assert grant(None, 'unscoped = "allow"').projects == named("demo")


def test_a_refusal_names_how_the_program_is_given_its_files() -> None:
    with pytest.raises(Refusal, match="is unknown: pass the wheels to `uv publish`, or run"):
        decide(PYPI, layers(), shown(None)._replace(hint="pass the wheels to `uv publish`"))


# Names of repositories


def test_accepts_a_project_that_mentions_known_repositories() -> None:
    corp = PYPI._replace(name="corp", url="https://example.org/")
    for project in (None, "", "[repository.pypi]", "[repository.testpypi]\n[repository.corp]"):
        check_repository_names(layers(project), [*BUILT_IN, corp])


@pytest.mark.parametrize(
    ("project", "problem"),
    [
        (
            "\n[repository.pipy]\nvalid-for = 1",
            "project.toml:3 mentions an unknown repository 'pipy'; did you mean 'pypi'?",
        ),
        ("[repository.zzz]", "project.toml mentions an unknown repository 'zzz'; known are 'pypi', 'testpypi':"),
    ],
)
def test_refuses_a_project_that_mentions_an_unknown_repository(project: str, problem: str) -> None:
    """Its limits would silently never apply."""
    for policies in (layers(project), Policies(path(), ((path("", project), frozenset()),))):
        with pytest.raises(Refusal) as caught:
            check_repository_names(policies, BUILT_IN)
        name = problem.replace("project.toml", "../project.toml") if policies.files else problem
        assert str(caught.value) == f"{name} correct the name, or add its url to your own policy.toml."


# What makes two grants the same


def test_grants_asked_for_at_different_moments_have_one_key() -> None:
    first, second = grant("valid-for = 300"), grant("\nvalid-for = 300", "notice = false")
    assert (first == second, first.key == second.key) == (False, True)


DIFFERENT: dict[str, Callable[[], Grant]] = {
    "repository": lambda: grant(repository=TESTPYPI),
    "account": lambda: grant('account = "work"'),
    "project": lambda: grant(evidence=named("other")),
    "projects": lambda: grant(evidence=named("demo", "other")),
    "any project": lambda: grant(None, 'unscoped = "allow"', evidence=None),
    "valid-for": lambda: grant("valid-for = 899"),
    "clock-skew": lambda: grant("clock-skew = 61"),
    "not-after": lambda: grant("not-after = 2999-01-01T00:00:00Z"),
    "confirm": lambda: grant(None, "confirm = true"),
    "not-before": lambda: grant("not-before = 2001-01-01T00:00:00Z"),
}


@pytest.mark.parametrize("different", DIFFERENT.values(), ids=DIFFERENT)
def test_grants_that_differ_have_another_key(different: Callable[[], Grant]) -> None:
    """A token for something else is never handed out again."""
    assert different().key != grant().key
    assert grant("not-after = 2998-01-01T00:00:00Z").key != grant("not-after = 2999-01-01T00:00:00Z").key


# Every policy on the path


def test_limits_of_every_policy_on_the_path_intersect() -> None:
    policies = Policies(path('projects = ["a", "b"]', "not-after = 2027-01-01T00:00:00Z", 'projects = ["b", "c"]'))
    decided = decide(PYPI, policies, shown(named("b")))
    assert decided.end == WithOrigin(1_798_761_600, Origin("../project.toml:1"))
    assert decided.policies == ("project.toml", "../project.toml", "../../project.toml")
    with pytest.raises(Refusal) as caught:
        decide(PYPI, policies, shown(named("a")))
    assert str(caught.value) == (
        "project 'a' is not allowed here: ../../project.toml:1 allows only 'b', 'c'; upload it from its own "
        "repository, or add it there (it was named by the arguments)."
    )


def test_preferences_and_evidence_come_from_the_nearest_policy_that_has_them() -> None:
    policies = Policies(path("clock-skew = 1", 'valid-for = 2\nprojects = ["a"]', 'valid-for = 3\naccount = "far"'))
    decided = decide(PYPI, policies, shown(None))
    assert (decided.clock_skew.value, decided.valid_for.value, decided.account.value) == (1, 2, "far")
    assert decided.projects == WithOrigin(("a",), Origin("../project.toml:2"))


STRANGERS = (
    'valid-for = 30\nclock-skew = 600\naccount = "theirs"\nprojects = ["demo"]\nnot-after = 2027-01-01T00:00:00Z'
)


def test_a_strangers_policy_limits_and_prefers_nothing() -> None:
    policies = Policies(path(STRANGERS, trusted=False))
    decided = decide(PYPI, policies, shown(named("demo")))
    assert (decided.valid_for.value, decided.clock_skew.value, decided.account.value) == (900, 60, "default")
    assert decided.end is not None
    with pytest.raises(Refusal) as caught:
        decide(PYPI, policies, shown(None))
    assert str(caught.value) == UNKNOWN
    with pytest.raises(Refusal, match=r"^project 'other' is not allowed here: "):
        decide(PYPI, policies, shown(named("other")))


def test_a_strangers_policy_is_not_the_one_that_is_required() -> None:
    required = configured(read("require-policy = true", "user"))
    with pytest.raises(Refusal, match=r"^no project policy was found, and user\.toml:1 requires one: "):
        decide(PYPI, Policies(path(STRANGERS, trusted=False), (), required), shown(named("demo")))
    assert decide(PYPI, Policies(path(""), (), required), shown(named("demo"))).projects == named("demo")


def test_a_files_project_is_judged_by_its_own_path_and_by_here() -> None:
    paths = ((path('projects = ["a"]'), frozenset({"a"})), (path('projects = ["b"]'), frozenset({"b"})))
    policies = Policies(path('projects = ["a", "b", "c"]'), paths)
    assert decide(PYPI, policies, shown(named("a", "b"))).projects == named("a", "b")
    with pytest.raises(Refusal, match=r"^project 'a' is not allowed here: "):
        decide(PYPI, Policies(path('projects = ["b"]'), paths), shown(named("a", "b")))
    # What comes with no file, as KEYRING_PYPITOKEN_PROJECT may name it, is judged by every search path.
    with pytest.raises(Refusal, match=r"^project 'c' is not allowed here: "):
        decide(PYPI, policies, shown(named("a", "c")))


def test_the_shortest_preference_of_several_paths_holds() -> None:
    files = (
        (path("valid-for = 200\nclock-skew = 20"), frozenset({"demo"})),
        (path("valid-for = 300"), frozenset[str]()),
    )
    decided = decide(
        PYPI, Policies(path("clock-skew = 30"), files, configured(read("valid-for = 1", "user"))), shown(named("demo"))
    )
    assert (decided.valid_for.value, decided.clock_skew.value) == (200, 20)


def test_refuses_files_under_policies_for_two_accounts() -> None:
    files = ((path('account = "b"'), frozenset({"demo"})),)
    user = configured(read('account = "c"', "user"))
    with pytest.raises(Refusal) as caught:
        decide(PYPI, Policies(path('account = "a"'), files, user), shown(named("demo")))
    assert str(caught.value) == (
        "the files are under policies for two accounts, 'a' (project.toml:1) and 'b' (project.toml:1): "
        "upload them separately."
    )
    assert decide(PYPI, Policies(path(), files, user), shown(named("demo"))).account.value == "b"
    assert decide(PYPI, Policies(path(), (), user), shown(named("demo"))).account.value == "c"


def test_policies_of_every_site_apply() -> None:
    sites = configured(read('max-valid-for = "5m"', "site"), read("clock-skew = 5\nmax-valid-for = 240", "site"))
    policies = Policies(path(), (), sites)
    decided = decide(PYPI, policies, shown(named("demo")))
    assert (decided.valid_for.value, decided.clock_skew.value) == (240, 5)


def test_warns_of_policies_that_are_not_read() -> None:
    misnamed = path()._replace(misnamed=("policy.toml",))
    assert decide(PYPI, Policies(misnamed, ((misnamed, frozenset()),)), shown(named("demo"))).warnings == (
        "policy.toml is not read as a policy: rename it to pypitoken.toml or [tool.keyring-pypitoken]",
    )
    many = path()._replace(misnamed=tuple(f"{number}/policy.toml" for number in range(1000)))
    assert len(decide(PYPI, Policies(many), shown(named("demo"))).warnings) == 5


def test_the_lowest_age_of_masters_is_passed_on() -> None:
    decided = grant(None, 'max-master-age = "1d"', 'max-master-age = "2d"\n[repository.pypi]\nmax-master-age = "3d"')
    assert decided.max_master_age == WithOrigin(86_400, Origin("user.toml:1"))
    files = layers("valid-for = 5", "valid-for = 7\n[repository.pypi]\nvalid-for = 6").configured
    assert least_of(files, PYPI, lambda table: table.max_valid_for) is None


# Patterns


def test_a_pattern_allows_every_name_that_begins_so() -> None:
    policies = layers(None, 'projects = ["acme-*", "b"]')
    for name in ("acme-x", "acme-", "b"):
        assert decide(PYPI, policies, shown(named(name))).projects == named(name)
    for name in ("acme", "ab"):
        with pytest.raises(Refusal, match=r"user\.toml:1 allows only 'acme-\*', 'b'; "):
            decide(PYPI, policies, shown(named(name)))


def test_patterns_of_several_ceilings_intersect() -> None:
    policies = layers('projects = ["acme-x", "acme-y", "b"]', 'projects = ["acme-*"]', 'projects = ["acme-x*"]')
    assert decide(PYPI, policies, shown(named("acme-x"))).projects == named("acme-x")
    for name, place in (("acme-y", "site"), ("b", "user"), ("acme-x2", "project")):
        with pytest.raises(Refusal, match=rf"'{name}' is not allowed here: {place}\.toml:1 allows only "):
            decide(PYPI, policies, shown(named(name)))


# A length that a person types


@pytest.mark.parametrize(
    ("user", "seconds"),
    [(None, 3600), ('max-valid-for = "2h"', 7200), ('max-token-valid-for = "7d"', 604_800), ("valid-for = 5", 3600)],
)
def test_grants_a_typed_length_up_to_its_ceiling(user: str | None, seconds: int) -> None:
    typed = WithOrigin(seconds, Origin("--valid-for"))
    assert decide(PYPI, layers(None, user), shown(named("demo")), typed_valid_for=typed).valid_for == typed


@pytest.mark.parametrize(
    ("user", "ceiling"),
    [
        (None, "max-valid-for, which is 1 hour (its default)"),
        ('max-valid-for = "2h"', "max-valid-for, which is 2 hours (user.toml:1)"),
        ('max-valid-for = "9d"\nmax-token-valid-for = 60', "max-token-valid-for, which is 1 minute (user.toml:2)"),
    ],
)
def test_refuses_a_typed_length_above_its_ceiling(user: str | None, ceiling: str) -> None:
    typed = WithOrigin(604_800, Origin("--valid-for"))
    with pytest.raises(Refusal) as caught:
        decide(PYPI, layers(None, user), shown(named("demo")), typed_valid_for=typed)
    assert str(caught.value) == (
        f"--valid-for is 7 days, above {ceiling}: shorten it, or raise max-token-valid-for in your own policy.toml."
    )


# auto

MIB = 1024 * 1024
AUTO_LENGTHS = [
    # 4 x bits / 5 Mbit/s + 30 s a file + 180 s; at least 300 s
    ((10,), None, 300, "auto: 1 file, 0.0 MiB at 5 Mbit/s"),
    ((MIB, 363_000), None, 300, "auto: 2 files, 1.3 MiB at 5 Mbit/s"),
    ((100 * MIB,), None, 882, "auto: 1 file, 100.0 MiB at 5 Mbit/s"),
    ((2048,) * 10, None, 481, "auto: 10 files, 0.0 MiB at 5 Mbit/s"),
    ((1024 * MIB,), None, 3600, "auto: 1 file, 1024.0 MiB at 5 Mbit/s; cut to max-valid-for (default)"),
    (
        (1024 * MIB,),
        "\nmax-valid-for = 60",
        60,
        "auto: 1 file, 1024.0 MiB at 5 Mbit/s; cut to max-valid-for (user.toml:2)",
    ),
    ((1024 * MIB,), 'max-valid-for = "3h"', 7082, "auto: 1 file, 1024.0 MiB at 5 Mbit/s"),
    ((10,), 'valid-for = "auto"', 300, "auto (user.toml:1): 1 file, 0.0 MiB at 5 Mbit/s"),
]


@pytest.mark.parametrize(("sizes", "user", "seconds", "origin"), AUTO_LENGTHS)
def test_auto_is_as_long_as_the_upload_needs(
    sizes: tuple[int, ...], user: str | None, seconds: int, origin: str
) -> None:
    decided = decide(PYPI, layers(None, user), shown(named("demo"), *sizes)).valid_for
    assert decided == WithOrigin(seconds, Origin(origin))


@pytest.mark.parametrize(
    ("sizes", "user", "warning"),
    [
        ((MIB,), None, ""),
        ((85_000_000,) * 24, None, "24 files, 1945.5 MiB may need longer than 1 hour"),
        ((1_800_000_000,), None, ""),
        ((100 * MIB,), "valid-for = 60", "1 file, 100.0 MiB may need longer than 1 minute"),
        ((1, 1), "valid-for = 60", "2 files, 0.0 MiB may need longer than 1 minute"),
        ((1,), "valid-for = 31", ""),  # one second is left
        ((1_000_000,), "valid-for = 31", "1 file, 1.0 MiB may need longer than 31 seconds"),
    ],
)
def test_warns_if_an_upload_cannot_finish_in_time(sizes: tuple[int, ...], user: str | None, warning: str) -> None:
    raised = "; if the token expires before they are sent, raise max-valid-for, or valid-for if a policy sets it"
    expected = (f"{warning}{raised}",) if warning else ()
    assert decide(PYPI, layers(None, user), shown(named("demo"), *sizes)).warnings == expected


@pytest.mark.parametrize(
    ("repository", "files", "fix"),
    [
        (PYPI, 1, "raise max-valid-for, or valid-for if a policy sets it"),
        (PYPI, 2, "run the same command again with `--skip https://pypi.org/simple/`"),
        (TESTPYPI, 2, "run the same command again with `--skip https://test.pypi.org/simple/`"),
    ],
)
def test_the_warning_names_the_option_that_resumes_if_there_are_files_to_skip(
    repository: Repository, files: int, fix: str
) -> None:
    evidence = shown(named("demo"), *[100 * MIB] * files)._replace(resume="--skip https://{domain}/simple/")
    (warning,) = decide(repository, layers(None, "valid-for = 90"), evidence).warnings
    assert warning.endswith(f" longer than 1 minute 30 seconds; if the token expires before they are sent, {fix}")


# Contradictions


def test_finds_what_no_upload_could_meet_once() -> None:
    policies = layers(
        "projects = []\nnot-before = 2030-01-01T00:00:00Z", "not-after = 2029-01-01T00:00:00Z\nvalid-for = 7200"
    )
    assert list(find_contradictions(policies, BUILT_IN)) == [
        (
            "valid-for is 2 hours (user.toml:2), above max-valid-for, which is 1 hour (its default): shorten "
            "valid-for, or raise max-valid-for in your own policy.toml."
        ),
        (
            "not-before (project.toml:2) is not before not-after (user.toml:1), so no moment is allowed: change one of "
            "them."
        ),
        "projects is empty (project.toml:1), so nothing is allowed: list one, or leave it out.",
    ]
    assert list(find_contradictions(layers("", ""), BUILT_IN)) == []
