"""What is known about an uploader: the questions that are asked of every room, and the answers most of them give.

A room is a module of this package, called as its program, that holds one instance `ROOM`. Whoever needs to know
something about the program that asks gets its room from `find_room` and asks that: no other module decides by an
uploader's name. To add an uploader, add a module.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from keyring_pypitoken.memory import recall
from keyring_pypitoken.text import printable, quoted

if TYPE_CHECKING:
    from collections.abc import Container, Mapping
    from pathlib import Path

    from keyring_pypitoken.exceptions import Refusal
    from keyring_pypitoken.lookup import Repository


class Process(NamedTuple):
    """A process that uploads, or may.

    Attributes:
        program: the name of the program, such as `twine`; empty if it has none that can be shown.
        arguments: its command line without the program.
        directory: its current directory.
        environ: its environment.
        is_parent: whether it is the process that started this one.
    """

    program: str
    arguments: tuple[str, ...]
    directory: Path
    environ: Mapping[str, str]
    is_parent: bool = False

    @property
    def room(self) -> Uploader | None:
        """What is known about the program; None if it is not an uploader."""
        return find_room(self.program)


class Address(NamedTuple):
    """Where a run uploads to.

    Attributes:
        url: the upload URL, as the uploader has it.
        name: what the uploader calls the repository; empty if it has no name for it.
        origin: what says so, for people: `--repository-url`, `TWINE_REPOSITORY`, `~/.pypirc`, `default`.
    """

    url: str
    name: str
    origin: str


class Problem(NamedTuple):
    """What keeps an uploader from sending a restricted token, and what to do about it.

    Attributes:
        problem: a clause, such as `the variable TWINE_PASSWORD is set, and twine takes it before it asks keyring`.
        remedy: an imperative, such as `` `unset TWINE_PASSWORD` ``.
    """

    problem: str
    remedy: str

    @classmethod
    def of_refusal(cls, refusal: Refusal) -> Problem:
        """Split the sentence of a refusal: the reason first, then the fix."""
        text = str(refusal).removesuffix(".")
        at = max(text.rfind(": "), text.rfind("; "))
        return cls(text[:at], text[at + 2 :]) if at >= 0 else cls(text, "correct it")


class Uploader(ABC):
    """An uploader. Class attributes are facts; methods read one run's command line, environment and settings.

    Attributes:
        name: the program, which is the module's name too.
        typical: what people type behind its name to upload, as `status` simulates it; nothing if that says too little.
        observed: the version whose behaviour was observed.
        source: where in its own code the facts are.
        module: the Python module that is loaded while it runs, if it asks keyring in its own process; else empty.
        uses_command: whether it may start the `keyring` command to ask.
        lookups_per_upload: how often it asks for one upload, at most.
        hides_stderr: whether it keeps to itself what the `keyring` command writes to stderr.
        goes_on: whether it looks for other credentials, or prompts, after the `keyring` command failed: then a
            constant text that is not a token is printed, so that it looks no further and the index refuses that.
        prompts: whether it asks a person if keyring has nothing.
        saves: whether it stores a typed token with `set_password`, and under which keys, in words.
        asks_for: keys it asks keyring for, in their order, in words for people: `{url}` and `{host}` stand for parts.
        kept_services: services under which it stores tokens of any repository: names, or prefixes that end in `-`.
        before_keyring: credentials it takes before it asks keyring, in words.
        token_variables: variables by which it takes a token; `{token}` is replaced.
        address_variables: variables by which it takes an upload URL; `{url}` is replaced.
        rival_variables: further variables that change where or as whom it uploads: removed beside the token.
    """

    name: ClassVar[str] = ""
    typical: ClassVar[tuple[str, ...]] = ()
    observed: ClassVar[str] = ""
    source: ClassVar[str] = ""
    module: ClassVar[str] = ""
    uses_command: ClassVar[bool] = False
    lookups_per_upload: ClassVar[int] = 1
    hides_stderr: ClassVar[bool] = False
    goes_on: ClassVar[bool] = False
    prompts: ClassVar[bool] = True
    saves: ClassVar[str] = ""
    asks_for: ClassVar[tuple[str, ...]] = ()
    kept_services: ClassVar[tuple[str, ...]] = ()
    before_keyring: ClassVar[tuple[str, ...]] = ()
    token_variables: ClassVar[Mapping[str, str]] = {}
    address_variables: ClassVar[Mapping[str, str]] = {}
    rival_variables: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def is_uploading(self, process: Process) -> bool:
        """Return True if the command line is one that uploads."""

    def find_inside(self) -> tuple[str, ...] | None:
        """Return the command line that runs inside another program's process, such as a release tool; None if none."""
        return None

    def is_saving(self, process: Process) -> bool:  # noqa: ARG002 - most never do
        """Return True if the command line is one that stores a typed token, and must not go on if that is refused."""
        return False

    def find_project(self, process: Process) -> Path:
        """Return the directory of the project that the uploader was pointed at, else its current directory.

        Raises:
            Refusal: its settings cannot be read, or name a project that cannot be found.
        """
        return process.directory

    def find_files(self, process: Process) -> tuple[Path, ...] | None:  # noqa: ARG002 - some build them
        """Return the distributions it would upload, expanded and filtered as it does; None if not known.

        Not known: it builds them itself, or no command line names them. What it attaches or skips is left out.

        Raises:
            Refusal: a named file does not exist; the uploader would upload less than its user means, or fail.
        """
        return None

    def find_projects(self, process: Process) -> tuple[str, ...]:  # noqa: ARG002 - most name files
        """Return projects that the command line itself names."""
        return ()

    @abstractmethod
    def find_address(self, process: Process) -> Address:
        """Return where this run uploads to, by options, variables and settings in the uploader's own order.

        Raises:
            Refusal: the settings cannot be read, or name a repository that they do not define.
        """

    @abstractmethod
    def find_lookups(self, process: Process, address: Address) -> tuple[tuple[str, str | None], ...]:
        """Return the (service, username) pairs that this run asks keyring for, in order; none if it does not ask."""

    @abstractmethod
    def find_problems(self, process: Process, address: Address) -> list[Problem]:
        """Return what makes this run send something else than keyring's answer.

        That is: credentials that it takes before it asks keyring or after a refusal, another user name, keyring that
        is switched off. Nothing but the place is shown: no password, no token. Settings that cannot be read are a
        problem, too.
        """

    def names_repository(self, process: Process) -> bool:  # noqa: ARG002 - most let an option win
        """Return True if an option names the repository, and the uploader stops if a variable names one, too."""
        return False

    def variables(self, token: str, repository: Repository, address: Address | None = None) -> dict[str, str]:  # noqa: ARG002
        """Return the variables that hand a token to this uploader, and make it upload to that repository.

        Args:
            token: the derived token's text.
            repository: the one it is for.
            address: what `find_address` found for the run that is to get it, which some need to name the variables.
        """
        found = {name: value.format(token=token) for name, value in self.token_variables.items()}
        return found | {name: value.format(url=repository.url) for name, value in self.address_variables.items()}


