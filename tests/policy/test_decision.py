"""What is granted: the most specific wish, within the strictest limit, and where every part comes from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import BUILT_IN, PYPI, TESTPYPI
from keyring_pypitoken.policy.decision import Policies, check_repository_names, decide
from keyring_pypitoken.policy.model import DEFAULT, Grant, Origin, WithOrigin
from keyring_pypitoken.policy.parser import parse_policy

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyring_pypitoken.lookup import Repository
    from keyring_pypitoken.policy.model import Layer, PolicyFile

LAYERS: tuple[Layer, ...] = ("project", "user", "site")
NOW = 1_769_882_400  # 2026-01-31T18:00:00Z
FILES = Origin("the arguments")
NOTHING_TELLS = (
    "nothing tells which project this upload is for: pass the distribution files (`twine upload dist/*`), run "
    "it in the project's directory, list `projects` in its pypitoken.toml, or set KEYRING_PYPITOKEN_PROJECT."
)


def read(text: str | None, layer: Layer) -> PolicyFile | None:
    """Parse a layer's policy; None stands for no file."""
    return None if text is None else parse_policy(text, layer=layer, name=f"{layer}.toml")


def layers(project: str | None = None, user: str | None = None, site: str | None = None) -> Policies:
    """Return the policies in force, each by its text."""
    return Policies(read(project, "project"), read(user, "user"), read(site, "site"))


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
    now: int = NOW,
    shorter: int | None = None,
) -> Grant:
    """Decide about an upload of the project demo to PyPI, unless told otherwise."""
    wish = None if shorter is None else WithOrigin(shorter, Origin("VALID_FOR"))
    return decide(repository, layers(project, user, site), evidence, now=now, shorter=wish)


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
        grant(project, user, site, evidence=evidence, now=now, shorter=shorter)
    return str(caught.value)


def test_grants_the_defaults_without_any_policy() -> None:
    """It works with no setup: fifteen minutes from now, and one back for clocks that differ."""
    assert grant() == Grant(
        repository=PYPI,
        account=WithOrigin("default", DEFAULT),
        projects=named("demo"),
        not_before=NOW - 60,
        not_after=NOW + 900,
        valid_for=WithOrigin(900, DEFAULT),
        clock_skew=WithOrigin(60, DEFAULT),
        bounds=(),
        policy=None,
        notice=True,
        history=True,
    )


def test_tells_the_project_policy_that_was_followed() -> None:
    """The notice names it; a user's policy alone is none of a project."""
    assert (grant("").policy, grant(None, "", "").policy) == ("project.toml", None)


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
    origins = [*(Origin(origin) for _, _, origin in LADDER), DEFAULT]
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
    assert decide(PYPI, policies, named("demo"), now=NOW, account=wish).account == wish


# The length of the window and its ceiling


def test_the_window_is_as_long_as_it_was_wished() -> None:
    """It reaches from the clock skew in the past into the future."""
    found = grant('valid-for = "30m"\nclock-skew = "2m"')
    assert (found.not_before, found.not_after) == (NOW - 120, NOW + 1800)


@pytest.mark.parametrize(
    ("user", "site", "ceiling"),
    [
        ('max-valid-for = "30m"', None, "1800 seconds (that of user.toml:1)"),
        (None, 'max-valid-for = "30m"', "1800 seconds (that of site.toml:1)"),
        ('max-valid-for = "2h"', 'max-valid-for = "30m"', "1800 seconds (that of site.toml:1)"),
        ('max-valid-for = "30m"', 'max-valid-for = "2h"', "1800 seconds (that of user.toml:1)"),
        ('max-valid-for = "2h"\n[repository.pypi]\nmax-valid-for = 60', None, "60 seconds (that of user.toml:3)"),
        ('max-valid-for = 60\n[repository.pypi]\nmax-valid-for = "2h"', None, "60 seconds (that of user.toml:1)"),
        (None, None, "3600 seconds (its default)"),
    ],
)
def test_refuses_a_wish_above_the_strictest_ceiling(user: str | None, site: str | None, ceiling: str) -> None:
    """It is not cut: both places are named, since only a person can tell which of them is meant."""
    assert refusal("\nvalid-for = 3601", user, site) == (
        f"valid-for is 3601 seconds (project.toml:2), above max-valid-for, which is {ceiling}: "
        "shorten the one, or raise the other in your own policy.toml."
    )


