"""One command line in several processes, and what keeps them together: signals, failures, a smaller batch."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryFile
from types import FrameType

from ..blocks.errors import InputError
from .interruption import SIGNALS

SHORT_OF_MEMORY = 75  # exit code of a process that wants all to begin again; "temporary failure" of sysexits.h
BEREFT = 76  # exit code of one that ends because another did
GRACE_SECONDS = 20.0  # that the others have to end by themselves after one has failed

Child = subprocess.Popen[bytes]


def launch(devices: str, arguments: Sequence[str], again: Callable[[], Sequence[str]]) -> int:
    """Run a command line of catscale once for each device, and give the first exit code that is not 0.

    The processes do not belong to the terminal's group: a signal reaches them through this one, each as often as it
    came. None outlives this one, unless it is killed. What goes wrong in all is said once: the others are heard only
    where the first one ended without a reason of its own.

    Args:
        devices: numbers of CUDA devices with commas between, or `cpu,cpu` for processes on the processor.
        arguments: of `catscale`, without `--devices`.
        again: asked where one ran out of memory and all have ended: the arguments to begin again with.

    Raises:
        InputError: the list is none.
    """
    names = [name.strip() for name in devices.split(",")]
    cpu = all(name == "cpu" for name in names)
    if not cpu and not all(name.isdecimal() for name in names):
        raise InputError(f"--devices {devices}: give numbers of CUDA devices as in 0,1, or cpu,cpu")
    visible = {} if cpu else {"CUDA_VISIBLE_DEVICES": ",".join(names)}
    places = ["cpu" if cpu else f"cuda:{rank}" for rank in range(len(names))]
    while (code := _together(places, arguments, visible)) == SHORT_OF_MEMORY:
        arguments = again()
    return code


def _together(places: Sequence[str], arguments: Sequence[str], visible: dict[str, str]) -> int:
    """Run a process for each place to its end; the first exit code that is not 0."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(len(places))}
    children: list[Child] = []
    with _passing_signals_to(children), TemporaryFile() as errors:
        try:
            for rank, place in enumerate(places):
                command = [sys.executable, "-m", "catscale.cli", *arguments, "--device", place]
                env = {**os.environ, **shared, **visible, "RANK": str(rank), "LOCAL_RANK": str(rank)}
                said = errors if rank else None
                children.append(subprocess.Popen(command, env=env, stderr=said, process_group=0))
            code = _wait(children)
        finally:
            _end(children)
        if children[0].returncode in (BEREFT, -signal.SIGTERM, -signal.SIGKILL):
            errors.seek(0)
            sys.stderr.write(errors.read().decode(errors="replace"))
        return code


@contextmanager
def _passing_signals_to(children: Sequence[Child]) -> Iterator[None]:
    def pass_on(number: int, frame: FrameType | None) -> None:
        for child in children:
            child.send_signal(number)  # nothing where it has ended

    before = {number: signal.signal(number, pass_on) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(children: Sequence[Child]) -> int:
    """Until all have ended, or some time after one has failed. Who is short of memory speaks for all."""
    left, codes, deadline = list(children), list[int](), float("inf")
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        for child in [child for child in left if child.poll() is not None]:
            left.remove(child)
            codes.append(child.returncode)
            # One that was asked to end leaves before the first has saved the state, which may be long.
            if child.returncode and child.returncode not in {128 + number for number in SIGNALS}:
                deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
    if SHORT_OF_MEMORY in codes:
        return SHORT_OF_MEMORY
    killed = [-code for code in codes if code < 0]
    if killed:
        name = signal.Signals(killed[0]).name
        sys.stderr.write(f"error: one of {len(children)} processes was ended by {name}; what was saved is whole\n")
    return next((128 - code if code < 0 else code for code in codes if code and code != BEREFT), int(any(codes)))


def _end(children: Sequence[Child]) -> None:
    """End who is left: one that waits for a device does not hear a polite signal."""
    for child in children:
        child.terminate()
    for child in children:
        try:
            child.wait(GRACE_SECONDS / 4)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
