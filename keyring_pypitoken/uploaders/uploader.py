"""What is known about an uploader: the questions that are asked of each, and the answers most of them give.

An uploader's module is called as its program, and holds one instance `UPLOADER`: no other module decides by an
uploader's name. To add an uploader, add a module.
"""

from __future__ import annotations

import importlib
import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import TOKEN_USERNAME
from keyring_pypitoken.memory import recall
from keyring_pypitoken.record import Record
from keyring_pypitoken.text import in_shell, printable, quoted
from keyring_pypitoken.uploaders.options import Command, Grammar, Parsed

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping
    from pathlib import Path

    from keyring_pypitoken.lookup import Repository
    from keyring_pypitoken.uploaders.settings import Setting

Lookups = tuple[tuple[str, "str | None"], ...]


class Process(Record):
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
    def uploader(self) -> Uploader | None:
        """What is known about the program; None if it is not an uploader."""
        return find_uploader(self.program)


class Address(Record):
    """Where a run uploads to.

    Attributes:
        url: the upload URL, as the uploader has it: a user name and a password may be in it.
        name: what the uploader calls the repository; empty if it has no name for it.
        origin: what names it, for people: `--repository-url`, `TWINE_REPOSITORY`, `~/.pypirc`, `default`.
    """

    url: str
    name: str
    origin: str

    @property
    def shown(self) -> str:
        """The URL for people, without user name and password, however badly they are written."""
        return re.sub(r"^([^:/?#@]*://)?.*@", r"\1***@", self.url, flags=re.DOTALL)


BYPASS, STOP, RISK = "bypass", "stop", "risk"


class Credentials(Record):
    """What a run sends without asking keyring; a value is None if it asks.

    Attributes:
        username: the user name.
        password: the password or token.
        section: the part of the file that the password is in, if that has a name.
        in_url: whether the password is in the upload URL.
    """

    username: Setting
    password: Setting
    section: str = ""
    in_url: bool = False


class Problem(Record):
    """What keeps an uploader from sending a restricted token: a clause, and an imperative to mend it.

    Attributes:
        problem: the clause.
        remedy: the imperative.
        effect: what comes of it: BYPASS, it sends something else; STOP, it sends nothing; RISK, it sends something else
            if keyring has nothing.
    """

    problem: str
    remedy: str
    effect: str = BYPASS

    @classmethod
    def of_refusal(cls, refusal: Refusal) -> Problem:
        """Split the sentence of a refusal: the reason first, then the fix."""
        text = str(refusal).removesuffix(".")
        at = max(text.rfind(": "), text.rfind("; "))
        return cls(text[:at], text[at + 2 :]) if at >= 0 else cls(text, "correct it")


