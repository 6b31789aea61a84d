"""An age plugin for the tests, as a YubiKey's would be: it tells to touch it, asks for a PIN, and opens what it made.

It speaks the protocol of age's plugins, version 1, on stdin and stdout (C2SP, `age-plugin.md`). "Encryption" is an
exclusive or, and the identity tells how it behaves: `AGE-PLUGIN-DEMO-1...`.
`DEMO_PLUGIN` sets what it does: `touch` (the default), `pin`, `confirm`, or `refuse`.
"""

from __future__ import annotations

import base64
import os
import sys

COLUMNS = 64  # of a stanza's body; a shorter line ends it


def read() -> tuple[list[str], bytes]:
    """Read a stanza: its arguments and its body."""
    arguments = sys.stdin.readline().split()[1:]
    body = ""
    while True:
        line = sys.stdin.readline().rstrip("\n")
        body += line
        if len(line) < COLUMNS:
            return arguments, base64.b64decode(body + "=" * (-len(body) % 4))


def write(*arguments: str, body: bytes = b"") -> None:
    """Write a stanza."""
    text = base64.b64encode(body).rstrip(b"=").decode()
    lines = [text[at : at + COLUMNS] for at in range(0, len(text) + 1, COLUMNS)]
    sys.stdout.write("\n".join([" ".join(("->", *arguments)), *lines]) + "\n")
    sys.stdout.flush()


def turned(key: bytes) -> bytes:
    """Encrypt or decrypt."""
    return bytes(byte ^ 0x55 for byte in key)


def allowed() -> bool:
    """Ask for whatever is wanted before a key is released."""
    mode = os.environ.get("DEMO_PLUGIN", "touch")
    if mode == "touch":
        write("msg", body=b"touch the demo key")
        return read()[0] == ["ok"]
    if mode == "confirm":
        write("confirm", base64.b64encode(b"yes").rstrip(b"=").decode(), body=b"release the key?")
        return read()[0] == ["ok", "yes"]
    if mode == "name":
        write("request-public", body=b"name of the key")
        return read() == (["ok"], b"demo")
    write("request-secret", body=b"PIN of the demo key")
    return mode == "pin" and read() == (["ok"], b"1234")


def main() -> None:
    """Wrap a file key, or unwrap one."""
    given = [read()]
    while given[-1][0] != ["done"]:
        given.append(read())
    if sys.argv[1] == "--age-plugin=recipient-v1":
        for arguments, body in given:
            if arguments[0] == "wrap-file-key":
                write("recipient-stanza", "0", "demo", "argument", body=turned(body))
                read()
    else:
        stanzas = [(a, body) for a, body in given if a[0] == "recipient-stanza" and a[2] == "demo"]
        if stanzas and allowed():
            write("file-key", "0", body=turned(stanzas[0][1]))
            read()
    write("done")


main()
