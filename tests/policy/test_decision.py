"""What is granted: the most specific wish, within the strictest limit, and where every part comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import BUILT_IN, PYPI, TESTPYPI
from keyring_pypitoken.policy.decision import check_repository_names, decide, find_contradictions
from keyring_pypitoken.policy.model import DEFAULT, Evidence, Grant, NamedFile, Origin, Policies, SearchPath, WithOrigin
from keyring_pypitoken.policy.parser import parse_policy

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyring_pypitoken.lookup import Repository
    from keyring_pypitoken.policy.model import Layer, PolicyFile

LAYERS: tuple[Layer, ...] = ("project", "user", "site")
NOW = 1_769_882_400  # 2026-01-31T18:00:00Z
FILES = Origin("the arguments")
AUTO = Origin("auto: files not known")
UNKNOWN = (
    "the project of this upload is unknown: name the distribution files, run it in the project's directory, or run "
    "`export KEYRING_PYPITOKEN_PROJECT=NAME`."
)


def read(text: str | None, layer: Layer) -> PolicyFile | None:
    """Parse a layer's policy; None stands for no file."""
    return None if text is None else parse_policy(text, layer=layer, name=f"{layer}.toml")


def way(*projects: str | None, trusted: bool = True) -> SearchPath:
    """Return a way with these policies, nearest first."""
    files = []
    for number, text in enumerate(projects):
        policy = None if text is None else parse_policy(text, layer="project", name=f"{'../' * number}project.toml")
        files += [] if policy is None else [policy._replace(trusted=trusted)]
    return SearchPath(Path(), tuple(files))


def layers(project: str | None = None, user: str | None = None, site: str | None = None) -> Policies:
    """Return the policies in force, each by its text."""
    return Policies(way(project), (), own(read(user, "user"), read(site, "site")))


def own(*policies: PolicyFile | None) -> tuple[PolicyFile, ...]:
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
    """Decide about an upload of the project demo to PyPI, unless told otherwise."""
    wish = None if shorter is None else WithOrigin(shorter, Origin("VALID_FOR"))
    return decide(repository, layers(project, user, site), shown(evidence), shorter=wish)


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


def test_tells_the_project_policy_that_was_followed() -> None:
    """The notice names it; a user's policy alone is none of a project."""
    assert (grant("").policies, grant(None, "", "").policies) == (("project.toml",), ())


# Wishes

# Each layer's table for PyPI and then its top table, the project's before the user's before the site's.
LADDER = [
    ("project", True, "project.toml:4"),
    ("project", False, "project.toml:1"),
    ("user", True, "user.toml:4"),
    ("user", False, "user.toml:1"),
    ("site", True, "site.toml:4"),
    ("site", False, "site.toml:1"),
]
# Each wish, what those six say, and what holds where none of them does.
WISHES: list[tuple[str, list[object]]] = [
    ("valid-for", [100, 200, 300, 400, 500, 600, 900]),
    ("clock-skew", [1, 2, 3, 4, 5, 6, 60]),
    ("account", ["a", "b", "c", "d", "e", "f", "default"]),
]


@pytest.mark.parametrize("silent", range(7))
@pytest.mark.parametrize(("key", "values"), WISHES)
def test_the_most_specific_wish_wins(key: str, values: list[object], silent: int) -> None:
    """A repository's table speaks before the top one, a project before its user, and the user before the site."""
    files: dict[str, list[str]] = {}
    for (layer, for_repository, _), value in list(zip(LADDER, values, strict=False))[silent:]:
        lines = files.setdefault(layer, ["", "", "[repository.pypi]", ""])
        lines[3 if for_repository else 0] = f"{key} = {json.dumps(value)}"
    found = grant(*("\n".join(files[layer]) if layer in files else None for layer in LAYERS))
    origins = [*(Origin(origin) for _, _, origin in LADDER), AUTO if key == "valid-for" else DEFAULT]
    assert getattr(found, key.replace("-", "_")) == WithOrigin(values[silent], origins[silent])


