"""This computer's keys, where Google's adb has them, so that a phone that trusts the one trusts the other.

Source: AOSP, packages/modules/adb/client/auth.cpp.
"""

import base64
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from adb_shell.auth import keygen
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

_log = logging.getLogger(__name__)

VENDOR_KEYS = "ADB_VENDOR_KEYS"
"""Environment variable: more keys, files or folders of `*.adb_key`."""


KEY_BITS = 2048


class KeyFileError(Exception):
    """A file is no private key that can be read; the text says which and why."""


class Key:
    """A private RSA key in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            # TypeError is cryptography's word for a passphrase that is missing.
            reason = error.strerror if isinstance(error, OSError) else "it is no PEM without a passphrase"
            raise KeyFileError(f"{path} is no private key that can be read ({reason})") from error
        if not isinstance(key, rsa.RSAPrivateKey):
            raise KeyFileError(f"{path} is no RSA key, which is all that adb uses")
        if key.key_size != KEY_BITS:
            raise KeyFileError(f"{path} has {key.key_size} bits, and adb's keys have {KEY_BITS}")
        self._key = key

    def sign(self, token: bytes) -> bytes:
        """The token is signed as if it were a digest."""
        return self._key.sign(token, padding.PKCS1v15(), utils.Prehashed(hashes.SHA1()))  # noqa: S303 - adb's

    def public(self) -> bytes:
        """As it stands in `adbkey.pub`; made from the private one, whose neighbour may be missing."""
        return bytes(base64.b64encode(keygen.encode_pubkey(str(self.path))) + keygen.get_user_info().encode())


def load_keys(key_file: str | None = None) -> list[Key]:
    """The keys to offer, in order: `key_file`, or the user's own, made if need be, and the vendor's.

    Raises KeyFileError for the first; others that cannot be read are left out.
    """
    if key_file is not None:
        return [Key(Path(key_file).expanduser())]
    own = Path("~/.android/adbkey").expanduser()
    try:
        if not own.exists():
            make_key(own)
    except OSError as error:  # a folder that an adb of root's has made
        raise KeyFileError(f"{own} cannot be read ({error.strerror})") from error
    return [Key(own), *_vendor_keys()]


def make_key(path: Path) -> None:
    """Make a pair as `adb keygen` does, unless another process is faster; raises KeyFileError."""
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".adbkey-") as private:
            made = Path(private) / "adbkey"
            keygen.keygen(str(made))
            made.chmod(0o600)
            with suppress(FileExistsError):
                path.hardlink_to(made)
                made.with_suffix(".pub").replace(path.with_suffix(".pub"))
    except OSError as error:
        raise KeyFileError(f"{path} cannot be made: {error.strerror}") from error
    _log.info("%s: made a key for phones to know this computer by", path)


def _vendor_keys() -> Iterator[Key]:
    for name in filter(None, os.environ.get(VENDOR_KEYS, "").split(os.pathsep)):
        path = Path(name)
        try:
            files = sorted(path.glob("*.adb_key")) if path.is_dir() else [path]
        except OSError:
            files = [path]  # which cannot be read either, and is told
        for file in files:
            try:
                yield Key(file)
            except KeyFileError as error:
                _log.warning("%s: %s", VENDOR_KEYS, error)
