"""What an uploader is: facts, and where one run of it sends which credentials.

An uploader's module is called as its program, and holds one instance `UPLOADER`: no other module decides by an
uploader's name. To add an uploader, add a module and its name.
"""

from __future__ import annotations

import importlib
import re
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from keyring_pypitoken.exceptions import Refusal
from keyring_pypitoken.lookup import TOKEN_USERNAME
from keyring_pypitoken.record import Record
from keyring_pypitoken.text import in_shell, printable, quoted
from keyring_pypitoken.uploaders.options import Command, Grammar, Parsed
from keyring_pypitoken.uploaders.settings import Setting, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping
    from pathlib import Path

    from keyring_pypitoken.lookup import Repository

NAMES = ("devpi", "flit", "hatch", "maturin", "pdm", "poetry", "twine", "uv")
State = Literal["uploading", "other", "unknown"]


class Process(Record):
    """A process that uploads, or may; what is asked about it is answered once."""

    program: str  # its name, such as `twine`; empty if it has none that can be shown
    arguments: tuple[str, ...]  # its command line without the program
    directory: Path  # its current directory
    environ: Mapping[str, str]
    is_parent: bool = False  # whether it is the process that started this one
    # The distributions that its running upload was given, as far as the call stack shows them; empty if it should and
    # does not; None if no upload is running in this process, or it builds them itself.
    files: tuple[Path, ...] | None = None
    # What an asker does: `uploading`; `other` for an uploader's program, or pip, that does not upload; `unknown` for
    # any other program, such as a script or a person's shell.
    state: State = "unknown"

    def __repr__(self) -> str:
        return f"Process({self.program!r})"  # arguments and variables may hold passwords

    @property
    def uploader(self) -> Uploader | None:
        """Its uploader; None if the program is not one."""
        return find_uploader(self.program)

    @cached_property
    def command(self) -> Command:
        """Its command line, split at the subcommand; empty if it is no uploader's."""
        return Command("", Parsed(), Parsed()) if self.uploader is None else self.uploader.parse(self.arguments)

    @cached_property
    def target(self) -> Target:
        """Where it uploads to and with which credentials.

        Raises:
            Refusal: the settings cannot be read, or name a repository that they do not define.
        """
        if self.uploader is None:
            raise TypeError(f"{quoted(self.program)} is not an uploader")
        return self.uploader.target(self)


class Address(Record):
    """Where a run uploads to."""

    url: str  # as the uploader has it: a user name and a password may be in it
    name: str  # what the uploader calls the repository; empty if it has no name for it
    source: Source  # what names it

    def __repr__(self) -> str:
        return f"Address({self.shown!r}, {self.name!r}, {self.source!r})"

    @property
    def shown(self) -> str:
        """The URL for people, without user name and password, however badly they are written."""
        return re.sub(r"^([^:/?#@]*://)?.*@", r"\1***@", self.url, flags=re.DOTALL)


# It sends something else; it sends nothing; it was not set up to ask keyring, and asks a person.
BYPASS, STOP, SETUP = "bypass", "stop", "setup"


class Problem(Record):
    """What keeps an uploader from sending a restricted token: a clause, and an imperative to mend it."""

    problem: str
    remedy: str
    effect: str = BYPASS  # what comes of it

    @classmethod
    def of_refusal(cls, refusal: Refusal) -> Problem:
        """Split the sentence of a refusal: the reason first, then the fix."""
        text = str(refusal).removesuffix(".")
        at = max(text.rfind(": "), text.rfind("; "))
        return cls(text[:at], text[at + 2 :]) if at >= 0 else cls(text, "correct it")