def test_another_repositorys_table_does_not_speak() -> None:
    """What is said about TestPyPI holds there, and not on PyPI."""
    text = "valid-for = 100\n[repository.testpypi]\nvalid-for = 200\n"
    assert (grant(text).valid_for.value, grant(text, repository=TESTPYPI).valid_for.value) == (100, 200)


@pytest.mark.parametrize("key", ["notice", "history"])
@pytest.mark.parametrize(
    ("user", "site", "expected"),
    [
        (None, None, True),
        ("KEY = false", None, False),
        ("KEY = false", "KEY = true", False),
        ("KEY = true", "KEY = false", True),
        (None, "KEY = false", False),
        ("KEY = true\n[repository.pypi]\nKEY = false", None, False),
    ],
)
def test_the_notice_and_the_history_are_wishes_too(
    key: str, user: str | None, site: str | None, expected: bool
) -> None:
    """The user decides over the site, about each of the two alone."""
    found = grant(None, user and user.replace("KEY", key), site and site.replace("KEY", key))
    told = {"notice": found.notice, "history": found.history}
    assert told == {"notice": True, "history": True, key: expected}


def test_the_look_ups_account_is_the_most_specific_wish() -> None:
    """Whoever asks for an account gets that one."""
    wish = WithOrigin("mine", Origin("the lookup"))
    policies = layers('account = "work"')
    assert decide(PYPI, policies, shown(named("demo")), account=wish).account == wish


# The length of the window and its ceiling


def test_the_window_is_as_long_as_it_was_wished() -> None:
    """It reaches from the clock skew in the past into the future."""
    found = grant('valid-for = "30m"\nclock-skew = "2m"')
    assert found.window(NOW) == (NOW - 120, NOW + 1800)


@pytest.mark.parametrize(
    ("user", "site", "ceiling"),
    [
        ('max-valid-for = "30m"', None, "30 minutes (user.toml:1)"),
        (None, 'max-valid-for = "30m"', "30 minutes (site.toml:1)"),
        ('max-valid-for = "2h"', 'max-valid-for = "30m"', "30 minutes (site.toml:1)"),
        ('max-valid-for = "30m"', 'max-valid-for = "2h"', "30 minutes (user.toml:1)"),
        ('max-valid-for = "2h"\n[repository.pypi]\nmax-valid-for = 60', None, "1 minute (user.toml:3)"),
        ('max-valid-for = 60\n[repository.pypi]\nmax-valid-for = "2h"', None, "1 minute (user.toml:1)"),
        (None, None, "1 hour (its default)"),
    ],
)
def test_refuses_a_wish_above_the_strictest_ceiling(user: str | None, site: str | None, ceiling: str) -> None:
    """It is not cut: both places are named, since only a person can tell which of them is meant."""
    assert refusal("\nvalid-for = 3660", user, site) == (
        f"valid-for is 1 hour 1 minute (project.toml:2), above max-valid-for, which is {ceiling}: "
        "shorten valid-for, or raise max-valid-for in your own policy.toml."
    )


def test_refuses_the_users_own_wish_above_the_ceiling_too() -> None:
    """One file can contradict itself."""
    assert refusal(None, "valid-for = 61\nmax-valid-for = 60") == (
        "valid-for is 1 minute 1 second (user.toml:1), above max-valid-for, which is 1 minute (user.toml:2): "
        "shorten valid-for, or raise max-valid-for in your own policy.toml."
    )


@pytest.mark.parametrize(
    ("project", "user", "seconds"),
    [
        ("valid-for = 3600", None, 3600),
        ("valid-for = 60", "max-valid-for = 60", 60),
        ('valid-for = "1d"', 'max-valid-for = "2d"', 86_400),
    ],
)
def test_grants_a_wish_up_to_the_ceiling(project: str, user: str | None, seconds: int) -> None:
    """The ceiling itself is allowed, and the user may raise the default one."""
    assert grant(project, user).valid_for == WithOrigin(seconds, Origin("project.toml:1"))