def test_refuses_the_users_own_wish_above_the_ceiling_too() -> None:
    """One file can contradict itself."""
    assert refusal(None, "valid-for = 61\nmax-valid-for = 60") == (
        "valid-for is 61 seconds (user.toml:1), above max-valid-for, which is 60 seconds (that of user.toml:2): "
        "shorten the one, or raise the other in your own policy.toml."
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
        (60, WithOrigin(60, Origin("ceiling of user.toml:1"))),
        (899, WithOrigin(899, Origin("ceiling of user.toml:1"))),
        (900, WithOrigin(900, DEFAULT)),
        (901, WithOrigin(900, DEFAULT)),
    ],
)
def test_a_lower_ceiling_cuts_the_default_quietly(ceiling: int, expected: WithOrigin[int]) -> None:
    """Nobody wished for the default, so that there is nothing to refuse."""
    found = grant(None, f"max-valid-for = {ceiling}")
    assert (found.valid_for, found.not_after) == (expected, NOW + expected.value)


@pytest.mark.parametrize("seconds", [1, 899, 900])
def test_the_environment_may_shorten_the_window(seconds: int) -> None:
    """It comes before every other wish, and its origin is told."""
    found = grant(shorter=seconds)
    assert (found.valid_for, found.not_after) == (WithOrigin(seconds, Origin("VALID_FOR")), NOW + seconds)


@pytest.mark.parametrize(
    ("project", "user", "wish"),
    [
        (None, None, "900 seconds of valid-for (default)"),
        ("valid-for = 300", None, "300 seconds of valid-for (project.toml:1)"),
        (None, "max-valid-for = 60", "60 seconds of valid-for (ceiling of user.toml:1)"),
    ],
)
def test_refuses_an_environment_that_asks_for_longer(project: str | None, user: str | None, wish: str) -> None:
    """What a job's variable says is no reason to grant more."""
    assert refusal(project, user, shorter=901) == (
        f"VALID_FOR asks for 901 seconds, and it may only shorten the {wish}: set it to less, or unset it."
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
    found = grant(policy, now=now)
    assert (found.not_before, found.not_after) == window


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
        "not-after allowed uploads only until 2026-01-31 18:00:00 UTC (project.toml:1): "
        "change it there if that is wrong."
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
    found = grant(*files, now=NOW + 20)
    lines = [f"{layer}.toml:{5 if for_repository else 2}" for layer, for_repository, _ in LADDER]
    ends = [f"{layer}.toml:{6 if for_repository else 3}" for layer, for_repository, _ in LADDER]
    assert found.bounds == (
        WithOrigin(NOW + 10, Origin(lines[strictest])),
        WithOrigin(NOW + 50, Origin(ends[5 - strictest])),
    )
    assert (found.not_before, found.not_after) == (NOW + 10, NOW + 50)


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
        # A token for any project would go beyond these lists.
        (None, 'unscoped = "allow"\nprojects = ["demo"]', None),
        (None, 'unscoped = "allow"', "projects = []"),
        ("projects = []", 'unscoped = "allow"', None),
        ('projects = ["a"]\n[repository.pypi]\nprojects = ["b"]', 'unscoped = "allow"', None),
    ],
)
def test_refuses_where_nothing_tells_the_project(project: str | None, user: str | None, site: str | None) -> None:
    """A token for any project is given only where somebody allows it and nobody sets a limit."""
    assert refusal(project, user, site, evidence=None) == NOTHING_TELLS


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
    ("project", "strange"),
    [
        ("[repository.pipy]", "'pipy'"),
        ("[repository.PyPI]\n[repository.corp]\n[repository.pypi]", "'PyPI', 'corp'"),
    ],
)
def test_refuses_a_project_that_speaks_about_an_unknown_repository(project: str, strange: str) -> None:
    """Its limits would silently never apply."""
    with pytest.raises(Refusal) as caught:
        check_repository_names(layers(project), BUILT_IN)
    assert str(caught.value) == (
        f"project.toml speaks about the unknown repository {strange}, known are 'pypi', 'testpypi': "
        "correct the name, or add its url to your own policy.toml."
    )


# What makes two grants the same


def test_grants_asked_for_at_different_moments_have_one_key() -> None:
    """What was derived is handed out again, whoever tells of it."""
    first, second = grant("valid-for = 300"), grant("\nvalid-for = 300", "notice = false", now=NOW + 1)
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
