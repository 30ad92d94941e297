"""Independent counts of the built deploy model beside ours, and every difference explained."""

import contextlib
import io
import logging
import warnings
from dataclasses import dataclass

import torch

from .architecture import Architecture
from .build import build


@dataclass(frozen=True, slots=True)
class Check:
    """One figure counted by somebody else, and by us under the same rule."""

    counter: str
    figure: str
    theirs: int
    ours: int
    rule: str

    @property
    def equal(self) -> bool:
        return self.theirs == self.ours


def cross_check(architecture: Architecture, size: int | None = None) -> list[Check]:
    """Count the built deploy model with torch, fvcore and ptflops (`aten` backend), at batch 1."""
    cost = architecture.cost(size)
    train = sum(parameter.numel() for parameter in build(architecture).parameters())
    model = build(architecture, "deploy").eval()
    deployed = sum(parameter.numel() for parameter in model.parameters())
    images = torch.zeros(1, 3, cost.size, cost.size)
    fvcore = fvcore_flops(model, images)
    ptflops = ptflops_macs(model, cost.size)
    return [
        Check("torch", "params, train graph", train, cost.params_train, "every trainable number"),
        Check("torch", "params, deploy graph", deployed, cost.params, "every trainable number"),
        Check("fvcore", "conv flops", fvcore.get("conv", 0), cost.macs, "MACs; it leaves biases out"),
        Check("fvcore", "flops", sum(fvcore.values()), cost.flops("fvcore") // 2, "and one per up-sampled element"),
        Check(
            "ptflops", "MACs (aten)", ptflops, cost.flops("ptflops") // 2, "MACs of convs and one per biased element"
        ),
    ]


def fvcore_flops(model: torch.nn.Module, images: torch.Tensor) -> dict[str, int]:
    """What fvcore calls flops, by operator."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fvcore's own imports and the tracer warn on current torch
        from fvcore.nn import FlopCountAnalysis

        logging.getLogger("fvcore").setLevel(logging.ERROR)
        analysis = FlopCountAnalysis(model, images).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        return {operator: int(flops) for operator, flops in analysis.by_operator().items()}


def ptflops_macs(model: torch.nn.Module, size: int) -> int:
    """What ptflops' `aten` backend calls MACs."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        from ptflops import get_model_complexity_info

        macs, _ = get_model_complexity_info(
            model, (3, size, size), as_strings=False, backend="aten", print_per_layer_stat=False, verbose=False
        )
    return int(macs)  # type: ignore[arg-type]
