"""A training that begins with an earlier run's weights: as far as they fit, or grown without a change of outputs."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catscale
import pytest
import torch
from catscale.blocks.errors import InputError
from catscale.scaler.architecture import Architecture
from catscale.trainer.data.records import Dataset
from catscale.trainer.data.scenes import CLASSES
from catscale.trainer.data.shapes import make_shapes
from catscale.trainer.data.sources import open_dataset
from catscale.trainer.evaluate import evaluate
from catscale.trainer.loop import train
from catscale.trainer.recipe import Recipe, load_recipe
from catscale.trainer.run_folder import RunFolder, load_run
from catscale.trainer.step import Stepper
from catscale.trainer.warm_start import WarmStart, with_anchors_of

SIZE_PX = 64
CommandLine = Callable[..., Any]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with drawn images and a narrow detector."""
    folder = tmp_path_factory.mktemp("warm")
    make_shapes(folder / "shapes", train=16, val=8, test=0, size_px=SIZE_PX)
    (folder / "base.yaml").write_text(catscale.load("yolov7-tiny").scale(width=0.25).to_yaml())
    return folder


@pytest.fixture(scope="module")
def data(place: Path) -> Dataset:
    return open_dataset(str(place / "shapes"))


@pytest.fixture(scope="module")
def base(data: Dataset) -> Architecture:
    found = catscale.load("yolov7-tiny").scale(width=0.25).replace(classes=len(data.classes), name="base")
    return found.replace(anchors=tuple(tuple((w / 4, h / 4) for w, h in level) for level in found.anchors))


def recipe(**changes: Any) -> Recipe:
    return load_recipe("quick", {"epochs": 2, "batch": 4, "nominal_batch": 4, **changes})


@pytest.fixture(scope="module")
def run(place: Path, base: Architecture, data: Dataset) -> Path:
    """A run of the base, trained for a moment."""
    train(base, data, recipe(), place / "run", size_px=SIZE_PX)
    return place / "run"


def begun(arch: Architecture, start: WarmStart) -> Stepper:
    """What a training steps from."""
    return Stepper(arch, recipe(), device=torch.device("cpu"), size_px=SIZE_PX, start=start)