_STOPPING = ("--help", "--version")  # after them nothing is uploaded


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
        resume: the option that sends only what the index lacks; `{domain}` stands for it; empty if there is none.
        saves: whether it stores a typed token with `set_password`, and under which keys, in words.
        asks_for: keys it asks keyring for, in their order, in words for people: `{url}` and `{host}` stand for parts.
        kept_services: services under which it stores tokens of any repository: names, or prefixes that end in `-`.
        before_keyring: credentials it takes before it asks keyring, in words.
        token_variables: variables by which it takes a token; `{token}` is replaced.
        address_variables: variables by which it takes an upload URL; `{url}` is replaced.
        rival_variables: further variables that change where or as whom it uploads: removed beside the token.
        options: those that it takes before a subcommand.
        commands: its subcommands that upload, each with its options.
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
    resume: ClassVar[str] = ""
    saves: ClassVar[str] = ""
    asks_for: ClassVar[tuple[str, ...]] = ()
    kept_services: ClassVar[tuple[str, ...]] = ()
    before_keyring: ClassVar[tuple[str, ...]] = ()
    token_variables: ClassVar[Mapping[str, str]] = {}
    address_variables: ClassVar[Mapping[str, str]] = {}
    rival_variables: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[Grammar] = Grammar("", "")
    commands: ClassVar[Mapping[str, Grammar]] = {}

    def parse(self, process: Process) -> Command:
        """Split the command line at its subcommand; it is empty if this is another program."""
        before = self.options.parse(process.arguments if process.program == self.name else (), stop=True)
        name = next(iter(before.positional_args), "")
        return Command(name, before, self.commands[name].parse(before.rest) if name in self.commands else Parsed())

    def is_uploading(self, process: Process) -> bool:
        """Return True if the command line is one that uploads."""
        command = self.parse(process)
        return command.name in self.commands and not (command.before.has(*_STOPPING) or command.after.has(*_STOPPING))

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
    def find_lookups(self, process: Process, address: Address) -> Lookups:
        """Return the (service, username) pairs that this run asks keyring for, in order; none if it does not ask."""

    def find_problems(self, process: Process, address: Address) -> list[Problem]:
        """Return what makes this run send something else than keyring's answer; settings that cannot be read, too.

        That is: credentials that it takes before it asks keyring or after a refusal, another user name, keyring that
        is switched off. Nothing but the place is shown: no password, no token.
        """
        found: list[Problem] = []
        try:
            for problem in self._problems(process, address):
                found.append(problem)  # noqa: PERF402 - those before a refusal count
        except Refusal as refusal:
            found.append(Problem.of_refusal(refusal))
        return found

    def _problems(self, process: Process, address: Address) -> Iterator[Problem]:
        """Yield what `find_problems` returns."""
        found = self.find_credentials(process, address)
        if found.password.value is not None:
            yield self._taken(found)
        yield from self._other_user(found.username)

    @abstractmethod
    def find_credentials(self, process: Process, address: Address) -> Credentials:
        """Return what this run sends without asking keyring, by options, variables and settings in their order.

        Raises:
            Refusal: the settings cannot be read.
        """

    def check_sends(self, process: Process, address: Address, token: str) -> None:
        """Refuse a run that would send something else than a token that `variables` handed to it."""
        found = self.find_credentials(process, address)
        if found.password.value is None:
            raise Refusal(f"{self.name} takes no token from a variable: run it without `exec`, and it asks keyring.")
        if found.password.value != token:
            what, remedy = _where(found)
        elif found.username.value != TOKEN_USERNAME:
            what, remedy = _whose(found.username)
        else:
            return
        raise Refusal(f"{what}, and {self.name} would send that instead of the restricted token: {remedy}.")

    def _taken(self, found: Credentials) -> Problem:
        """Return the problem of a password that is taken before keyring is asked."""
        what, remedy = _where(found)
        return Problem(f"{what}, and {self.name} takes it before it asks keyring", remedy)

    def _other_user(self, username: Setting) -> Iterator[Problem]:
        """Yield the problem of a user name that PyPI takes no tokens from."""
        if username.value not in (None, TOKEN_USERNAME):
            what, remedy = _whose(username)
            yield Problem(f"{what}, and {self.name} asks keyring for that user, who has no token", remedy)

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


def _where(found: Credentials) -> tuple[str, str]:
    """Return which option, variable or file holds the password, as a clause, and an imperative to mend that."""
    origin, section = found.password.origin, found.section
    where = printable(origin)
    if found.in_url:
        return f"the URL in {where} holds a password", "delete it there"
    if origin.startswith("-"):
        return f"the option {where} is given", f"leave out `{where}`"
    if origin.isupper():
        return f"the variable {where} is set", in_shell(where)
    what = f"{where} holds a password" + (f" for [{printable(section)}]" if section else "")
    line = "the line `password`" if section else "it"
    return what, f"store that token with `keyring-pypitoken login`, then delete {line} there"


def _whose(username: Setting) -> tuple[str, str]:
    where = printable(username.origin)
    what = f"{where} names the user {quoted(username.value or '')}"
    return what, f"set the user name in {where} to `{TOKEN_USERNAME}`"


def find_uploader(program: str) -> Uploader | None:
    """Return the uploader of a program, such as `twine`; None if there is none."""
    return recall(("uploader", program), lambda: _load(program)) if program.isidentifier() else None


def all_uploaders(among: Container[str] | None = None) -> tuple[Uploader, ...]:
    """Return every uploader by name, or those of the programs among some names."""
    import pkgutil

    import keyring_pypitoken.uploaders as package

    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(
        uploader for name in names if among is None or name in among if (uploader := find_uploader(name)) is not None
    )


def _load(program: str) -> Uploader | None:
    name = f"{__package__}.{program}"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise  # a uploader is there, and imports what is not
        return None
    uploader = getattr(module, "UPLOADER", None)
    return uploader if isinstance(uploader, Uploader) and uploader.name == program else None