@pytest.mark.parametrize(
    ("ceiling", "expected"),
    [
        (60, WithOrigin(60, Origin("auto: files not known; cut to max-valid-for (user.toml:1)"))),
        (899, WithOrigin(899, Origin("auto: files not known; cut to max-valid-for (user.toml:1)"))),
        (900, WithOrigin(900, AUTO)),
        (901, WithOrigin(900, AUTO)),
    ],
)
def test_a_lower_ceiling_cuts_the_default_quietly(ceiling: int, expected: WithOrigin[int]) -> None:
    """Nobody wished for the default, so that there is nothing to refuse."""
    found = grant(None, f"max-valid-for = {ceiling}")
    assert (found.valid_for, found.window(NOW)[1]) == (expected, NOW + expected.value)


@pytest.mark.parametrize("seconds", [1, 899, 900])
def test_the_environment_may_shorten_the_window(seconds: int) -> None:
    """It comes before every other wish, and its origin is told."""
    found = grant(shorter=seconds)
    assert (found.valid_for, found.window(NOW)[1]) == (WithOrigin(seconds, Origin("VALID_FOR")), NOW + seconds)


@pytest.mark.parametrize(
    ("project", "user", "wish"),
    [
        (None, None, "15 minutes (auto: files not known)"),
        ("valid-for = 300", None, "5 minutes (project.toml:1)"),
        (None, "max-valid-for = 60", "1 minute (auto: files not known; cut to max-valid-for (user.toml:1))"),
    ],
)
def test_refuses_an_environment_that_asks_for_longer(project: str | None, user: str | None, wish: str) -> None:
    """What a job's variable says is no reason to grant more."""
    assert refusal(project, user, shorter=901) == (
        f"VALID_FOR asks for 15 minutes 1 second, and it may only shorten valid-for, which is {wish}: "
        "set it to less, or run `unset VALID_FOR`."
    )


# The absolute window


@pytest.mark.parametrize(
    ("policy", "now", "window"),
    [
        # not-before cuts the clock skew, and not-after the length.
        ("not-before = 2026-01-31T18:00:00Z", NOW, (NOW, NOW + 900)),
        ("not-before = 2026-01-31T18:00:00Z", NOW + 30, (NOW, NOW + 930)),
        ("not-before = 2026-01-31T18:00:00Z", NOW + 60, (NOW, NOW + 960)),
        ("not-before = 2026-01-31T18:00:00Z", NOW + 61, (NOW + 1, NOW + 961)),
        ("not-after = 2026-01-31T18:00:00Z", NOW - 900, (NOW - 960, NOW)),
        ("not-after = 2026-01-31T18:00:00Z", NOW - 899, (NOW - 959, NOW)),
        ("not-after = 2026-01-31T18:00:00Z", NOW - 1, (NOW - 61, NOW)),
        (
            "not-before = 2026-01-31T18:00:00Z\nnot-after = 2026-01-31T18:00:01Z",
            NOW,
            (NOW, NOW + 1),
        ),
    ],
)
def test_cuts_the_window_to_the_absolute_bounds(policy: str, now: int, window: tuple[int, int]) -> None:
    """not-before itself is inside, not-after itself is not."""
    assert grant(policy).window(now) == window


@pytest.mark.parametrize(
    ("policy", "now"),
    [
        ("not-before = 2026-01-31T18:00:00Z", NOW - 1),
        ("not-before = 2026-01-31T18:00:00Z", NOW - 10_000),
        ("not-before = 2026-01-31T19:00:00+01:00\nnot-after = 2027-01-01T00:00:00Z", NOW - 1),
    ],
)
def test_refuses_before_the_absolute_window(policy: str, now: int) -> None:
    """The clock skew does not open it earlier."""
    assert refusal(policy, now=now) == (
        "not-before allows uploads only from 2026-01-31 18:00:00 UTC on (project.toml:1): wait, or change it there."
    )


