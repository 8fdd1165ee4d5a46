"""Whether a host is who it claims to be: known_hosts files as sshd(8) describes them.

paramiko's own reader knows no patterns, no revoked keys, one key of a kind per host, and stops at a bad line.
"""

import base64
import binascii
import hashlib
import hmac
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import paramiko

from devices.base import DeviceError
from devices.ssh.routes import Route

_ALGORITHMS = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
"""Key type -> what it is called when keys are exchanged, where that differs."""


@dataclass(frozen=True)
class KnownKey:
    """One line's key for a host."""

    kind: str
    blob: bytes
    path: Path
    revoked: bool = False


def known_keys(device: str, name: str, hop: Route) -> list[KnownKey]:
    """What the files of `hop` know about the host `name`; raises DeviceError when one cannot be read."""
    found = []
    for path in hop.known_hosts_files:
        if path.is_file():
            try:
                text = path.read_text(encoding="utf-8", errors="replace")
            except OSError as error:
                raise DeviceError(f"{device}: {path} cannot be read: {error.strerror}") from error
            found += list(_matching(name, text, path))
    return found


def preferred_algorithms(device: str, hop: Route, offered: Iterable[str]) -> list[str]:
    """The host key algorithms `offered`, first those of keys that are known: others could not be checked."""
    kinds = {known.kind for known in known_keys(device, hop.key_name, hop)}
    known = {name for kind in kinds for name in _ALGORITHMS.get(kind, (kind,))}
    plain = [name for name in offered if not name.endswith("@openssh.com")]
    return sorted(plain, key=lambda name: name not in known)


def check(device: str, hop: Route, key: paramiko.PKey, *, accept_new: bool) -> None:
    """Raise DeviceError unless `key` is the host's; with `accept_new` a host never seen is written down."""
    blob = key.asbytes()
    known = known_keys(device, hop.key_name, hop)
    if any(one.revoked and one.blob == blob for one in known):
        raise DeviceError(
            f"{device}: the host key of {hop.host}, {fingerprint(blob)}, is marked as revoked: "
            "somebody else may be answering"
        )
    known = [one for one in known if not one.revoked]
    if any(one.blob == blob for one in known):
        return
    if known:
        raise _changed(device, hop, known, key)
    # As OpenSSH does: a line without a port stands for every port.
    if any(one.blob == blob and not one.revoked for one in known_keys(device, hop.host, hop)):
        return
    if not accept_new:
        raise _unknown(device, hop, key)
    _remember(device, hop, key)


def fingerprint(blob: bytes) -> str:
    """`SHA256:...` of a public key as ssh-keygen -l writes it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _matching(name: str, text: str, path: Path) -> Iterator[KnownKey]:
    for line in text.splitlines():
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) < 3 or words[0].startswith("#") or marker not in {"", "@revoked"}:
            continue
        hosts, kind, encoded = words[:3]
        if _names(hosts, name.lower()):
            try:
                blob = base64.b64decode(encoded, validate=True)
            except binascii.Error:
                continue
            yield KnownKey(kind, blob, path, revoked=bool(marker))


def _names(hosts: str, name: str) -> bool:
    if hosts.startswith("|1|"):
        try:
            salt, digest = (base64.b64decode(part) for part in hosts[3:].split("|"))
        except ValueError:
            return False
        return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), digest)
    patterns = hosts.lower().split(",")
    if any(pattern.startswith("!") and _fits(pattern[1:], name) for pattern in patterns):
        return False
    return any(_fits(pattern, name) for pattern in patterns)


def _fits(pattern: str, name: str) -> bool:
    return bool(re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), name))


def _unknown(device: str, hop: Route, key: paramiko.PKey) -> DeviceError:
    kind = key.get_name().removeprefix("ssh-").partition("-")[0]
    command = shlex.join(["ssh", "-o", "StrictHostKeyChecking=accept-new", *hop.openssh_words(), "true"])
    return DeviceError(
        f"{device}: {hop.host} is unknown: its {key.get_name()} key is {fingerprint(key.asbytes())}. "
        f"If that is the board's (on it: ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub), accept it "
        f'with: {command} (or write host_key = "accept-new" in its file)'
    )


def _changed(device: str, hop: Route, known: list[KnownKey], key: paramiko.PKey) -> DeviceError:
    old = next((one for one in known if one.kind == key.get_name()), known[0])
    command = shlex.join(["ssh-keygen", "-f", str(old.path), "-R", hop.key_name])
    return DeviceError(
        f"{device}: the host key of {hop.host} has changed: {fingerprint(old.blob)} is known, "
        f"{fingerprint(key.asbytes())} came. If the board was installed anew: {command}; "
        "if not, somebody else is answering"
    )


def _remember(device: str, hop: Route, key: paramiko.PKey) -> None:
    if not hop.known_hosts_files:
        return
    path = hop.known_hosts_files[0]
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("a+b") as stream:
            stream.seek(max(0, stream.seek(0, 2) - 1))
            gap = b"" if stream.read(1) in {b"", b"\n"} else b"\n"
            stream.write(gap + f"{hop.key_name} {key.get_name()} {key.get_base64()}\n".encode())
    except OSError as error:
        raise DeviceError(
            f"{device}: the key of {hop.host} cannot be written to {path}: {error.strerror}"
        ) from error
