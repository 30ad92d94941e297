"""The train graph of a detector with fresh weights, up to its lead maps, as every proxy looks at it."""

import math
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Generator, Tensor, fx, nn

from ...blocks.modules import PredictLayer
from ...scaler.architecture import Architecture
from ...scaler.build import build

Draw = Callable[[Tensor, Generator], object]  # fills the weights of a convolution
Look = Callable[[str, Tensor], None]  # is shown a module's name and input


def as_trained(weight: Tensor, generator: Generator) -> Tensor:
    """The distribution that a training begins with, torch's own: uniform within 1 / sqrt(fan-in)."""
    return nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)


def gaussian(weight: Tensor, generator: Generator) -> Tensor:
    """Standard normal weights."""
    return nn.init.normal_(weight, generator=generator)


def initialised(architecture: Architecture, seed: int, draw: Draw = as_trained) -> fx.GraphModule:
    """The train model without its auxiliary heads, in training mode, its biases zero and implicit vectors neutral.

    Weights are drawn in the order of the fingerprint, so that equal fingerprints have equal weights. The random state
    of the process is left as it is.
    """
    with torch.random.fork_rng(devices=[]):
        model = build(architecture)
    _keep_lead(model)
    generator = torch.Generator().manual_seed(seed)
    modules = dict(model.named_modules())
    with torch.no_grad():
        for layer in architecture.graph().lead_only().depth_first():
            for part in modules[layer.name].modules() if layer.name in modules else ():
                if isinstance(part, nn.Conv2d):
                    draw(part.weight, generator)
                    if part.bias is not None:
                        part.bias.zero_()
                elif isinstance(part, PredictLayer) and part.added is not None and part.factor is not None:
                    part.added.zero_()
                    part.factor.fill_(1)
    return model.train()


@contextmanager
def watching(
    model: nn.Module, kinds: tuple[type[nn.Module], ...], look: Look, *, named: Container[str] = ()
) -> Iterator[None]:
    """Within the block, tell `look` the name and the input of every module of some kinds or names, before it runs."""

    def hook(name: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        look(name, inputs[0].detach())

    hooks = [
        module.register_forward_pre_hook(partial(hook, name))
        for name, module in model.named_modules()
        if isinstance(module, kinds) or name in named
    ]
    try:
        yield
    finally:
        for one in hooks:
            one.remove()


def predicting(model: fx.GraphModule) -> frozenset[str]:
    """The names of the modules that give the lead maps: of heads without anchors, several for each level."""
    output = next(node for node in model.graph.nodes if node.op == "output")
    levels = output.args[0]["lead"]
    last = (node for level in levels for node in ([level] if level.op == "call_module" else level.all_input_nodes))
    return frozenset(str(node.target) for node in last)


def _keep_lead(model: fx.GraphModule) -> None:
    output = next(node for node in model.graph.nodes if node.op == "output")
    (maps,) = output.args
    output.args = ({"lead": maps["lead"], "aux": []},)
    model.graph.eliminate_dead_code()
    model.delete_all_unused_submodules()
    model.recompile()
