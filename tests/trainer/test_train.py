"""The training loop: what a run leaves on disk, interruption and resumption, refusals, divergence."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import catscale
import numpy as np
import pytest
import torch
from catscale.blocks.errors import InputError
from catscale.scaler.architecture import Architecture
from catscale.scaler.build import build, deploy
from catscale.trainer.anchor_loss import AnchorLoss
from catscale.trainer.checkpoint import WeightsHeader, load_state, load_weights, read_header, save_weights
from catscale.trainer.data.loader import Batch, train_batches
from catscale.trainer.data.records import Dataset
from catscale.trainer.data.shapes import make_shapes
from catscale.trainer.data.sources import open_dataset
from catscale.trainer.kept_matches import KeptMatches
from catscale.trainer.loop import Diverged, TrainResult, train
from catscale.trainer.loss import LossParts
from catscale.trainer.recipe import Recipe, load_recipe
from catscale.trainer.resampled_ap import resampled_ap
from catscale.trainer.run_folder import EpochRow, RunFolder, load_run, next_folder
from catscale.trainer.threads import compute_threads
from safetensors.torch import load_file

SIZE_PX = 64


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data") / "shapes"
    return open_dataset(make_shapes(folder, train=10, val=4, test=0, size_px=SIZE_PX))


@pytest.fixture(scope="module")
def arch(data: Dataset) -> Architecture:
    return catscale.load("yolov7-tiny").scale(width=0.125).replace(classes=len(data.classes))


def recipe(**changes: Any) -> Recipe:
    return load_recipe("quick", {"epochs": 2, "batch": 4, "nominal_batch": 8, **changes})


def trained(arch: Architecture, data: Dataset, folder: Path, settings: Recipe, **more: Any) -> TrainResult:
    return train(arch, data, settings, folder, size_px=SIZE_PX, **more)


class Stop(Exception):
    pass


def stop_after(epoch: int) -> Callable[[EpochRow], None]:
    def stop(row: EpochRow) -> None:
        if row.epoch == epoch:
            raise Stop("enough")

    return stop


def without_times(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open() as file:
        return [{key: value for key, value in row.items() if "seconds" not in key} for row in csv.DictReader(file)]


def assert_equal_to_the_bit(ours: Path, theirs: Path) -> None:
    assert without_times(ours) == without_times(theirs)
    for which in ("best", "last"):
        left, right = (load_file(folder / f"{which}.safetensors") for folder in (ours, theirs))
        assert left.keys() == right.keys()
        assert all(torch.equal(value, right[name]) for name, value in left.items())
    left, right = (load_state(folder / "last.state.pt") for folder in (ours, theirs))
    assert all(torch.equal(value, right["model"][name]) for name, value in left["model"].items())


def test_a_run_folder_tells_all_about_the_run(arch: Architecture, data: Dataset, tmp_path: Path) -> None:
    folder, rows, batches = tmp_path / "run", [], []
    result = trained(
        arch, data, folder, recipe(), seed=3, on_epoch=rows.append, on_batch=lambda *count: batches.append(count)
    )
    assert sorted(path.name for path in folder.iterdir()) == [
        "architecture.yaml",
        "best.matches.npz",
        "best.safetensors",
        "last.safetensors",
        "last.state.pt",
        "recipe.yaml",
        "results.csv",
        "run.json",
    ]
    facts = json.loads((folder / "run.json").read_text())
    assert (facts["status"], facts["epochs"], facts["seed"], facts["size_px"]) == ("complete", 2, 3, SIZE_PX)
    assert facts["versions"]["torch"] == torch.__version__.split("+")[0]
    assert (facts["ap"], facts["best_epoch"]) == (result.ap, result.best_epoch)
    kept = KeptMatches.read(folder / "best.matches.npz")
    assert resampled_ap(kept, np.ones((1, len(kept.images)), dtype=int)).mean() == pytest.approx(result.ap, abs=1e-9)
    assert RunFolder(folder).read_metrics() == rows
    assert RunFolder(folder).read_recipe() == recipe()
    assert batches == [(1, 3), (2, 3), (3, 3)] * 2
    assert rows[0].instances > 0

    run = load_run(folder)
    assert run.arch.fingerprint == arch.fingerprint
    assert run.classes == data.classes
    assert run.epoch == result.best_epoch == read_header(folder / "best.safetensors").epoch
    weights = load_file(folder / "best.safetensors")
    assert all(torch.equal(value, weights[name]) for name, value in run.model.state_dict().items())


@pytest.mark.parametrize("accumulate", [1, 2])
def test_an_interrupted_and_resumed_run_equals_an_unbroken_one(
    arch: Architecture, data: Dataset, tmp_path: Path, accumulate: int
) -> None:
    settings = recipe(epochs=4, nominal_batch=4 * accumulate)
    trained(arch, data, tmp_path / "unbroken", settings)
    broken = tmp_path / "broken"
    with pytest.raises(Stop):
        trained(arch, data, broken, settings, on_epoch=stop_after(2))
    facts = RunFolder(broken).read_facts()
    assert (facts.status, facts.reason, facts.epochs) == ("stopped", "enough", 2)
    torch.manual_seed(999)
    result = trained(arch, data, broken, settings, resume=True)
    assert result.epochs == 4
    assert_equal_to_the_bit(broken, tmp_path / "unbroken")


def test_a_run_killed_between_its_files_resumes_from_its_state(
    arch: Architecture, data: Dataset, tmp_path: Path
) -> None:
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    trained(arch, data, unbroken, recipe(epochs=3))
    with pytest.raises(Stop):
        trained(arch, data, broken, recipe(epochs=3), on_epoch=stop_after(1))
    state = (broken / "last.state.pt").read_bytes()
    with pytest.raises(Stop):
        trained(arch, data, broken, recipe(epochs=3), on_epoch=stop_after(2), resume=True)
    (broken / "last.state.pt").write_bytes(state)  # all but the state had been written when the power went
    trained(arch, data, broken, recipe(epochs=3), resume=True)
    assert_equal_to_the_bit(broken, unbroken)


def test_a_run_stopped_before_its_first_checkpoint_begins_again(
    arch: Architecture, data: Dataset, tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(arch, data, tmp_path / "run", recipe(), on_batch=stop)
    assert RunFolder(tmp_path / "run").read_facts().reason == "KeyboardInterrupt"
    with pytest.raises(InputError, match=r"no best\.safetensors in it: no epoch has finished \(status stopped\)"):
        load_run(tmp_path / "run")
    assert trained(arch, data, tmp_path / "run", recipe(), resume=True).epochs == 2


def test_more_epochs_extend_a_complete_run(arch: Architecture, data: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    trained(arch, data, folder, recipe(epochs=1))
    before = without_times(folder)
    assert trained(arch, data, folder, recipe(epochs=2), resume=True).epochs == 2
    assert without_times(folder)[:1] == before
    assert RunFolder(folder).read_recipe().epochs == 2


def test_what_does_not_continue_a_run_is_refused(arch: Architecture, data: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    trained(arch, data, folder, recipe(epochs=1))
    other = arch.scale(width=1.5)
    cases: list[tuple[str, Architecture, dict[str, Any], Recipe]] = [
        (r"is complete, 1 of 1 epochs; ask for more epochs to extend it", arch, {}, recipe(epochs=1)),
        (r"is a run of \S+, another graph than", other, {}, recipe(epochs=2)),
        (r"cannot go on with seed 1: it began with 0", arch, {"seed": 1}, recipe(epochs=2)),
        (r"cannot go on with another recipe: lr0 differ", arch, {}, recipe(epochs=2, lr0=0.5)),
    ]
    files = {path: path.read_bytes() for path in folder.iterdir()}
    for message, architecture, more, settings in cases:
        with pytest.raises(InputError, match=message):
            trained(architecture, data, folder, settings, resume=True, **more)
    with pytest.raises(InputError, match="is there and not empty; take another folder, or --resume it"):
        trained(arch, data, folder, recipe())
    assert {path: path.read_bytes() for path in folder.iterdir()} == files


@pytest.mark.parametrize(
    ("size_px", "message"),
    [
        (100, r"size 100 is not a multiple of the largest stride, 32; use 96"),
        (32, r"size 32 leaves a single cell; use 64 or more"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(
    arch: Architecture, data: Dataset, tmp_path: Path, size_px: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        train(arch, data, recipe(), tmp_path / "run", size_px=size_px)
    assert not (tmp_path / "run").exists()


def test_an_architecture_of_other_classes_is_refused(arch: Architecture, data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has 3 classes, .* has 6 \(circle, .*use the architecture with `classes`"):
        trained(arch.replace(classes=3), data, tmp_path / "run", recipe())


def bad_loss(monkeypatch: pytest.MonkeyPatch, bad_calls: set[int] | None) -> None:
    """Make the loss of some calls (of all where None) infinite."""
    original, calls = AnchorLoss.__call__, iter(range(10**6))

    def call(self: AnchorLoss, outputs: Any, targets: torch.Tensor) -> LossParts:
        parts = original(self, outputs, targets)
        if bad_calls is None or next(calls) in bad_calls:
            return parts._replace(total=parts.total * torch.inf)
        return parts

    monkeypatch.setattr(AnchorLoss, "__call__", call)


def test_a_batch_without_a_finite_loss_is_left_out_and_counted(
    arch: Architecture, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad_loss(monkeypatch, {1, 2, 4})
    rows: list[EpochRow] = []
    trained(arch, data, tmp_path / "run", recipe(), on_epoch=rows.append)
    assert [row.skipped for row in rows] == [2, 1]
    assert all(torch.isfinite(value).all() for value in load_file(tmp_path / "run" / "last.safetensors").values())


def test_a_gradient_that_is_not_finite_makes_no_step(
    arch: Architecture, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = AnchorLoss.__call__

    def call(self: AnchorLoss, outputs: Any, targets: torch.Tensor) -> LossParts:
        parts = original(self, outputs, targets)
        zero = outputs["lead"][0].sum() * 0
        return parts._replace(total=parts.total + zero.abs().sqrt())  # its value is 0, its gradient 0 * inf

    monkeypatch.setattr(AnchorLoss, "__call__", call)
    rows: list[EpochRow] = []
    trained(arch, data, tmp_path / "run", recipe(), on_epoch=rows.append)
    assert [row.skipped for row in rows] == [3, 3]
    assert all(torch.isfinite(value).all() for value in load_file(tmp_path / "run" / "last.safetensors").values())


def test_a_loss_that_stays_infinite_ends_the_run_as_diverged(
    arch: Architecture, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad_loss(monkeypatch, None)
    monkeypatch.setattr("catscale.trainer.divergence.BAD_IN_A_ROW", 3)
    message = r"diverged in epoch 2: the loss of batch 3 is inf, as were 3 in a row, also from good weights at a lower"
    with pytest.raises(Diverged, match=message):
        trained(arch, data, tmp_path / "run", recipe())
    facts = RunFolder(tmp_path / "run").read_facts()
    assert facts.status == "diverged"
    assert "lower lr0" in facts.reason
    with pytest.raises(InputError, match=r"run: cannot go on, it would only diverge again: .* diverged in epoch 2: .*"):
        trained(arch, data, tmp_path / "run", recipe(), resume=True)


def test_a_model_with_auxiliary_heads_trains(data: Dataset, tmp_path: Path) -> None:
    arch = catscale.load("yolov7-w6").scale(width=0.125).replace(classes=len(data.classes))
    assert arch.has_aux
    train(arch, data, recipe(epochs=1), tmp_path / "run", size_px=128)
    torch.manual_seed(0)
    fresh = dict(build(arch).named_parameters())
    auxiliary = {name: value for name, value in load_run(tmp_path / "run").model.named_parameters() if ".aux." in name}
    assert len(auxiliary) == 8  # weight and bias of four levels
    assert not any(torch.equal(value, fresh[name]) for name, value in auxiliary.items())


def test_three_levels_with_auxiliary_heads_and_fewer_anchors_train(data: Dataset, tmp_path: Path) -> None:
    """Neither the number of levels nor that of their anchors is written down anywhere."""
    anchors = (((8, 8), (16, 12)), ((24, 24),), ((40, 40), (60, 30), (30, 60), (60, 60)))
    arch = catscale.load("yolov7-tiny").scale(width=0.125, aux="auto")
    arch = arch.replace(classes=len(data.classes), anchors=anchors)
    result = train(arch, data, recipe(epochs=1), tmp_path / "run", size_px=SIZE_PX)
    assert result.epochs == 1
    torch.manual_seed(0)
    fresh = dict(build(arch).named_parameters())
    heads = {name: value for name, value in load_run(tmp_path / "run").model.named_parameters() if "detect." in name}
    assert [len(value) for name, value in heads.items() if name.endswith("aux.p4.conv.bias")] == [5 + arch.classes]
    assert not [name for name, value in heads.items() if torch.equal(value, fresh[name])]


def test_a_deploy_model_is_named_as_such_where_weights_to_train_are_asked_for(
    arch: Architecture, data: Dataset, tmp_path: Path
) -> None:
    header = WeightsHeader(arch.name, arch.fingerprint, SIZE_PX, data.classes, data.category_ids, 1, 0.0, 0.0)
    save_weights(tmp_path / "deployed.safetensors", deploy(build(arch).eval()), header)
    with pytest.raises(InputError, match=r"deployed\.safetensors: weights of a deploy model, whose batch norms are"):
        load_weights(tmp_path / "deployed.safetensors", build(arch))


def test_the_state_is_plain_data(arch: Architecture, data: Dataset, tmp_path: Path) -> None:
    class Surprise:
        def __reduce__(self) -> tuple[Any, ...]:
            return print, ("executed",)

    path = tmp_path / "last.state.pt"
    torch.save({"model": Surprise()}, path)
    with pytest.raises(InputError, match=r"last\.state\.pt: not a training state"):
        load_state(path)


def test_each_epoch_has_an_order_of_its_own_and_each_seed(
    arch: Architecture, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[tuple[int, ...]] = []

    def spied(*args: Any, **settings: Any) -> Iterator[Batch]:
        batches = list(train_batches(*args, **settings))
        orders.append(tuple(number for batch in batches for number in batch.ids))
        return iter(batches)

    monkeypatch.setattr("catscale.trainer.training.train_batches", spied)
    for seed in (0, 1, 0):
        trained(arch, data, tmp_path / f"run{len(orders)}", recipe(), seed=seed)
    first, second, other, *_ = orders
    assert len({first, second, other}) == 3
    assert sorted(first) == sorted(second) == sorted(other)
    assert orders[4:] == [first, second]


def test_names_of_runs_count_up(tmp_path: Path) -> None:
    assert next_folder(tmp_path) == tmp_path / "exp"
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp2").mkdir()
    assert next_folder(tmp_path) == tmp_path / "exp3"


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (4, 2), (8, 4), (64, 56)])
def test_torch_leaves_cores_to_the_threads_that_make_batches(cores: int, threads: int) -> None:
    assert compute_threads(cores) == threads


def test_the_number_of_threads_is_restored(arch: Architecture, data: Dataset, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    seen: list[int] = []
    trained(arch, data, tmp_path / "run", recipe(epochs=1), on_batch=lambda *_: seen.append(torch.get_num_threads()))
    assert set(seen) == {min(before, compute_threads())}
    assert torch.get_num_threads() == before
