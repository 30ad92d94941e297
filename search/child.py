"""A trial in a process of its own, so that its memory is given back, and that whatever kills it kills nothing else.

The task is written to the child as a line of JSON; it answers with lines on a pipe: {"figures"}, {"epoch"}, which waits
for a line that says why to stop, or is empty, and {"outcome"}. When the worker is gone, its end of the pipe closes, and
the child saves its state and ends. It holds its worker's lease meanwhile.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

from ..scaler.documents import parse
from ..scaler.zoo import load
from ..trainer.recipe import Recipe
from ..trainer.run_folder import EpochRow
from ..trainer.warm_start import WarmStart
from .outcomes import Outcome, death
from .study import Study
from .trial import OnEpoch, OnFigures, Task

POLL_S = 0.2  # how often a worker looks whether it is to hand back its trial
SAVING_S = 60.0  # that a child has to save its state, before it is killed


def run_in_child(
    task: Task,
    on_figures: OnFigures,
    on_epoch: OnEpoch,
    *,
    stopping: Callable[[], bool] = lambda: False,
    lost: Callable[[], bool] = lambda: False,
    lease: int | None = None,
    environment: dict[str, str] | None = None,
    log: Path | None = None,
) -> Outcome:
    """Do a trial's work in a fresh process.

    Args:
        task: what there is to do.
        on_figures: is told what has been measured.
        on_epoch: is told each epoch, and says why to stop, or nothing.
        stopping: whether the child is to save its state and end.
        lost: whether the trial has been given to another worker: the child is killed.
        lease: the descriptor of the worker's lease, which the child holds too.
        environment: what the child has in its environment beyond this process's.
        log: what the child writes on stderr; removed where that is nothing.

    Raises:
        KeyboardInterrupt: after the child has saved its state.
    """
    interrupted = False
    reading, writing = os.pipe()
    with ExitStack() as stack:
        errors = subprocess.DEVNULL
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            errors = stack.enter_context(log.open("wb"))
        process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, str(writing)],
            stdin=subprocess.PIPE,
            stderr=errors,
            pass_fds=(writing, *([lease] if lease is not None else [])),
            env={**os.environ, **(environment or {})},
            start_new_session=True,  # Ctrl-C reaches the worker, which asks the child
        )
        os.close(writing)
        stack.callback(_ended, process)
        answers = stack.enter_context(os.fdopen(reading, "rb"))
        _write(process, json.dumps(task.document()))
        told: Outcome | None = None
        asked = False
        lines = _Lines(answers.fileno())
        while True:
            try:
                if lost():
                    process.kill()
                if not asked and (interrupted or stopping()):
                    asked = True
                    process.terminate()
                    timer = threading.Timer(SAVING_S, process.kill)
                    timer.start()
                    stack.callback(timer.cancel)
                if (line := lines.next()) is None:
                    if lines.over:
                        break
                    continue
                message = json.loads(line)
                if "figures" in message:
                    on_figures(message["figures"])
                elif "epoch" in message:
                    _write(process, on_epoch(EpochRow(**message["epoch"])).replace("\n", " "))
                else:
                    told = Outcome(**message["outcome"])
            except KeyboardInterrupt:
                interrupted = True
        returncode = process.wait()
    if log is not None and log.stat().st_size == 0:
        log.unlink()
    outcome = told or Outcome("interrupted" if asked else "died", death(returncode))
    if interrupted and outcome.kind == "interrupted":
        raise KeyboardInterrupt
    return outcome


class _Lines:
    """Lines of a pipe as they come; an interrupt while one is waited for loses none."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.rest = b""
        self.over = False  # the other end is closed

    def next(self) -> str | None:
        """The next line, or None where there is none within `POLL_S`."""
        if b"\n" not in self.rest and select.select([self.descriptor], [], [], POLL_S)[0]:
            some = os.read(self.descriptor, 65536)
            self.over = not some
            self.rest += some
        if b"\n" not in self.rest:
            return None
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode()


def _write(process: "subprocess.Popen[bytes]", line: str) -> None:
    assert process.stdin
    with suppress(BrokenPipeError):
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()


def _ended(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.kill()
    with suppress(BrokenPipeError):
        process.communicate()


def read_task(document: dict[str, Any]) -> Task:
    """A task from plain data."""
    with TemporaryDirectory() as place:
        path = Path(place) / "architecture.yaml"
        path.write_text(document["architecture"], encoding="utf-8")
        architecture = load(str(path))
    return Task(
        **{
            **document,
            "folder": Path(document["folder"]),
            "study": parse(Study, document["study"], "task"),
            "recipe": parse(Recipe, document["recipe"], "task"),
            "architecture": architecture,
            "start": parse(WarmStart | None, document["start"], "task"),
        }
    )


def main() -> None:
    """Be the child."""
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers: SimpleQueue[str] = SimpleQueue()
    document = json.loads(sys.stdin.readline())
    threading.Thread(target=_listen, args=(answers,), daemon=True).start()
    with os.fdopen(int(sys.argv[1]), "w", encoding="utf-8") as telling:

        def tell(**message: Any) -> None:
            with suppress(BrokenPipeError):  # the worker is gone, and _listen has heard it
                telling.write(json.dumps(message) + "\n")
                telling.flush()

        def on_epoch(row: EpochRow) -> str:
            tell(epoch=asdict(row))
            return answers.get()

        try:
            outcome = _work(read_task(document), lambda figures: tell(figures=dict(figures)), on_epoch)
        except KeyboardInterrupt:
            outcome = Outcome("interrupted")
        except Exception as error:  # a mistake of ours: it must not end the study, and its trace is in the log
            traceback.print_exception(error)
            outcome = Outcome("failed", f"crashed: {type(error).__name__}: {error}")
        tell(outcome={"kind": outcome.kind, "reason": outcome.reason, "figures": dict(outcome.figures)})
    os._exit(0)  # the thread that listens may be waiting for a line


def _work(task: Task, on_figures: OnFigures, on_epoch: OnEpoch) -> Outcome:
    import torch

    from ..trainer.data.memory import images_shared
    from .study_data import open_study_data
    from .trial import attempt

    if task.threads:
        torch.set_num_threads(task.threads)
    with images_shared():
        return attempt(task, open_study_data(task.study), on_figures, on_epoch)


def _listen(answers: "SimpleQueue[str]") -> None:
    """Take the worker's answers; when it is gone, ask this process to save its state, and see to it that it ends."""
    for line in sys.stdin:
        answers.put(line.strip())
    os.kill(os.getpid(), signal.SIGTERM)
    answers.put("")
    threading.Event().wait(SAVING_S)
    os._exit(1)


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
