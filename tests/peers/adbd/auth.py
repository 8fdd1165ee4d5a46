"""Who may use the device: RSA keys in Android's form (AOSP packages/modules/adb, protocol.txt, AUTH)."""

import base64
import binascii
import os
import struct
from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

TOKEN, SIGNATURE, PUBLIC_KEY = 1, 2, 3
"""The first argument of an AUTH message."""
TOKEN_BYTES = 20
_KEY = struct.Struct("<2I256s256sI")


class Authority:
    """The keys a phone accepts: `Authority.open()` asks for none; without keys nobody is authorised.

    A key that is not known and offered waits in `offered` until somebody taps Allow: `allow(key)`.
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self.is_open = False
        self.offered: list[str] = []
        self._allowed = {_body(key): parse_public_key(key) for key in keys}

    @classmethod
    def open(cls) -> "Authority":
        """What an emulator does."""
        authority = cls()
        authority.is_open = True
        return authority

    def allow(self, key: str) -> None:
        """Accept a public key, as it stands in `adbkey.pub`."""
        self._allowed[_body(key)] = parse_public_key(key)

    def revoke(self) -> None:
        """Forget all keys, as `Revoke USB debugging authorisations` does."""
        self._allowed.clear()
        self.is_open = False

    def accepts_signature(self, token: bytes, signature: bytes) -> bool:
        """Whether an allowed key signed this token; the token stands for a SHA-1 digest."""
        return any(_is_signed_by(key, token, signature) for key in self._allowed.values())

    def accepts_key(self, key: str) -> bool:
        """Whether the offered key is allowed; if not, it waits."""
        if key not in self.offered:
            self.offered.append(key)
        return _body(key) in self._allowed


def new_token() -> bytes:
    """What a client must sign."""
    return os.urandom(TOKEN_BYTES)


def parse_public_key(text: str) -> rsa.RSAPublicKey:
    """The key of a line `BASE64 user@host`; raises ValueError."""
    try:
        words, _, modulus, _, exponent = _KEY.unpack(base64.b64decode(_body(text)))
    except (binascii.Error, struct.error) as error:
        raise ValueError(f"no public key of adb's: {error}") from error
    if words != 64:
        raise ValueError(f"a key of {words * 32} bits, 2048 wanted")
    return rsa.RSAPublicNumbers(exponent, int.from_bytes(modulus, "little")).public_key()


def _body(text: str) -> str:
    return text.strip("\0\n ").split(" ")[0]


def _is_signed_by(key: rsa.RSAPublicKey, token: bytes, signature: bytes) -> bool:
    try:
        key.verify(signature, token, padding.PKCS1v15(), Prehashed(hashes.SHA1()))  # noqa: S303 - the protocol's
    except InvalidSignature:
        return False
    return True
