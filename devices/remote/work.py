"""One command in a folder of its own: what it reads is sent and what it writes comes back, in one round trip.

A launch costs what a command costs. Where one of the short ways fails the long one is gone, which
works, or says why it cannot.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from devices.base import (
    CommandTimeoutError,
    Completed,
    DeviceError,
    NotBroughtBackError,
    TransientDeviceError,
)
from devices.remote import commands, files
from devices.remote.command_script import Command
from devices.remote.shell import Shell, quote, quoted_path
from devices.remote.transport import Sink

LINE_BYTES = 32 * 1024
"""What a line may hold, as it is quoted, besides our script: adb takes 64 KiB, execve(2) words of 128."""


def work(
    shell: Shell, command: Command, texts: Mapping[str, str], *, local: Path, timeout_s: float
) -> Completed:
    """Run `command` in its `cwd`, made with `texts` in it; the folder becomes `local` and goes from there.

    Raises as commands.run does, and NotBroughtBackError.
    """
    folder = command.cwd
    whole = replace(command, after=_bring(folder))
    try:
        ran = _run(shell, whole, texts, timeout_s)
    except TransientDeviceError:
        raise  # what is left there goes when the device is opened the next time
    except DeviceError as error:
        if isinstance(error, CommandTimeoutError):
            with suppress(DeviceError):
                files.pull(shell, folder, local)
        _remove(shell, folder)
        raise
    _receive(shell, folder, local, ran)
    return ran.command


def _run(shell: Shell, command: Command, texts: Mapping[str, str], timeout_s: float) -> commands.Ran:
    words = (*texts.values(), *command.argv, *command.env.values())
    if sum(len(os.fsencode(quote(quote(word)))) for word in words) <= LINE_BYTES:
        prepared = replace(command, before=_prepare(command.cwd, texts))
        with suppress(commands.NotPreparedError):
            return commands.run_whole(shell, prepared, timeout_s=timeout_s)
    _push(shell, command.cwd, texts)
    return commands.run_whole(shell, command, timeout_s=timeout_s)


def _receive(shell: Shell, folder: str, local: Path, ran: commands.Ran) -> None:
    after = ran.after
    try:
        if after is None:
            files.pull(shell, folder, local)
            _remove(shell, folder)
            return

        def call(sink: Sink) -> Completed:
            sink(after.stdout)
            return replace(after, stdout=b"")

        files.receive(shell, folder, local, call)
    except TransientDeviceError:
        raise
    except DeviceError as error:
        raise NotBroughtBackError(str(error), ran.command) from error


def _prepare(folder: str, texts: Mapping[str, str]) -> str:
    place = quoted_path(folder)
    written = [f"printf %s {quote(text)} >{place}/{quote(name)}" for name, text in texts.items()]
    return " && ".join([f"mkdir -p {place}", *written])


def _bring(folder: str) -> str:
    # A folder that cannot be removed must not cost what was measured in it.
    return f"{files.pull_script(folder)} || exit $?\ncd / && rm -rf {quoted_path(folder)} || :"


def _push(shell: Shell, folder: str, texts: Mapping[str, str]) -> None:
    with TemporaryDirectory(prefix="pocketbench-") as scratch:
        for name, text in texts.items():
            Path(scratch, name).write_text(text)
        files.push(shell, Path(scratch), folder)


def _remove(shell: Shell, folder: str) -> None:
    with suppress(DeviceError):
        shell.call(f"rm -rf {quoted_path(folder)}", attempted=f"remove {folder}")
