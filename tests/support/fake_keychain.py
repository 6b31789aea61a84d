"""macOS' keychain in memory, below keyring's own macOS backend and its own `api`: only `ctypes` is not the real one.

What it does is what Apple documents for SecItemCopyMatching, SecItemAdd and SecItemDelete: an item is named by service
and account, an empty account in a query is any, one that exists is not added again, and all that match are deleted.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from fake_vault import FakeVault
from keyring.backends import macOS

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

NOT_FOUND, DUPLICATE, NO_INTERACTION, DENIED, AUTH_FAILED = -25300, -25299, -25308, -128, -25293
_OK = 0


class _Constant(NamedTuple):
    """A constant of the Security framework, such as `kSecClass`."""

    name: str


class _PointerType(type):
    """Makes `c_void_p * 3` a function that makes an array."""

    def __mul__(cls, _length: int) -> Callable[..., tuple[object, ...]]:
        return lambda *items: items


class _Pointer(metaclass=_PointerType):
    """A `c_void_p`, which points to a Python object."""

    value: Any = None

    @staticmethod
    def in_dll(_library: object, name: str) -> _Constant:
        return _Constant(name)


class Keychain(FakeVault):
    """The generic passwords of one user."""

    name = "macOS"
    locked = dict.fromkeys(("SecItemCopyMatching", "SecItemAdd", "SecItemDelete"), NO_INTERACTION)
    denied = dict.fromkeys(locked, DENIED)

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put itself below keyring's backend, and that below ours."""
        super().__init__()
        monkeypatch.setattr(macOS, "api", self._load_api(), raising=False)
        monkeypatch.setattr(macOS, "platform", SimpleNamespace(system=lambda: "Darwin"))
        self.use(monkeypatch, macOS.Keyring)

    def entries(self) -> dict[tuple[str, str], str]:
        """Return the passwords by service and account."""
        return dict(self.content)

    def fail(self, name: str, code: int) -> NoReturn:
        """Nothing raises: a call returns its status."""
        raise NotImplementedError

    def call(self, name: str) -> None:
        """Let a call begin; its status comes from `_status`."""
        self.before(name)

    def _load_api(self) -> ModuleType:
        """Load keyring's `api` while `ctypes` is what this keychain makes of it."""
        library = SimpleNamespace(
            CFDictionaryCreate=lambda _, keys, values, *_others: dict(zip(map(_name, keys), values, strict=True)),
            CFStringCreateWithCString=lambda _, text, _encoding: text.partition(b"\0")[0].decode(),
            CFNumberCreate=lambda _, _kind, number: number,
            CFDataGetBytePtr=lambda data: data.value,
            CFDataGetLength=lambda data: len(data.value),
            # Unlike a method, a partial function takes the attributes `restype` and `argtypes`.
            SecItemAdd=functools.partial(self._add),
            SecItemCopyMatching=functools.partial(self._copy_matching),
            SecItemDelete=functools.partial(self._delete),
            kCFTypeDictionaryKeyCallBacks=None,
            kCFTypeDictionaryValueCallBacks=None,
        )
        fakes: dict[str, Any] = {"ctypes": ModuleType("ctypes"), "ctypes.util": ModuleType("ctypes.util")}
        vars(fakes["ctypes"]).update(
            CDLL=lambda _path: library,
            byref=lambda pointed: pointed,
            c_int32=int,
            c_uint32=int,
            c_void_p=_Pointer,
            string_at=lambda data, length: data[:length],
        )
        vars(fakes["ctypes.util"]).update(find_library=lambda name: name)
        spec = importlib.util.find_spec("keyring.backends.macOS.api")
        assert spec is not None
        assert spec.loader is not None
        api = importlib.util.module_from_spec(spec)
        before = {name: sys.modules.get(name) for name in fakes}
        sys.modules.update(fakes)
        try:
            spec.loader.exec_module(api)
        finally:
            for name, module in before.items():
                sys.modules.pop(name)
                if module is not None:
                    sys.modules[name] = module
        return api

    def _status(self, name: str) -> int:
        self.call(name)
        return self.failures.get(name, _OK)

    def _matching(self, query: dict[str, Any]) -> list[tuple[str, str]]:
        assert query["kSecClass"] == _Constant("kSecClassGenericPassword")
        service, account = query["kSecAttrService"], query["kSecAttrAccount"]
        return [key for key in self.content if key[0] == service and account in ("", key[1])]

    def _copy_matching(self, query: dict[str, Any], result: _Pointer) -> int:
        status = self._status("SecItemCopyMatching")
        keys = self._matching(query)
        if status == _OK and keys:
            result.value = self.content[keys[0]].encode()
        return status or (_OK if keys else NOT_FOUND)

    def _add(self, query: dict[str, Any], _result: None) -> int:
        status = self._status("SecItemAdd")
        key = query["kSecAttrService"], query["kSecAttrAccount"]
        if status == _OK and key not in self.content:
            self.content[key] = query["kSecValueData"]
            return _OK
        return status or DUPLICATE

    def _delete(self, query: dict[str, Any]) -> int:
        status = self._status("SecItemDelete")
        keys = self._matching(query)
        if status == _OK:
            for key in keys:
                del self.content[key]
        return status or (_OK if keys else NOT_FOUND)


def _name(constant: _Constant) -> str:
    return constant.name