class Target(Record):
    """Where a run uploads to and with which credentials, by options, variables and files in the uploader's order."""

    address: Address
    username: Setting = Setting()  # the user name that it sends or asks for; None if it asks keyring for one
    password: Setting = Setting()  # what it sends without asking keyring; None if it asks
    # The first service and user name that it asks keyring for by the upload URL; None if it does not.
    lookup: tuple[str, str | None] | None = None
    section: str = ""  # the section of .pypirc that holds the password
    problems: tuple[Problem, ...] = ()  # what else keeps it from sending a restricted token
    # What chooses, in files of the project, who can read this upload, such as a proxy.
    checkout: tuple[Setting, ...] = ()
    takes_address: bool = True  # False if an option names the repository, beside which a variable must not name it


_STOPPING = ("--help", "--version", "--dry-run", "--logo", "--pep582")  # with them nothing is uploaded


class Uploader(ABC):
    """An uploader. Class attributes are facts; methods read one run's command line, environment and settings."""

    name: ClassVar[str] = ""  # the program, which is the module's name too
    # What people type behind its name to upload, as `status` simulates it; nothing if that says too little.
    typical: ClassVar[tuple[str, ...]] = ()
    naming_files: ClassVar[str] = ""  # a command line that names the files to upload, for hints; empty if it takes none
    module: ClassVar[str] = ""  # what is loaded while it runs, if it asks keyring in its own process; else empty
    asks_keyring: ClassVar[bool] = True  # whether it asks Python's keyring at all
    # Whether it may start the `keyring` command to ask. If that fails, it looks for other credentials, or prompts, so
    # that a refusal prints a constant text that is not a token, which the index refuses.
    uses_command: ClassVar[bool] = False
    hides_stderr: ClassVar[bool] = False  # whether it hides what the `keyring` command writes to stderr
    resume: ClassVar[str] = ""  # the option that sends only what the index lacks, if any; `{domain}` stands for that
    # Variables by which it takes a token, which replaces `{token}`; `{name}` is what it calls the repository.
    token_variables: ClassVar[Mapping[str, str]] = {}
    address_variables: ClassVar[Mapping[str, str]] = {}  # likewise, by which it takes an upload URL, `{url}`
    rival_variables: ClassVar[tuple[str, ...]] = ()  # others that change as whom it uploads: removed beside the token
    rival_addresses: ClassVar[tuple[str, ...]] = ()  # others that change where it uploads: removed beside the address
    options: ClassVar[Grammar] = Grammar("", "")  # those that it takes before a subcommand
    # Its subcommands that upload, each with its options; if they are those of `options`, both may stand anywhere.
    commands: ClassVar[Mapping[str, Grammar]] = {}
    subcommands: ClassVar[str] = ""  # all of its subcommands, if it may start the `keyring` command
    reads_cargo: ClassVar[bool] = False  # whether `Cargo.toml` may name its project
    # Its functions that upload, each with what reads the files from its variables, or None if it uploads none in that
    # run; None if the files are not known there.
    upload_functions: ClassVar[Mapping[str, Callable[[Mapping[str, Any]], Iterable[Any] | None] | None]] = {}

    def parse(self, arguments: tuple[str, ...]) -> Command:
        """Split a command line at its subcommand."""
        if self.options in self.commands.values():
            parsed = self.options.parse(arguments)
            name, behind = next(iter(parsed.positional_args), ""), parsed.positional_args[1:]
            return Command(name, parsed, parsed._replace(positional_args=behind))
        before = self.options.parse(arguments, stop=True)
        name = next(iter(before.positional_args), "")
        return Command(name, before, self.commands[name].parse(before.rest) if name in self.commands else Parsed())

    def is_uploading(self, process: Process) -> bool:
        """Return True if the command line is one that uploads."""
        command = process.command
        return command.name in self.commands and not (command.before.has(*_STOPPING) or command.after.has(*_STOPPING))

    def is_saving(self, process: Process) -> bool:
        """Return True if the command line is one that must not go on if the token that it stores is refused."""
        return self.is_uploading(process)

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
    def target(self, process: Process) -> Target:
        """Return where a run uploads to and with which credentials; `Process.target` remembers it.

        Raises:
            Refusal: the settings cannot be read, or name a repository that they do not define.
        """

    def find_problems(self, process: Process) -> list[Problem]:
        """Return what makes a run send something else than keyring's answer; settings that cannot be read, too.

        Only the place of a password is in it, never a password.
        """
        try:
            target = process.target
        except Refusal as refusal:
            return [Problem.of_refusal(refusal)]
        problems = [_in_checkout(setting) for setting in target.checkout]
        if target.password.value is not None:
            clause, remedy = _where(target)
            problems.append(Problem(f"{clause}, and {self.name} takes it before it asks keyring", remedy))
        if self.asks_keyring and target.username.value not in (None, TOKEN_USERNAME):
            clause, remedy = _whose(target.username)
            problems.append(Problem(f"{clause}, and {self.name} asks keyring for that user, who has no token", remedy))
        return [*problems, *target.problems]

    def check_sends(self, process: Process, token: str) -> None:
        """Refuse a run that would send something else than a token that `variables` handed to it."""
        target = process.target
        check_checkout(target)
        if target.password.value is None:
            raise Refusal(f"{self.name} takes no token from a variable: run it without `exec`, and it asks keyring.")
        if target.password.value != token:
            clause, remedy = _where(target)
        elif target.username.value != TOKEN_USERNAME:
            clause, remedy = _whose(target.username)
        else:
            return
        raise Refusal(f"{clause}, and {self.name} would send that instead of the restricted token: {remedy}.")

    def variables(self, token: str, repository: Repository, target: Target | None = None) -> dict[str, str]:
        """Return the variables that hand a token to this uploader.

        Args:
            token: the derived token's text.
            repository: the one it is for.
            target: that of the run that is to get it, which then uploads to that repository; None if it is not known.
        """
        name = (repository.name if target is None else target.address.name).upper().replace("-", "_")
        texts = dict(self.token_variables)
        if target is not None and target.takes_address:
            texts |= self.address_variables
        return {key.format(name=name): text.format(token=token, url=repository.url) for key, text in texts.items()}