@pytest.mark.parametrize("scalings", [{"compound": 1.5}, {"extend": 2}])
def test_what_is_grown_begins_with_the_outputs_and_the_ap_of_the_run(
    run: Path, base: Architecture, data: Dataset, scalings: dict[str, Any]
) -> None:
    stepper = begun(base.scale(**scalings), WarmStart(run, "grow"))
    images = torch.rand(2, 3, SIZE_PX, SIZE_PX)
    for model in (stepper.model.eval(), stepper.ema.model):
        for ours, theirs in zip(model(images)["lead"], load_run(run).model(images)["lead"], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    found = evaluate(catscale.deploy(stepper.ema.model), data.split("val"), data, size_px=SIZE_PX)
    assert found.ap == pytest.approx(RunFolder(run).read_facts().ap, rel=1e-3)
    assert found.ap > 0


def test_run_json_says_what_a_run_began_with(run: Path, base: Architecture, data: Dataset, tmp_path: Path) -> None:
    said: list[str] = []
    wider = base.scale(width=1.5)
    for how in ("overlap", "grow"):
        train(
            wider,
            data,
            recipe(epochs=1),
            tmp_path / how,
            size_px=SIZE_PX,
            start=WarmStart(run, how),
            on_event=said.append,
        )
    facts = json.loads((tmp_path / "grow" / "run.json").read_text())["start"]
    source = RunFolder(run).read_facts()
    assert (facts["run"], facts["how"], facts["fingerprint"]) == (str(run), "grow", source.fingerprint)
    assert len(facts["weights"]) == 64
    assert facts["parameters"] == wider.cost().params_train
    assert facts["carried"] == base.cost().params_train
    assert json.loads((tmp_path / "overlap" / "run.json").read_text())["start"] == {**facts, "how": "overlap"}
    assert said[0].startswith(f"{run}: {facts['carried'] / facts['parameters']:.1%} of")
    assert "grown without a change of its outputs" in said[1]


def test_a_resumed_run_does_not_begin_with_them_again(
    run: Path, base: Architecture, data: Dataset, tmp_path: Path
) -> None:
    wider, once = base.scale(width=1.5), tmp_path / "source"
    shutil.copytree(run, once)
    train(wider, data, recipe(), tmp_path / "whole", size_px=SIZE_PX, start=WarmStart(once, "grow"))
    with pytest.raises(Stop):
        train(wider, data, recipe(), tmp_path / "cut", size_px=SIZE_PX, start=WarmStart(once, "grow"), on_epoch=stop)
    shutil.rmtree(once)
    train(wider, data, recipe(), tmp_path / "cut", size_px=SIZE_PX, resume=True)
    whole, cut = (RunFolder(tmp_path / name) for name in ("whole", "cut"))
    assert [row.ap for row in cut.read_metrics()] == [row.ap for row in whole.read_metrics()]
    assert cut.weights("last").read_bytes() == whole.weights("last").read_bytes()
    assert cut.read_facts().start == whole.read_facts().start
    cut.state.unlink()  # with nothing saved it would have to begin once more
    with pytest.raises(InputError, match="source: no such run folder"):
        train(wider, data, recipe(epochs=3), cut.path, size_px=SIZE_PX, resume=True)


class Stop(Exception):
    pass


def stop(row: object) -> None:
    raise Stop


def test_what_an_earlier_version_noted_is_still_known(run: Path, tmp_path: Path) -> None:
    document = json.loads((run / "run.json").read_text())
    del document["start"]
    (tmp_path / "run.json").write_text(json.dumps({**document, "weights": "runs/exp"}))
    start = RunFolder(tmp_path).read_facts().start
    assert start is not None
    assert (start.run, start.how) == ("runs/exp", "overlap")


@pytest.mark.parametrize(
    ("arch", "options", "reason"),
    [
        ("base.yaml", ["--grow", "nowhere"], "nowhere: no such run folder"),
        ("base.yaml", ["--grow", "fresh"], "fresh: no best.safetensors in it: no epoch has finished"),
        ("narrower.yaml", ["--grow", "run"], "run: narrower does not grow out of base: stem.conv2: is narrower than"),
        ("base.yaml", ["--grow", "run", "--data", "others"], f"run: detects {', '.join(CLASSES)}, the data has moon, "),
        ("base.yaml", ["--grow", "run", "--weights", "run"], "--weights and --grow both say what to begin with"),
        (None, ["--grow", "run", "--resume", "run"], "--resume run: goes on as the run began; leave out --grow"),
    ],
)
def test_what_cannot_begin_is_refused_before_anything_is_written(
    cli: CommandLine, place: Path, run: Path, arch: str | None, options: list[str], reason: str
) -> None:
    if not (place / "fresh").exists():
        shutil.copytree(run, place / "fresh", ignore=lambda *_: ["best.safetensors"])
        (place / "narrower.yaml").write_text("base: base.yaml\nscale: {width: 0.5}\n")
        make_shapes(place / "others", train=4, val=2, test=0, size_px=SIZE_PX)
        for path in (place / "others" / "annotations").iterdir():
            path.write_text(path.read_text().replace(CLASSES[0], "moon"))
    new = ["--data", "shapes", "--recipe", "quick", "--size", SIZE_PX, "--folder", "out"] if arch else []
    done = cli("train", *([arch] if arch else []), *new, *options, cwd=place)
    assert (done.returncode, reason in done.stderr) == (2, True), done.stderr
    assert not (place / "out").exists()


def test_a_grown_training_by_the_command_line_has_the_anchors_of_the_run(
    cli: CommandLine, place: Path, run: Path
) -> None:
    (place / "larger.yaml").write_text("base: base.yaml\nscale: {compound: 1.5}\n")
    command = ["train", "larger.yaml", "--data", "shapes", "--recipe", "quick", "--epochs", 1, "--size", SIZE_PX]
    done = cli(*command, "--batch", 8, "--grow", "run", "--folder", "grown", "--no-pictures", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "anchors of run, whose detector grows" in done.stdout
    assert "run: grown without a change of its outputs" in done.stderr
    grown = RunFolder(place / "grown")
    assert grown.read_architecture().anchors == RunFolder(run).read_architecture().anchors
    start = grown.read_facts().start
    assert start is not None
    assert (start.run, start.how) == ("run", "grow")


def test_a_head_without_anchors_neither_gives_nor_takes_any() -> None:
    anchored, free = catscale.load("yolov7-tiny"), catscale.load("yolov7-tiny").scale(head="et")
    for base, arch in ((free, free), (anchored, free), (free, anchored)):
        assert with_anchors_of(base, arch) == arch


def test_what_becomes_of_other_classes_is_said(run: Path) -> None:
    start = WarmStart(run, "overlap")
    assert start.other_classes(CLASSES) == ""
    assert start.other_classes(("moon", *CLASSES[1:])).endswith("so class scores came over by their order")
    assert start.other_classes(("moon",)).endswith("so class scores begin with random weights")