def find_room(program: str) -> Uploader | None:
    """Return the room of a program, such as `twine`; None if there is none."""
    return recall(("room", program), lambda: _load(program)) if program.isidentifier() else None


def all_rooms(among: Container[str] | None = None) -> tuple[Uploader, ...]:
    """Return every room by name, or those of the programs among some names."""
    import pkgutil

    import keyring_pypitoken.uploaders as package

    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(room for name in names if among is None or name in among if (room := find_room(name)) is not None)


def _load(program: str) -> Uploader | None:
    try:
        module = importlib.import_module(f"{__package__}.{program}")
    except ModuleNotFoundError:
        return None
    room = getattr(module, "ROOM", None)
    return room if isinstance(room, Uploader) and room.name == program else None


def taken_first(program: str, what: str, remedy: str) -> Problem:
    """Return the problem of a credential that an uploader takes before it asks keyring."""
    return Problem(f"{what}, and {program} takes it before it asks keyring", remedy)


def variable_taken_first(program: str, name: str) -> Problem:
    """Return the problem of a variable that holds a credential."""
    return taken_first(program, f"the variable {name} is set", f"`unset {name}`")


def pypirc_taken_first(program: str, file: str, section: str) -> Problem:
    """Return the problem of a password in .pypirc."""
    where = f"{printable(file)} holds a password for [{printable(section)}]"
    remedy = "store that token with `keyring-pypitoken login`, then delete the line `password` there"
    return taken_first(program, where, remedy)


def other_user(program: str, name: str, origin: str) -> Problem:
    """Return the problem of a user name that PyPI takes no tokens from."""
    where = printable(origin)
    return Problem(
        f"{where} names the user {quoted(name)}, and {program} asks keyring for that user, who has no token",
        f"set the user name in {where} to `__token__`",
    )


def password_taken_first(program: str, origin: str) -> Problem:
    """Return the problem of a password that an option, a variable or a settings file holds."""
    if origin.startswith("-"):
        return taken_first(program, f"{origin} gives a password", f"leave out {origin}")
    if origin.isupper():
        return variable_taken_first(program, origin)
    remedy = "store that token with `keyring-pypitoken login`, then delete it there"
    return taken_first(program, f"{printable(origin)} holds a password", remedy)
