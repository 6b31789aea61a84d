"""A pytest plugin that fails every test in which a master appears where none may be.

It notes each master that a test makes and looks for its signature, the part that a derived token does not share: as
bytes, in base64, in hexadecimal, as Python shows bytes, and in a text that is encoded once more, as in an
`Authorization` header. It looks at captured output and logs, at what tests read from capsys and from programs, at
warnings, at files below `tmp_path` outside the stores, and at the locals of the package's frames in tracebacks.

A test that shows a master on purpose says why: `@pytest.mark.shows_master("it stores one as a person does")`. The
mark fails if no master was shown.
"""

from __future__ import annotations

import base64
import functools
import os
import subprocess
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from loopback_index import IndexProcess, LoopbackIndex

from keyring_pypitoken import Token

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from types import TracebackType

_STORES = "home/keyrings"  # the plain files of the tests' backends
_MAX_FILE = 1024 * 1024
_MIN_READABLE = 8  # characters by which a damaged text is recognized

_always: set[str] = set()  # masters made while modules were imported
_masters: set[str] = set()  # those made by the running test, and _always
_places: list[str] = []  # where the running test showed one
_is_running = False


def watch(master: str) -> str:
    """Note a master, and return it."""
    _masters.add(master)
    if not _is_running:
        _always.add(master)
    return master


def look(place: str, content: str | bytes) -> None:
    """Note a place if a master is in what was shown there."""
    if content and _masters and place not in _places:
        data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
        if any(trace in data for master in _masters for trace in traces(master)):
            _places.append(place)


@functools.lru_cache(maxsize=10_000)
def traces(master: str) -> tuple[bytes, ...]:
    """Return all that only somebody who has read a master can write."""
    encoded = master.partition("-")[2].rstrip("=").encode()
    macaroon = base64.urlsafe_b64decode(encoded + b"=" * (-len(encoded) % 4))
    signature = macaroon[-33:-1] if macaroon[-43:-33] == b"signature " else macaroon[-32:]  # version 1 or 2
    text = encoded[-40:]  # the last 30 bytes of the master
    spellings = {signature, text, repr(signature)[2:-1].encode()}
    decoded = signature.decode(errors="replace")  # as pytest captures bytes that are not UTF-8
    if len(decoded.replace("\N{REPLACEMENT CHARACTER}", "")) >= _MIN_READABLE:
        spellings.add(decoded.encode())
    for secret in (signature, text):
        spellings |= {secret.hex().encode(), secret.hex().upper().encode()}
        spellings |= {core.replace(b"-", b"+").replace(b"_", b"/") for core in base64_cores(secret)}
        spellings |= set(base64_cores(secret))
    return tuple(spellings)


def base64_cores(secret: bytes) -> Iterator[bytes]:
    """Return how base64 shows a secret, whatever stands before and behind it."""
    for before in range(3):
        encoded = base64.urlsafe_b64encode(bytes(before) + secret)
        yield encoded[-(-before * 8 // 6) : (before + len(secret)) * 8 // 6]


def pytest_configure(config: pytest.Config) -> None:
    """Watch what makes masters and what reads output."""
    config.addinivalue_line("markers", "shows_master(reason): a master may appear in what this test shows")
    for maker in (Token, IndexProcess, LoopbackIndex):
        _observe(maker, "create" if maker is Token else "create_master", _watch_result)
    _observe(pytest.CaptureFixture, "readouterr", _look_at_outputs)
    _observe(subprocess.Popen, "communicate", _look_at_outputs)
    pytest.raises = functools.wraps(pytest.raises)(functools.partial(_Raises, pytest.raises))  # type: ignore[assignment]


def _watch_result(made: str | Token) -> None:
    if isinstance(made, str):
        watch(made)
    elif made._macaroon is not None:
        watch(made.dump())


def _look_at_outputs(outputs: tuple[str | bytes | None, ...]) -> None:
    for place, content in zip(("stdout", "stderr"), outputs, strict=True):
        look(place, content or "")


def _observe(owner: Any, name: str, observer: Any) -> None:
    """Call an observer with all that a method returns."""
    method = vars(owner)[name]
    function = getattr(method, "__func__", method)

    @functools.wraps(function)
    def observed(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        observer(result)
        return result

    setattr(owner, name, classmethod(observed) if isinstance(method, classmethod) else observed)


class _Raises:
    """Is `pytest.raises`, and looks at the traceback that it swallows."""

    def __init__(self, raises: Any, *args: Any, **kwargs: Any) -> None:
        self._context = raises(*args, **kwargs)

    def __enter__(self) -> Any:
        return self._context.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> Any:
        if error is not None:
            _look_at_frames(error)
        return self._context.__exit__(kind, error, at)


def _look_at_frames(error: BaseException) -> None:
    """Look at the locals of the package's frames, in the traceback of an error and of those it came from."""
    seen: set[int] = set()
    errors: list[BaseException | None] = [error]
    while errors:
        error = errors.pop()  # type: ignore[assignment]
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        errors += [error.__cause__, error.__context__]
        traceback = error.__traceback__
        while traceback is not None:
            frame = traceback.tb_frame
            module = str(frame.f_globals.get("__name__"))
            if module.partition(".")[0] == "keyring_pypitoken":
                for name, value in frame.f_locals.items():
                    place = f"local {name} of {module}.{frame.f_code.co_name}"
                    look(place, value if isinstance(value, (str, bytes)) else _repr(value))
            traceback = traceback.tb_next


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - an object that is half made may raise anything
        return ""


def _look_at_files(root: Path) -> None:
    for directory, directories, files in os.walk(root):
        path = Path(directory)
        if "pyvenv.cfg" in files or path == root / _STORES:
            directories.clear()
            continue
        for name in files:
            file = path / name
            if file.is_file() and not file.is_symlink() and file.stat().st_size <= _MAX_FILE:
                try:
                    look(f"file {file.relative_to(root)}", file.read_bytes())
                except PermissionError:  # the test took the right to read it away
                    continue


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Begin each test with the masters that were made before all of them."""
    global _is_running  # noqa: PLW0603 - pytest runs one test at a time
    _masters.clear()
    _masters.update(_always)
    _places.clear()
    _is_running = True
    try:
        return (yield)
    finally:
        _is_running = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Look at the warnings of a test, and pass them on."""
    with warnings.catch_warnings(record=True) as seen:
        result = yield
    for warning in seen:
        look("warning", str(warning.message))
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail the phase of a test in which a master was shown."""
    report = yield
    if call.excinfo is not None:
        _look_at_frames(call.excinfo.value)
    for title, content in report.sections:
        look(title, content)
    root = getattr(item, "funcargs", {}).get("tmp_path")
    if call.when == "call" and root is not None:
        _look_at_files(root)
    problem = ""
    mark = item.get_closest_marker("shows_master")
    if mark is None:
        problem = f"A master was shown: {', '.join(_places)}" if _places else ""
    elif call.when == "call" and not mark.args:
        problem = "shows_master needs a reason"
    elif call.when == "call" and report.passed and not _places:
        problem = "This test is marked shows_master, but shows none"
    if problem:
        report.outcome = "failed"
        report.longrepr = report.longrepr or problem
        report.sections.append(("canary", problem))
    if mark is None:
        _places.clear()
    return report
