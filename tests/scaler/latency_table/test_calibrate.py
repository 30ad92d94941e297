"""Layers timed where they stand on this machine: nothing is left out, and what cannot be taken apart is refused."""

import json
from pathlib import Path
from typing import Any

import catscale
import pytest
import torch
from catscale.blocks.errors import InputError
from catscale.scaler.latency.protocol import Protocol
from catscale.scaler.latency_table.blocks import block_times, shares
from catscale.scaler.latency_table.calibrate import calibrate
from catscale.scaler.latency_table.in_situ import LayerClock
from catscale.scaler.latency_table.layers import layers_of
from catscale.scaler.latency_table.table import LatencyTable
from catscale.search.calibration import calibration_networks
from catscale.search.candidates import Bases
from catscale.search.study import Study

QUICK = Protocol(threads=1, size=64, runs=5, most_runs=5, least_warm_up=1, most_warm_up=1, widest_interval=10.0)


def study(**changes: Any) -> Study:
    space = {"width": {"choices": [0.125, 0.25]}, "resolution": {"choices": [64, 96]}, "extend": {"choices": [1, 2]}}
    document = {"name": "small", "base": "yolov7-tiny", "space": space, "objectives": ["ap", "latency_ms"], "trials": 2}
    return Study.model_validate({**document, **changes})


@pytest.mark.parametrize("name", ["yolov7-tiny", "yolov7-e6e"])  # the other one adds maps, takes groups, folds space
def test_the_clock_times_every_layer_of_the_model(name: str) -> None:
    architecture = catscale.load(name).scale(width=0.125)
    clock = LayerClock.of(architecture, QUICK.replace(size=architecture.strides[-1]))
    total_ms = clock.run()
    (layers_ms,) = clock.layers_ms
    assert list(layers_ms) == [layer.name for layer in architecture.graph("deploy").layers if layer.inputs]
    assert sum(layers_ms.values()) == pytest.approx(total_ms)
    assert min(layers_ms.values()) > 0


def test_the_clocked_model_computes_what_the_model_computes() -> None:
    clock = LayerClock.of(catscale.load("yolov7-tiny").scale(width=0.125), QUICK)
    *_, (node, call, _) = clock.steps
    seen: list[torch.Tensor] = []
    clock.steps[-1] = (node, lambda *maps: seen.append(call(*maps)), ())
    clock.run()
    with torch.inference_mode():
        assert torch.equal(seen[0], clock.model(clock.images))


def test_a_space_is_measured_and_its_other_candidates_predicted(tmp_path: Path) -> None:
    wanted = study()
    chosen = calibration_networks(wanted, Bases(wanted, 3), 8)
    lines: list[str] = []
    table = calibrate(chosen, Protocol(threads=1), runs=2, passes=1, say=lines.append)
    assert {one.fingerprint for one in table.networks} == {one.fingerprint for one in chosen}
    # Another test may have been at the device, which is said too.
    assert [line for line in lines if "is busy with" not in line] == ["calibrate: pass 1 of 1, network 8 of 8"]
    assert {key for one in chosen for _, key in layers_of(one.graph("deploy"), one.size)} == set(table.layers_ms)
    table.write(tmp_path / "table.json")
    found = LatencyTable.load(tmp_path / "table.json").predict(chosen[0])
    assert found.interpolated == 0
    # On a busy machine its layers may add up to less, or more, than those of all the networks.
    assert found.outside is None or found.outside.startswith("layers_ms ")
    assert 0 < found.low < found.ms < found.high
    table.check(table.stamp, "itself")


def test_networks_to_measure_go_from_the_fewest_flops_to_the_most() -> None:
    wanted = study(space={"width": {"low": 0.1, "high": 1.0}, "resolution": {"low": 64, "high": 640, "step": 32}})
    chosen = calibration_networks(wanted, Bases(wanted, 3), 12)
    flops = [one.cost().flops() for one in chosen]
    assert len(chosen) == 12
    assert flops == sorted(flops)
    assert flops[-1] > 100 * flops[0]
    assert chosen == calibration_networks(wanted, Bases(wanted, 3), 12)


def test_candidates_over_budget_are_not_measured() -> None:
    wanted = study(constraints={"gflops": 0.01})
    assert all(one.cost().flops() <= 1e7 for one in calibration_networks(wanted, Bases(wanted, 3), 8))
    none = study(constraints={"gflops": 1e-6})
    with pytest.raises(InputError, match=r"small: constraints: nothing to calibrate on: .* is over budget"):
        calibration_networks(none, Bases(none, 3), 8)


def test_too_few_networks_and_other_runtimes_are_refused() -> None:
    with pytest.raises(InputError, match="calibrate: 1 different networks; at least 8 are needed"):
        calibrate([catscale.load("yolov7-tiny")] * 9, Protocol())
    with pytest.raises(InputError, match="layers are timed with runtime 'torch', not 'compile'"):
        calibrate([], Protocol(runtime="compile"))


def test_blocks_share_the_latency_and_the_flops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from catscale import cli

    architecture = catscale.load("yolov7-tiny").scale(width=0.125)
    found = block_times(architecture, QUICK)
    assert sum(block.time_share for block in found.blocks) == pytest.approx(1)
    assert sum(block.flops_share for block in found.blocks) == pytest.approx(1)
    assert [block.name for block in found.blocks] == [*(node.name for node in architecture.nodes), "detect"]
    (tmp_path / "small.yaml").write_text(architecture.to_yaml())
    options = ["--size", "64", "--threads", "1", "--runs", "5", "--interval", "9", "--device", "cpu"]
    picture = tmp_path / "blocks.svg"
    monkeypatch.setattr(
        "sys.argv", ["catscale", "latency", str(tmp_path / "small.yaml"), *options, "--blocks", str(picture), "--json"]
    )
    cli.app(standalone_mode=False)
    drawn = picture.read_text()
    assert all(f">{block.name}<" in drawn for block in found.blocks)


def test_a_block_without_multiplications_has_time_and_no_flops() -> None:
    architecture = catscale.load("yolov7-tiny")
    ms = {layer.name: 1.0 for layer in architecture.graph("deploy").layers if layer.inputs}
    blocks = {block.name: block for block in shares(architecture, 640, ms)}
    assert blocks["backbone.p3.down"].flops_share == 0
    assert blocks["detect"].ms == 4  # three heads and the decoding
    assert blocks["backbone.p3.down"].time_share == pytest.approx(1 / len(ms))


def test_the_picture_of_blocks_is_of_one_network_and_svg_or_png(tmp_path: Path) -> None:
    from catscale.scaler.latency_table.show import show_blocks

    tiny = catscale.load("yolov7-tiny")
    with pytest.raises(InputError, match="a picture is of one network; name one ARCH"):
        show_blocks([tiny, tiny], [QUICK], tmp_path / "blocks.svg", as_json=False)
    with pytest.raises(InputError, match=r"a picture of blocks is a \.svg or a \.png file; did you mean 'png'"):
        show_blocks([tiny], [QUICK], tmp_path / "blocks.pngg", as_json=False)


@pytest.mark.slow
def test_the_verb_writes_a_table_that_the_verb_latency_reads(cli: Any, tmp_path: Path) -> None:
    table = tmp_path / "table.json"
    options = ["--networks", "8", "--classes", "3", "--device", "cpu", "--threads", "1", "--json"]
    done = cli("search", "calibrate", Path(catscale.__file__).parent / "studies/quickstart.yaml", "-o", table, *options)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["networks"] == 8
    assert cli("latency", "yolov7-tiny", "--predict", table).returncode == 0
