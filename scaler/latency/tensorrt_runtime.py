"""Graphs run by TensorRT, through NVIDIA's command `trtexec`. Standard library alone; no torch.

Source of the file of times: github.com/NVIDIA/TensorRT, samples/common/sampleReporting.cpp, `exportJSONTrace`.
"""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ...blocks.errors import CatscaleError, InputError
from .gpus import cuda_name, find_gpu
from .graph_files import check_forward, prepared, refuse_dtype
from .protocol import Protocol
from .runtimes import Prepared
from .stamp import RuntimeFacts

if TYPE_CHECKING:
    from ..architecture import Architecture

TRTEXEC = "trtexec"
FLAGS = {"fp32": ["--noTF32"], "tf32": [], "fp16": ["--fp16"], "bf16": ["--bf16"]}  # files are float32 always
DROPPED, KEPT = 10, 10  # runs of one start of the command: the first wake the device up
TOLD = 300  # characters of its last words that an error repeats
BUILD_S, RUN_S = 3600, 600  # the longest that it may take


@dataclass(slots=True)
class TensorRt:
    """`tensorrt`: an engine built by `trtexec`, which it then times by the device's events, without transfers."""

    folder: str | None = None  # of the engines, while `held`

    def find_device(self, device: str) -> str:
        if (found := "cuda:0" if device == "auto" else cuda_name(device)) is None:
            raise InputError(f"--device {device}: TensorRT is measured on cuda or cuda:N")
        return found

    def check(self, protocol: Protocol) -> None:
        find_trtexec()
        check_forward(protocol)
        refuse_dtype(protocol, tuple(FLAGS), "CUDA")
        if protocol.cold_cache:
            raise InputError("--cold-cache: trtexec has no such runs; use --runtime torch")

    def facts(self, protocol: Protocol) -> RuntimeFacts:
        gpu = find_gpu(protocol.device)
        return RuntimeFacts(gpu.name, {"tensorrt": _version()}, gpu=gpu.uuid)

    @contextmanager
    def held(self, protocol: Protocol) -> Iterator[None]:
        """It runs in processes of its own; engines stand in a folder until all are timed."""
        with tempfile.TemporaryDirectory(prefix="catscale-tensorrt-") as self.folder:
            yield
        self.folder = None

    def float16_files(self, protocol: Protocol) -> bool:
        return False

    def prepare(self, architecture: "Architecture", protocol: Protocol) -> Prepared:
        return prepared(self, architecture, protocol)

    def open(self, path: Path, protocol: Protocol) -> "TensorRtPrepared":
        """An engine of a file; building one takes minutes.

        Raises:
            MemoryError: the device has too little.
            CatscaleError: it cannot be built; with the command's own words.
        """
        assert self.folder, "engines are built while the runtime is held"
        device = f"--device={protocol.device.partition(':')[2]}"
        engine = Path(tempfile.mkdtemp(dir=self.folder)) / "engine"
        _trtexec(
            [f"--onnx={path}", f"--saveEngine={engine}", "--skipInference", *FLAGS[protocol.dtype], device], BUILD_S
        )
        return TensorRtPrepared(engine, device)


@dataclass
class TensorRtPrepared:
    """An engine; its runs are timed `KEPT` at a time, as each start of the command loads it anew."""

    engine: Path
    device: str
    taken: list[float] = field(default_factory=list)  # milliseconds, the next one last

    def run(self) -> float:
        if not self.taken:
            self.taken = self._timed()[::-1]
        return self.taken.pop()

    def _timed(self) -> list[float]:
        times = self.engine.with_name("times.json")
        _trtexec(
            [
                f"--loadEngine={self.engine}",
                f"--iterations={DROPPED + KEPT}",
                "--warmUp=0",
                "--duration=0",
                "--avgRuns=1",
                "--noDataTransfers",
                "--useSpinWait",
                f"--exportTimes={times}",
                self.device,
            ],
            RUN_S,
        )
        try:
            return parse_times(times.read_text(encoding="utf-8"))[-KEPT:]
        except OSError as error:
            raise CatscaleError(f"{TRTEXEC} wrote no times: {error.strerror}") from error


def parse_times(text: str) -> list[float]:
    """The milliseconds on the device of each run, from the text of `--exportTimes`.

    Raises:
        CatscaleError: it holds none.
    """
    try:
        times = [float(run["computeMs"]) for run in json.loads(text)]
    except (ValueError, KeyError, TypeError) as error:
        raise CatscaleError(f"{TRTEXEC} wrote times in a form that is not known here: {error!r}") from error
    if len(times) <= DROPPED:
        raise CatscaleError(f"{TRTEXEC} wrote {len(times)} times, not {DROPPED + KEPT}")
    return times


def find_trtexec() -> str:
    """The path of the command.

    Raises:
        InputError: it is not there.
    """
    if (found := shutil.which(TRTEXEC)) is None:
        raise InputError(
            f"--runtime tensorrt: the command {TRTEXEC} is not on the PATH; it comes with TensorRT, in its folder bin "
            "(on a Jetson /usr/src/tensorrt/bin)"
        )
    return found


def _version() -> str:
    """From its first line: "[TensorRT v8601]" up to version 8, "[TensorRT v100300]" from 10 on."""
    found = re.search(r"TensorRT v(\d+)", _trtexec(["--help"], RUN_S))
    return found[1] if found else "of unknown version"


def _trtexec(arguments: Sequence[str], timeout_s: int) -> str:
    """What the command prints.

    Raises:
        InputError: it is not there.
        MemoryError: it says that memory was short.
        CatscaleError: it failed otherwise; with its last words.
    """
    try:
        done = subprocess.run(
            [find_trtexec(), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CatscaleError(f"{TRTEXEC} was not done after {timeout_s} s") from error
    if done.returncode == 0:
        return done.stdout
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    wrong = [line for line in lines if "[E]" in line] or lines
    if any("out of memory" in line.lower() for line in wrong):
        raise MemoryError
    raise CatscaleError(f"{TRTEXEC} failed: {wrong[0][:TOLD] if wrong else f'exit code {done.returncode}'}")
