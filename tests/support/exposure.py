"""All that an exception gives away. It loads nothing of the package, which `faults` must load itself."""

from __future__ import annotations

import traceback
from pathlib import Path

PACKAGE = "keyring_pypitoken"
WINDOW = 12  # characters of a secret that give it away: less than that are found in any text


def leaks(text: str, secret: str) -> bool:
    """Return True if any part of a secret stands in a text."""
    return any(secret[at : at + WINDOW] in text for at in range(max(1, len(secret) - WINDOW)))


def everything_about(error: BaseException, *, all_frames: bool = False) -> str:
    """Write the texts, causes and contexts of an exception, and the locals of frames.

    Args:
        error: the exception.
        all_frames: take the frames of other packages, too; those of a test are left out, since it holds the secret.
    """
    parts: list[str] = []
    seen: set[int] = set()
    rest: list[BaseException | None] = [error]
    while rest:
        one = rest.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        parts += [str(one), repr(one), repr(one.args), repr(vars(one)), repr(getattr(one, "object", None))]
        rest += [one.__cause__, one.__context__]
        for frame, _ in traceback.walk_tb(one.__traceback__):
            is_ours = str(frame.f_globals.get("__name__")).startswith(PACKAGE)
            is_a_test = Path(frame.f_code.co_filename).name.startswith("test_")
            if is_ours or (all_frames and not is_a_test):
                place = f"{frame.f_code.co_name}:{frame.f_lineno}"
                parts += [f"{place} local {name} = {value!r}" for name, value in frame.f_locals.items()]
    return "\n".join([*parts, *traceback.TracebackException.from_exception(error).format()])