@pytest.mark.parametrize("now", [NOW, NOW + 1, NOW + 10_000])
def test_refuses_after_the_absolute_window(now: int) -> None:
    """Its last second is the one before not-after."""
    assert refusal("not-after = 2026-01-31T18:00:00Z", now=now) == (
        "not-after allowed uploads only until 2026-01-31 18:00:00 UTC (project.toml:1): change it there if it is wrong."
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
    found = grant(*files)
    lines = [f"{layer}.toml:{5 if for_repository else 2}" for layer, for_repository, _ in LADDER]
    ends = [f"{layer}.toml:{6 if for_repository else 3}" for layer, for_repository, _ in LADDER]
    assert (found.start, found.end) == (
        WithOrigin(NOW + 10, Origin(lines[strictest])),
        WithOrigin(NOW + 50, Origin(ends[5 - strictest])),
    )
    assert found.window(NOW + 20) == (NOW + 10, NOW + 50)


# require-policy


@pytest.mark.parametrize(
    ("user", "site", "where"),
    [
        ("require-policy = true", None, "user.toml:1"),
        (None, "require-policy = true", "site.toml:1"),
        ("require-policy = false", "\nrequire-policy = true", "site.toml:2"),
        ("require-policy = true", "require-policy = false", "user.toml:1"),
        ("require-policy = false\n[repository.pypi]\nrequire-policy = true", None, "user.toml:3"),
        ("require-policy = true\n[repository.pypi]\nrequire-policy = false", None, "user.toml:1"),
    ],
)
def test_refuses_a_project_without_a_policy_where_one_is_required(
    user: str | None, site: str | None, where: str
) -> None:
    """One table that requires it is enough."""
    assert refusal(None, user, site) == (
        f"no project policy was found, and {where} requires one: add a pypitoken.toml that lists the project."
    )


@pytest.mark.parametrize(
    ("project", "user"),
    [
        ("", "require-policy = true"),
        (None, "require-policy = false"),
        (None, "[repository.testpypi]\nrequire-policy = true"),
    ],
)
def test_grants_where_no_policy_is_required_or_one_is_there(project: str | None, user: str) -> None:
    """A file that says nothing is a policy."""
    assert grant(project, user).projects == named("demo")


# The projects


@pytest.mark.parametrize(
    ("project", "user", "site"),
    [
        ('projects = ["demo"]', None, None),
        ('projects = ["demo", "other"]', 'projects = ["demo"]', 'projects = ["more", "demo"]'),
        ('[repository.pypi]\nprojects = ["demo"]', None, None),
        ("[repository.testpypi]\nprojects = []", None, None),
    ],
)
def test_grants_what_was_named_where_every_list_allows_it(
    project: str | None, user: str | None, site: str | None
) -> None:
    """The token is for what is uploaded now, and not for all that could be."""
    assert grant(project, user, site).projects == named("demo")


LISTS = [
    ("project", 'projects = ["other"]', "project.toml:1", "only 'other'"),
    ("user", '\nprojects = ["other", "more"]', "user.toml:2", "only 'more', 'other'"),
    ("site", "projects = []", "site.toml:1", "no project"),
    ("project", "[repository.pypi]\nprojects = []", "project.toml:2", "no project"),
    (
        "project",
        'projects = ["demo"]\n[repository.pypi]\nprojects = ["other"]',
        "project.toml:3",
        "only 'other'",
    ),
    (
        "project",
        'projects = ["other"]\n[repository.pypi]\nprojects = ["demo"]',
        "project.toml:1",
        "only 'other'",
    ),
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
    assert refusal(*(text if layer == name else None for name in LAYERS)) == (
        f"project 'demo' is not allowed here: {where} allows {allowed}; upload it from its own repository, "
        "or add it there (it was named by the arguments)."
    )


def test_refuses_several_projects_of_which_some_are_outside() -> None:
    """All of them are named at once, and the allowed ones are not."""
    assert refusal('projects = ["b"]', evidence=named("a", "b", "c")) == (
        "projects 'a', 'c' are not allowed here: project.toml:1 allows only 'b'; upload it from its own repository, "
        "or add it there (it was named by the arguments)."
    )


def test_names_the_nearest_list_that_refuses() -> None:
    """The project's own list is where its maintainer looks first."""
    assert refusal('projects = ["a"]', 'projects = ["b"]') == (
        "project 'demo' is not allowed here: project.toml:1 allows only 'a'; upload it from its own repository, "
        "or add it there (it was named by the arguments)."
    )


@pytest.mark.parametrize(
    ("project", "projects", "where"),
    [
        ('projects = ["b", "a"]', ("a", "b"), "project.toml:1"),
        ('\n[repository.pypi]\nprojects = ["b", "a"]', ("a", "b"), "project.toml:3"),
        ('projects = ["a", "b", "c"]\n[repository.pypi]\nprojects = ["d", "c", "b"]', ("b", "c"), "project.toml:3"),
    ],
)
def test_takes_the_project_policys_own_list_where_nothing_else_tells(
    project: str, projects: tuple[str, ...], where: str
) -> None:
    """A policy that names its projects is evidence of last resort."""
    assert grant(project, evidence=None).projects == WithOrigin(projects, Origin(where))


def test_refuses_a_projects_own_list_beyond_its_users() -> None:
    """Named by whatever file, a project outside of a ceiling is outside."""
    assert refusal('projects = ["a", "b"]', 'projects = ["b"]', evidence=None) == (
        "project 'a' is not allowed here: user.toml:1 allows only 'b'; upload it from its own repository, "
        "or add it there (it was named by project.toml:1)."
    )


@pytest.mark.parametrize(
    ("project", "user", "site"),
    [
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
    ],
)
def test_refuses_where_nothing_tells_the_project(project: str | None, user: str | None, site: str | None) -> None:
    """A token for any project is given only where somebody allows it and nobody sets a limit."""
    assert refusal(project, user, site, evidence=None) == UNKNOWN


@pytest.mark.parametrize(
    ("project", "user", "site"),
    [
        (None, 'unscoped = "allow"', None),
        (None, None, 'unscoped = "allow"'),
        ("", 'unscoped = "allow"', 'unscoped = "allow"'),
        (None, '[repository.pypi]\nunscoped = "allow"', None),
    ],
)
def test_grants_any_project_where_the_user_allows_it(project: str | None, user: str | None, site: str | None) -> None:
    """The window alone limits such a token."""
    assert grant(project, user, site, evidence=None).projects is None


def test_names_win_over_an_unscoped_token() -> None:
    """What is known to be uploaded is all that the token is for."""
    assert grant(None, 'unscoped = "allow"').projects == named("demo")


# Names of repositories


@pytest.mark.parametrize(
    "project", [None, "", "[repository.pypi]", "[repository.testpypi]\n[repository.pypi]", "[repository.corp]"]
)
def test_accepts_a_project_that_speaks_about_known_repositories(project: str | None) -> None:
    """Whether PyPI's, or made known by the user."""
    corp = PYPI._replace(name="corp", url="https://example.org/")
    check_repository_names(layers(project, "[repository.corp]\nurl = 'https://example.org/'"), [*BUILT_IN, corp])


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
    for policies in (layers(project), Policies(way(), ((way("", project), frozenset()),))):
        with pytest.raises(Refusal) as caught:
            check_repository_names(policies, BUILT_IN)
        name = problem.replace("project.toml", "../project.toml") if policies.files else problem
        assert str(caught.value) == f"{name} correct the name, or add its url to your own policy.toml."


# What makes two grants the same


def test_grants_asked_for_at_different_moments_have_one_key() -> None:
    """What was derived is handed out again, whoever tells of it."""
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
    "not-before": lambda: grant("not-before = 2001-01-01T00:00:00Z"),
}


@pytest.mark.parametrize("different", DIFFERENT.values(), ids=DIFFERENT)
def test_grants_that_differ_have_another_key(different: Callable[[], Grant]) -> None:
    """A token for something else is never handed out again."""
    assert different().key != grant().key


def test_another_end_makes_another_key() -> None:
    """The bound itself counts, and not only that there is one."""
    years = (grant(f"not-after = {year}-01-01T00:00:00Z").key for year in (2998, 2999))
    assert next(years) != next(years)


# Every policy on the way


def test_limits_of_every_policy_on_the_way_intersect() -> None:
    policies = Policies(way('projects = ["a", "b"]', "not-after = 2027-01-01T00:00:00Z", 'projects = ["b", "c"]'))
    found = decide(PYPI, policies, shown(named("b")))
    assert found.end == WithOrigin(1_798_761_600, Origin("../project.toml:1"))
    assert found.policies == ("project.toml", "../project.toml", "../../project.toml")
    with pytest.raises(Refusal) as caught:
        decide(PYPI, policies, shown(named("a")))
    assert str(caught.value) == (
        "project 'a' is not allowed here: ../../project.toml:1 allows only 'b', 'c'; upload it from its own "
        "repository, or add it there (it was named by the arguments)."
    )


def test_wishes_and_evidence_come_from_the_nearest_policy_that_has_them() -> None:
    policies = Policies(way("clock-skew = 1", 'valid-for = 2\nprojects = ["a"]', 'valid-for = 3\naccount = "far"'))
    found = decide(PYPI, policies, shown(None))
    assert (found.clock_skew.value, found.valid_for.value, found.account.value) == (1, 2, "far")
    assert found.projects == WithOrigin(("a",), Origin("../project.toml:2"))


STRANGERS = (
    'valid-for = 30\nclock-skew = 600\naccount = "theirs"\nprojects = ["demo"]\nnot-after = 2027-01-01T00:00:00Z'
)


def test_a_strangers_policy_limits_and_wishes_nothing() -> None:
    policies = Policies(way(STRANGERS, trusted=False))
    found = decide(PYPI, policies, shown(named("demo")))
    assert (found.valid_for.value, found.clock_skew.value, found.account.value) == (900, 60, "default")
    assert found.end is not None
    with pytest.raises(Refusal) as caught:
        decide(PYPI, policies, shown(None))
    assert str(caught.value) == UNKNOWN
    with pytest.raises(Refusal, match=r"^project 'other' is not allowed here: "):
        decide(PYPI, policies, shown(named("other")))


def test_a_strangers_policy_is_not_the_one_that_is_required() -> None:
    required = own(read("require-policy = true", "user"))
    with pytest.raises(Refusal, match=r"^no project policy was found, and user\.toml:1 requires one: "):
        decide(PYPI, Policies(way(STRANGERS, trusted=False), (), required), shown(named("demo")))
    assert decide(PYPI, Policies(way(""), (), required), shown(named("demo"))).projects == named("demo")


def test_a_files_project_is_judged_by_its_own_way_and_by_here() -> None:
    ways = ((way('projects = ["a"]'), frozenset({"a"})), (way('projects = ["b"]'), frozenset({"b"})))
    policies = Policies(way('projects = ["a", "b", "c"]'), ways)
    assert decide(PYPI, policies, shown(named("a", "b"))).projects == named("a", "b")
    with pytest.raises(Refusal, match=r"^project 'a' is not allowed here: "):
        decide(PYPI, Policies(way('projects = ["b"]'), ways), shown(named("a", "b")))
    # What comes with no file, as KEYRING_PYPITOKEN_PROJECT may name it, is judged by every way.
    with pytest.raises(Refusal, match=r"^project 'c' is not allowed here: "):
        decide(PYPI, policies, shown(named("a", "c")))


def test_the_shortest_wish_of_several_ways_holds() -> None:
    files = ((way("valid-for = 200\nclock-skew = 20"), frozenset({"demo"})), (way("valid-for = 300"), frozenset[str]()))
    found = decide(
        PYPI, Policies(way("clock-skew = 30"), files, own(read("valid-for = 1", "user"))), shown(named("demo"))
    )
    assert (found.valid_for.value, found.clock_skew.value) == (200, 20)


def test_refuses_files_under_policies_for_two_accounts() -> None:
    files = ((way('account = "b"'), frozenset({"demo"})),)
    user = own(read('account = "c"', "user"))
    with pytest.raises(Refusal) as caught:
        decide(PYPI, Policies(way('account = "a"'), files, user), shown(named("demo")))
    assert str(caught.value) == (
        "the files are under policies for two accounts, 'a' (project.toml:1) and 'b' (project.toml:1): "
        "upload them separately."
    )
    assert decide(PYPI, Policies(way(), files, user), shown(named("demo"))).account.value == "b"
    assert decide(PYPI, Policies(way(), (), user), shown(named("demo"))).account.value == "c"


def test_policies_of_every_site_apply() -> None:
    sites = own(read('max-valid-for = "5m"', "site"), read("clock-skew = 5\nmax-valid-for = 240", "site"))
    policies = Policies(way(), (), sites)
    found = decide(PYPI, policies, shown(named("demo")))
    assert (found.valid_for.value, found.clock_skew.value) == (240, 5)


def test_an_empty_file_needs_no_speed() -> None:
    assert decide(PYPI, layers(), shown(named("demo"), 0)).warnings == ()


def test_warns_of_policies_that_are_not_read() -> None:
    misnamed = way()._replace(misnamed=("policy.toml",))
    assert decide(PYPI, Policies(misnamed, ((misnamed, frozenset()),)), shown(named("demo"))).warnings == (
        "policy.toml is not read as a policy: rename it to pypitoken.toml or [tool.keyring-pypitoken]",
    )


def test_the_lowest_age_of_masters_is_passed_on() -> None:
    found = grant(None, 'max-master-age = "1d"', 'max-master-age = "2d"\n[repository.pypi]\nmax-master-age = "3d"')
    assert found.max_master_age == WithOrigin(86_400, Origin("user.toml:1"))


# Patterns


@pytest.mark.parametrize(
    ("name", "allowed"), [("acme-x", True), ("acme-", True), ("acme", False), ("b", True), ("ab", False)]
)
def test_a_pattern_allows_every_name_that_begins_so(name: str, allowed: bool) -> None:
    policies = layers(None, 'projects = ["acme-*", "b"]')
    if allowed:
        assert decide(PYPI, policies, shown(named(name))).projects == named(name)
    else:
        with pytest.raises(Refusal, match=r"user\.toml:1 allows only 'acme-\*', 'b'; "):
            decide(PYPI, policies, shown(named(name)))


def test_patterns_of_several_ceilings_intersect() -> None:
    policies = layers('projects = ["acme-x", "acme-y", "b"]', 'projects = ["acme-*"]', 'projects = ["acme-x*"]')
    assert decide(PYPI, policies, shown(named("acme-x"))).projects == named("acme-x")
    for name, place in (("acme-y", "site"), ("b", "user"), ("acme-x2", "project")):
        with pytest.raises(Refusal, match=rf"'{name}' is not allowed here: {place}\.toml:1 allows only "):
            decide(PYPI, policies, shown(named(name)))


def test_one_pattern_allows_25_projects() -> None:
    names = tuple(sorted(f"acme-{number}" for number in range(25)))
    assert decide(PYPI, layers(None, 'projects = ["acme-*"]'), shown(named(*names))).projects == named(*names)


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
    found = decide(PYPI, layers(None, user), shown(named("demo"), *sizes)).valid_for
    assert found == WithOrigin(seconds, Origin(origin))


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
