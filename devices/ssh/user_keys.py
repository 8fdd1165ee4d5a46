"""Proving who we are: the keys that may be offered, in which order, and what to do when none is taken."""

import os
import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import paramiko

from devices.base import DeviceError, TransientDeviceError
from devices.ssh.routes import Route

_DEFAULT_NAMES = ("id_ed25519", "id_ecdsa", "id_rsa")


class _KeyFiles:
    """The identity files of a hop, sorted by what they are good for."""

    def __init__(self, hop: Route) -> None:
        paths = [Path(name) for name in hop.identity_files]
        if not paths:
            folder = Path("~/.ssh").expanduser()
            paths = [folder / name for name in _DEFAULT_NAMES if (folder / name).is_file()]
        self.paths = paths
        self.usable: list[paramiko.PKey] = []
        self.public: set[bytes] = set()
        self.locked: list[Path] = []
        self.broken: list[str] = []
        for path in paths:
            self._sort(path)

    def _sort(self, path: Path) -> None:
        public = _public_part(path)
        if public is not None:
            self.public.add(public)
        if path.suffix == ".pub":
            return  # names a key of the agent's
        try:
            self.usable.append(paramiko.PKey.from_path(path))
        except (paramiko.PasswordRequiredException, TypeError):
            self.locked.append(path)  # cryptography's word for a missing passphrase is TypeError
        except (paramiko.SSHException, paramiko.pkey.UnknownKeyType, OSError, ValueError) as error:
            self.broken.append(f"{path} is no private key that can be read ({error})")


def authenticate(device: str, hop: Route, transport: paramiko.Transport) -> None:
    """Log in with the first key that is taken; raises DeviceError, TransientDeviceError."""
    files = _KeyFiles(hop)
    refused = 0
    with _agent_keys() as agent:
        for key in _in_order(hop, files, agent):
            if _is_taken(device, hop, transport, key):
                return
            refused += 1
            if not transport.is_active():
                if refused > 1:
                    break  # it hung up: it lets nobody try so often
                raise TransientDeviceError(
                    f"{device}: {hop} hung up while we logged in; is it still starting?"
                )
    raise DeviceError(f"{device}: {_refusal(hop, files, refused)}")


def _in_order(hop: Route, files: _KeyFiles, agent: list[paramiko.AgentKey]) -> Iterator[paramiko.PKey]:
    """Named keys first: servers hang up after a handful, and agents hold many."""
    named = {key.asbytes() for key in files.usable}
    yield from files.usable
    yield from (key for key in agent if key.asbytes() in files.public - named)
    if not hop.identities_only:
        yield from (key for key in agent if key.asbytes() not in files.public | named)


def _is_taken(device: str, hop: Route, transport: paramiko.Transport, key: paramiko.PKey) -> bool:
    try:
        further = transport.auth_publickey(hop.user, key)
    except paramiko.BadAuthenticationType as error:
        raise DeviceError(
            f"{device}: {hop} takes no keys, only {', '.join(error.allowed_types)}: "
            "set `PubkeyAuthentication yes` in its sshd_config"
        ) from error
    except paramiko.AuthenticationException as error:
        if "timeout" in str(error).lower():
            raise TransientDeviceError(f"{device}: {hop} did not answer while we logged in") from error
        return False
    except (paramiko.SSHException, OSError, EOFError):
        return False  # such as a key whose use the agent denies, or a line that broke: seen by the caller
    if further:
        raise DeviceError(f"{device}: {hop} took our key and wants {', '.join(further)} too: not supported")
    return True


def _refusal(hop: Route, files: _KeyFiles, refused: int) -> str:
    """What happened and what mends it."""
    if files.locked:
        path = files.locked[0]
        command = shlex.join(["ssh-add", str(path)])
        return f"the key {path} for {hop} has a passphrase: load it into your agent with {command}"
    if files.broken:
        return f"{files.broken[0]}: correct `identity_file` in its file"
    copy = shlex.join(["ssh-copy-id", *hop.openssh_words()])
    if not refused:
        return f"there is no key to log in to {hop} with: make one with ssh-keygen -t ed25519, then {copy}"
    names = ", ".join(map(str, files.paths))
    others = "" if hop.identities_only else "the agent's"
    keys = " and ".join(filter(None, (names, others)))
    return (
        f"{hop} does not take any of our keys ({keys}; {refused} tried): add one with {copy}, or correct "
        "`user` and `identity_file` in its file"
    )


def _public_part(path: Path) -> bytes | None:
    beside = path if path.suffix == ".pub" else path.with_name(f"{path.name}.pub")
    try:
        blob: bytes = paramiko.pkey.PublicBlob.from_file(str(beside)).key_blob
    except (OSError, ValueError):
        return None
    return blob


@contextmanager
def _agent_keys() -> Iterator[list[paramiko.AgentKey]]:
    """The keys of the agent, if there is one; what is not there or does not answer has none."""
    address = os.environ.get("SSH_AUTH_SOCK")
    if not address or not _is_listening(address):
        yield []
        return
    try:
        agent = paramiko.Agent()
    except (paramiko.SSHException, OSError):
        yield []
        return
    try:
        yield list(agent.get_keys())
    finally:
        with suppress(OSError):
            agent.close()


def _is_listening(address: str) -> bool:
    """Whether anybody is: paramiko leaves a socket open when nobody is, as after a reboot inside tmux."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(address)
        except OSError:
            return False
    return True
