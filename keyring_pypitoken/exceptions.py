"""What can go wrong: the library's five exceptions, and the refusal of a lookup."""


class PyPITokenException(Exception):  # noqa: N818 - the name is the API's (pypitoken)
    """Base of every exception that the token library raises."""


class LoaderError(PyPITokenException):
    """A token or a caveat cannot be read; the message says why and holds nothing secret."""


class ValidationError(PyPITokenException):
    """A token is not valid for the use it was checked for."""


class MissingContextError(ValidationError):
    """A restriction could not be checked, because the check was not told what it needs."""


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
