"""What is never printed: passwords in addresses, and the tokens that a user has for a hub."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_PASSWORD: Final = re.compile(r"(?<=://)[^/?#\s]*@")


def has_password(address: str) -> bool:
    """Whether a user's name or password stands before the host of an address (RFC 3986, section 3.2.1)."""
    return _PASSWORD.search(address) is not None


def without_passwords(text: str) -> str:
    """`text` whose addresses have `(password)@` where a user's name or password stood."""
    return _PASSWORD.sub("(password)@", text)


def without_tokens(text: str) -> str:
    """`text` without the user's tokens for hubs, whatever put them there."""
    for token in _tokens():
        text = text.replace(token, "(token)")
    return text


def _tokens() -> Iterator[str]:
    """Tokens where huggingface_hub looks for them: in the environment, and in what `hf auth login` wrote.

    https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables has the places.
    """
    given = [os.environ.get(name, "") for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")]
    # Nobody has logged in, it is nothing to show a hub, or there is no home.
    with suppress(OSError, UnicodeDecodeError, RuntimeError):
        given.append(_token_file().read_text("utf-8"))
    yield from filter(None, (token.strip() for token in given))


def _token_file() -> Path:
    caches = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("HF_HOME", str(Path(caches, "huggingface")))
    path = os.environ.get("HF_TOKEN_PATH", str(Path(home, "token")))
    return Path(os.path.expandvars(path)).expanduser()
