"""The beginning of a connection: who we are, whether the phone trusts us, what it can do.

Source: AOSP, packages/modules/adb/protocol.txt and docs/dev/auth.md.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adb_shell import constants

from devices.adb.keys import Key
from devices.adb.pipe import Pipe
from devices.adb.transport import CONNECT_TIMEOUT_S, NEEDED_FEATURE
from devices.adb.wire import AUTH, CNXN, MAX_PAYLOAD, STLS, VERSION, Message, NotAdbError, Wire

_BANNER = f"host::features={NEEDED_FEATURE}".encode()


class WantsTlsError(Exception):
    """The phone was paired by `adb pair` and speaks TLS only."""


class UntrustedError(Exception):
    """The phone takes none of our keys, and nobody said yes to its question in time."""


@dataclass(frozen=True, kw_only=True)
class Banner:
    """What a phone says of itself when it lets us in; `state` as `adb devices` calls it."""

    state: str
    features: Sequence[str]


def shake_hands(
    wire: Wire,
    pipe: Pipe,
    load_keys: Callable[[], Sequence[Key]],
    *,
    on_question: Callable[[], None],
    question_timeout_s: float,
) -> Banner:
    """Get in; keys are loaded when the phone asks for one.

    When it takes none, the first is offered to whoever looks at its screen: `on_question` is called, and the
    answer waited for. Raises WantsTlsError, UntrustedError, OSError: TimeoutError for a phone that is silent.
    """
    pipe.limit(CONNECT_TIMEOUT_S)
    wire.send(Message(CNXN, VERSION, MAX_PAYLOAD, (memoryview(_BANNER),)))
    answer = wire.receive()
    if answer.command == AUTH:
        answer = _prove(wire, answer, list(load_keys()), pipe, on_question, question_timeout_s)
    if answer.command == STLS:
        raise WantsTlsError
    if answer.command != CNXN:
        raise NotAdbError(f"it answers with {answer.command!r}")
    pipe.limit(None)
    wire.agree(version=answer.arg0, max_payload=answer.arg1)
    return _parse(_joined(answer))


def _prove(
    wire: Wire,
    answer: Message,
    keys: list[Key],
    pipe: Pipe,
    on_question: Callable[[], None],
    question_timeout_s: float,
) -> Message:
    """Sign with one key after the other until the phone says something else."""
    for key in keys:
        signature = key.sign(_joined(answer))
        wire.send(Message(AUTH, constants.AUTH_SIGNATURE, 0, (memoryview(signature),)))
        answer = wire.receive()
        if answer.command != AUTH:
            return answer
    public = keys[0].public() + b"\0"
    wire.send(Message(AUTH, constants.AUTH_RSAPUBLICKEY, 0, (memoryview(public),)))
    on_question()
    deadline = time.monotonic() + question_timeout_s
    try:
        while answer.command == AUTH:
            pipe.limit(max(0.001, deadline - time.monotonic()))
            answer = wire.receive()
    except OSError as error:  # also when it hangs up, as after a no
        raise UntrustedError from error
    return answer


def _parse(banner: bytes) -> Banner:
    """`device::ro.product.name=panther;features=shell_v2,cmd`."""
    state, _, rest = banner.rstrip(b"\0").decode(errors="replace").partition(":")
    words = rest.rpartition(":")[2].split(";")
    told = next((word.removeprefix("features=") for word in words if word.startswith("features=")), "")
    return Banner(state=state, features=told.split(","))


def _joined(message: Message) -> bytes:
    return b"".join(message.payload)