def check_checkout(target: Target) -> None:
    """Refuse an upload of which the project's own files choose who can read it.

    Raises:
        Refusal: a file of the checkout sets a proxy, or turns the check of a certificate off.
    """
    for setting in target.checkout:
        problem = _in_checkout(setting)
        raise Refusal(f"{problem.problem}: {problem.remedy}.")


def _in_checkout(setting: Setting) -> Problem:
    clause = f"{setting.source}, a file of this project, chooses who can read what is uploaded"
    return Problem(clause, "delete that line, or set it in your own settings", STOP)


def _where(target: Target) -> tuple[str, str]:
    """Return which option, variable or file holds the password, as a clause, and an imperative to mend that."""
    source = target.password.source
    if source.kind == "url":
        return f"the URL in {source} holds a password", "delete it there"
    if source.kind == "option":
        return f"the option {source} is given", f"leave out `{source}`"
    if source.kind == "variable":
        return f"the variable {source} is set", in_shell(source.name)
    if target.section:
        clause = f"{source} holds a password for [{printable(target.section)}]"
        return clause, "run `keyring-pypitoken adopt`, or delete the line `password` there"
    return f"{source} holds a password", "store that token with `keyring-pypitoken login`, then delete it there"


def _whose(username: Setting) -> tuple[str, str]:
    clause = f"{username.source} names the user {quoted(username.value or '')}"
    return clause, f"set the user name in {username.source} to `{TOKEN_USERNAME}`"


def find_uploader(program: str) -> Uploader | None:
    """Return the uploader of a program, such as `twine`; None if it is not one."""
    if program not in NAMES:
        return None
    uploader: Uploader = importlib.import_module(f"{__package__}.{program}").UPLOADER
    return uploader


def all_uploaders(among: Container[str] = NAMES) -> tuple[Uploader, ...]:
    """Return every uploader by name, or those of the programs among some names."""
    return tuple(uploader for name in NAMES if name in among and (uploader := find_uploader(name)) is not None)
