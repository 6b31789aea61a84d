"""What can go wrong: the library's five exceptions, and the refusal of a lookup."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


class PyPITokenException(Exception):  # noqa: N818 - the name is the API's (pypitoken)
    """Base of every exception that the token library raises."""


class LoaderError(PyPITokenException):
    """A token or a caveat cannot be read; the message says why and holds nothing secret."""


class ValidationError(PyPITokenException):
    """A token is not valid for the use it was checked for."""


class MissingContextError(ValidationError):
    """A restriction could not be checked, because the check was not given what it needs."""


class InvalidRestriction(PyPITokenException, ValueError):  # noqa: N818 - the name is the API's (pypitoken)
    """The parameters of `Token.restrict` describe no restriction."""


class Refusal(Exception):  # noqa: N818 - the word of this field: ours, but not allowed
    """A lookup is ours but not allowed, or cannot be answered safely.

    The message is one sentence for a person: the reason first, then the fix; it never holds secret text.
    """


class UnknownProjectError(Refusal):
    """Nothing shows which projects an upload is for."""


class PolicyError(Refusal):
    """A policy file cannot be followed; the message lists all that is wrong in it.

    Attributes:
        problems: the same, one by one.
    """

    def __init__(self, message: str, problems: tuple[str, ...] = ()) -> None:
        """Say what is wrong."""
        super().__init__(message)
        self.problems = problems or (message,)


def sealed(step: Callable[P, T]) -> Callable[P, T]:
    """Let a step raise what it refuses or fails with anew, without a trace of frames, in which a secret may be."""

    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return step(*args, **kwargs)
        except Refusal as refusal:
            problem: BaseException = Refusal(str(refusal))
        except Exception as error:  # noqa: BLE001 - whatever fails in here, nothing may be handed out
            problem = Refusal(f"internal error ({type(error).__name__}), and nothing was handed out: please report it.")
        except BaseException as signal:  # noqa: BLE001 - Ctrl-C and the like go on
            signal.__cause__ = signal.__context__ = None
            problem = signal.with_traceback(None)
        raise problem

    return run
