"""What a training survives: signals, a kill, a full disk, too little memory, divergence."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import catscale
import pytest
import torch
from catscale.blocks.errors import InputError
from catscale.scaler.architecture import Architecture
from catscale.trainer.anchor_loss import AnchorLoss
from catscale.trainer.checkpoint import load_state
from catscale.trainer.data.records import Dataset
from catscale.trainer.data.shapes import make_shapes
from catscale.trainer.data.sources import open_dataset
from catscale.trainer.interruption import Interrupted, TimeUp
from catscale.trainer.loop import TrainResult, train
from catscale.trainer.loss import LossParts
from catscale.trainer.memory_limits import OutOfMemory, fitting_batch
from catscale.trainer.recipe import Recipe, load_recipe
from catscale.trainer.run_folder import EpochRow, RunFolder
from catscale.trainer.step import Stepper
from safetensors.torch import load_file

SIZE_PX = 64


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    make_shapes(folder / "shapes", train=16, val=4, test=0, size_px=SIZE_PX)
    (folder / "narrow.yaml").write_text(catscale.load("yolov7-tiny").scale(width=0.125).replace(classes=6).to_yaml())
    (folder / "recipe.yaml").write_text("base: quick\nepochs: 3\nbatch: 2\nnominal_batch: 4\n")
    return folder


@pytest.fixture(scope="module")
def data(place: Path) -> Dataset:
    return open_dataset(str(place / "shapes"))


@pytest.fixture(scope="module")
def arch(place: Path) -> Architecture:
    return catscale.load(str(place / "narrow.yaml"))


@pytest.fixture(scope="module")
def recipe(place: Path) -> Recipe:
    return load_recipe(place / "recipe.yaml")


@pytest.fixture(scope="module")
def unbroken(arch: Architecture, data: Dataset, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "unbroken"
    trained(arch, data, recipe, folder)
    return folder


def trained(arch: Architecture, data: Dataset, recipe: Recipe, folder: Path, **more: Any) -> TrainResult:
    return train(arch, data, recipe, folder, size_px=SIZE_PX, **more)


def flat(state: Any) -> Iterator[tuple[str, Any]]:
    """The leaves of nested plain data, with their places."""
    items = state.items() if isinstance(state, Mapping) else enumerate(state)
    for key, value in items:
        if isinstance(value, Mapping | list | tuple):
            yield from ((f"{key}.{inner}", leaf) for inner, leaf in flat(value))
        elif "seconds" not in str(key):
            yield str(key), value


def assert_equal_to_the_bit(ours: Path, theirs: Path) -> None:
    """Weights, and all of the state: optimiser, average, generators, history."""
    for name in ("best.safetensors", "last.safetensors"):
        left, right = load_file(ours / name), load_file(theirs / name)
        assert all(torch.equal(value, right[key]) for key, value in left.items())
    left, right = (dict(flat(load_state(folder / "last.state.pt"))) for folder in (ours, theirs))
    assert left.keys() == right.keys()
    for key, value in left.items():
        assert torch.equal(value, right[key]) if isinstance(value, torch.Tensor) else value == right[key], key


@pytest.mark.parametrize(("number", "code", "batch"), [(signal.SIGTERM, 143, 1), (signal.SIGINT, 130, 4)])
def test_a_signal_saves_after_the_next_step_and_the_resumed_run_equals_an_unbroken_one(
    arch: Architecture,
    data: Dataset,
    recipe: Recipe,
    unbroken: Path,
    tmp_path: Path,
    number: signal.Signals,
    code: int,
    batch: int,
) -> None:
    rows: list[EpochRow] = []

    def send(done: int, _: int) -> None:
        if len(rows) == 1 and done == batch:
            signal.raise_signal(number)

    handler = signal.getsignal(number)
    with pytest.raises(
        Interrupted, match=rf"{number.name} in epoch 2 after batch \d of 8; the state is saved"
    ) as caught:
        trained(arch, data, recipe, tmp_path / "run", on_batch=send, on_epoch=rows.append)
    assert caught.value.exit_code == code
    assert signal.getsignal(number) is handler
    state = load_state(tmp_path / "run" / "last.state.pt")
    assert 0 <= state["under_way"]["batches"] - batch <= 2  # a step takes up to two batches
    assert RunFolder(tmp_path / "run").read_facts().status == "stopped"
    trained(arch, data, recipe, tmp_path / "run", resume=True)
    assert_equal_to_the_bit(tmp_path / "run", unbroken)


@pytest.mark.parametrize("left", ["none", "less than an evaluation"])
def test_a_deadline_holds_to_one_step_and_the_resumed_run_equals_an_unbroken_one(
    arch: Architecture,
    data: Dataset,
    recipe: Recipe,
    unbroken: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    left: str,
) -> None:
    deadline, clock = 1000.0, [0.0]
    monkeypatch.setattr("catscale.trainer.interruption.time.time", lambda: clock[0])
    rows: list[EpochRow] = []

    def epoch(row: EpochRow) -> None:
        rows.append(row)
        if left != "none":
            clock[0] = deadline - row.val_seconds / 2

    def batch(done: int, _: int) -> None:
        if left == "none" and len(rows) == 1 and done == 3:
            clock[0] = deadline

    batches = 4 if left == "none" else 8
    with pytest.raises(TimeUp, match=f"the time is up in epoch 2 after batch {batches} of 8; the state is saved"):
        trained(arch, data, recipe, tmp_path / "run", deadline=deadline, on_epoch=epoch, on_batch=batch)
    assert len(rows) == 1
    trained(arch, data, recipe, tmp_path / "run", resume=True)
    assert_equal_to_the_bit(tmp_path / "run", unbroken)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143)])
def test_a_process_that_a_signal_ends_at_a_random_step_is_resumed_to_the_bit(
    arch: Architecture, data: Dataset, recipe: Recipe, place: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    longer = recipe.model_copy(update={"epochs": 30})
    arguments = "train narrow.yaml --recipe recipe.yaml --epochs 30 --size 64 --device cpu"
    command = [sys.executable, "-m", "catscale.cli", *arguments.split(), "--data", str(place / "shapes")]
    command += ["--folder", str(tmp_path / "run")]
    process = subprocess.Popen(command, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    state = tmp_path / "run" / "last.state.pt"
    while not state.is_file() and process.poll() is None:
        time.sleep(0.005)
    time.sleep(random.uniform(0, 0.4))  # a step takes some 10 ms
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    if number == signal.SIGTERM:
        assert "error: SIGTERM in epoch " in errors
        assert errors.count("error: ") == 1
        assert "Traceback" not in errors
    done = len(load_state(state)["rows"])
    assert done < 29
    epochs = done + 1
    # The schedule depends on the number of epochs: both are asked for 30, and stopped when one more is done.
    for folder, resume in ((tmp_path / "run", True), (tmp_path / "unbroken", False)):
        with pytest.raises(StopIteration):
            trained(arch, data, longer, folder, resume=resume, on_epoch=stop_after(epochs))
    assert_equal_to_the_bit(tmp_path / "run", tmp_path / "unbroken")


def stop_after(epoch: int) -> Callable[[EpochRow], None]:
    def stop(row: EpochRow) -> None:
        if row.epoch == epoch:
            raise StopIteration

    return stop


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], check=False, capture_output=True
    ).returncode:
        pytest.skip("mounting a small disk is not allowed here")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize(("left", "file"), [(100_000, r"\w+\.safetensors"), (600_000, r"last\.state\.pt")])
def test_a_full_disk_leaves_the_checkpoint_before_whole(
    arch: Architecture, data: Dataset, recipe: Recipe, unbroken: Path, small_disk: Path, left: int, file: str
) -> None:
    run, filler = small_disk / "run", small_disk / "filler"
    before: dict[str, bytes] = {}

    def fill(row: EpochRow) -> None:
        before.update({path.name: path.read_bytes() for path in run.iterdir()})
        room = os.statvfs(small_disk)
        filler.write_bytes(bytes(room.f_bavail * room.f_frsize - left))

    with pytest.raises(InputError, match=rf"{file}: cannot be written: .*No space left on device"):
        trained(arch, data, recipe, run, on_epoch=fill)
    after = {path.name: path.read_bytes() for path in run.iterdir()}
    assert after.keys() == before.keys()  # no half file
    assert after["last.state.pt"] == before["last.state.pt"]
    filler.unlink()
    trained(arch, data, recipe, run, resume=True)
    assert_equal_to_the_bit(run, unbroken)


def test_a_folder_that_cannot_be_written_is_named(
    arch: Architecture, data: Dataset, recipe: Recipe, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/run\S*: cannot be written: Not a directory"):
        trained(arch, data, recipe, tmp_path / "file" / "run")


def short_of_memory(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """A step refuses more than `most` images; gives the sizes of those that went through."""
    forward, sizes = Stepper.forward, []

    def call(self: Stepper, images: torch.Tensor) -> Any:
        if len(images) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        sizes.append(len(images))
        return forward(self, images)

    monkeypatch.setattr(Stepper, "forward", call)
    return sizes


def test_out_of_memory_halves_the_batch_and_keeps_the_step(
    arch: Architecture, data: Dataset, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, events = short_of_memory(monkeypatch, 2), []
    settings = recipe.model_copy(update={"batch": 8, "nominal_batch": 8, "epochs": 1})
    result = trained(arch, data, settings, tmp_path / "run", on_event=events.append)
    assert result.epochs == 1
    assert sizes == [2] * 8
    assert [event.split(":")[0] for event in events] == ["out of memory in epoch 1"] * 2
    assert "batch 2, with as many images in an optimiser step" in events[-1]
    state = load_state(tmp_path / "run" / "last.state.pt")
    assert RunFolder(tmp_path / "run").read_facts().batch == state["batch"] == 2
    longer = settings.model_copy(update={"epochs": 2})
    assert trained(arch, data, longer, tmp_path / "run", resume=True, on_event=events.append).epochs == 2
    assert len(events) == 2  # it went on with the smaller batch


def test_no_memory_for_one_image_ends_with_the_place(
    arch: Architecture, data: Dataset, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_of_memory(monkeypatch, 0)
    with pytest.raises(OutOfMemory, match="out of memory in epoch 1 with batch 1; take a smaller"):
        trained(arch, data, recipe, tmp_path / "run")
    assert RunFolder(tmp_path / "run").read_facts().status == "stopped"


@pytest.mark.parametrize(("most", "free", "fits"), [(99, 10**12, 12), (5, 10**12, 4), (99, 1_000_000, 1)])
def test_the_batch_that_fits_divides_the_images_of_a_step(
    arch: Architecture, recipe: Recipe, monkeypatch: pytest.MonkeyPatch, most: int, free: int, fits: int
) -> None:
    short_of_memory(monkeypatch, most)
    monkeypatch.setattr("catscale.trainer.memory_limits.free_bytes", lambda: free)
    settings = recipe.model_copy(update={"batch": 4, "nominal_batch": 12})
    found = fitting_batch(arch, settings, size_px=SIZE_PX, device="cpu", images=100)
    assert (found.batch, found.nominal_batch) == (fits, 12)


def test_after_bad_batches_in_a_row_the_saved_average_goes_on_at_a_tenth_of_the_rate(
    arch: Architecture, data: Dataset, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = AnchorLoss.__call__, iter(range(10**6))
    monkeypatch.setattr("catscale.trainer.divergence.BAD_IN_A_ROW", 3)

    def call(self: AnchorLoss, outputs: Any, targets: torch.Tensor) -> LossParts:
        parts = original(self, outputs, targets)
        bad = 8 + 2 <= next(calls) < 8 + 5  # three batches of the second epoch
        return parts._replace(total=parts.total * torch.nan) if bad else parts

    monkeypatch.setattr(AnchorLoss, "__call__", call)
    events: list[str] = []
    rows: list[EpochRow] = []
    taken: list[Mapping[str, torch.Tensor]] = []
    take_back = Stepper.take_back

    def spied(self: Stepper, weights: Mapping[str, torch.Tensor]) -> None:
        taken.append(load_file(tmp_path / "run" / "last.safetensors"))
        take_back(self, weights)
        assert all(torch.equal(value, taken[0][key]) for key, value in self.model.state_dict().items())

    monkeypatch.setattr(Stepper, "take_back", spied)
    trained(arch, data, recipe, tmp_path / "run", on_event=events.append, on_epoch=rows.append)
    assert len(events) == len(taken) == 1
    assert "is nan, as were 3 in a row; goes on from the averaged weights of epoch 1 at 0.1 of the rate" in events[0]
    assert [row.skipped for row in rows] == [0, 3, 0]
    plain = [row.lr for row in RunFolder(tmp_path / "run").read_metrics()]
    assert plain[2] < 0.11 * plain[0] * 2
    assert load_state(tmp_path / "run" / "last.state.pt")["watch"] == {"bad": 0, "restored": True}


def test_epochs_without_a_better_one_end_the_training_early(
    arch: Architecture, data: Dataset, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitness = iter([0.1, 0.3, 0.2, 0.25, 0.1, 0.9])
    fitting = {index + 1: value for index, value in enumerate(fitness)}
    monkeypatch.setattr(EpochRow, "fitness", property(lambda row: fitting[row.epoch]))
    patient = recipe.model_copy(update={"epochs": 6, "patience": 2})
    assert trained(arch, data, patient, tmp_path / "run").epochs == 4
    facts = RunFolder(tmp_path / "run").read_facts()
    assert (facts.status, facts.reason, facts.best_epoch) == ("complete", "no better epoch in 2", 2)
