"""Counts made by others of the built model are ours under their own rules, each difference explained in code."""

import catscale
import pytest
from catscale.scaler.cross_check import cross_check

SIZE = 256  # the rules are linear in pixels; counting at the model's own size only takes longer


@pytest.mark.parametrize(
    "model", ["yolov7-tiny", "yolov7", "yolov7-x", "yolov7-w6", "yolov7-e6e", "yolox-s", "pp-yoloe-s"]
)
def test_torch_fvcore_and_ptflops_count_the_same(model: str) -> None:
    checks = cross_check(catscale.load(model), SIZE)
    assert {check.counter for check in checks} == {"torch", "fvcore", "ptflops"}
    assert {(check.counter, check.figure): check.theirs - check.ours for check in checks if not check.equal} == {}


@pytest.mark.slow
@pytest.mark.parametrize("model", catscale.names())
def test_the_whole_zoo_at_its_own_size(model: str) -> None:
    assert all(check.equal for check in cross_check(catscale.load(model)))


def test_fvcore_leaves_out_what_the_paper_counts() -> None:
    """The two differ by conv biases and up-sampled elements, and by nothing else."""
    cost = catscale.load("yolov7").cost()
    upsampled = 256 * 40 * 40 + 128 * 80 * 80
    assert cost.flops("paper") - cost.flops("fvcore") == 2 * (cost.activations - upsampled)
    assert cost.flops("ptflops") == cost.flops("paper")
