"""Zen-score: how strongly an untrained network's features follow a small change of its input."""

import torch
from torch import Tensor, fx, nn

from .initialised import predicting, watching

ALPHA = 0.01  # size of the change


@torch.no_grad()
def zen(model: fx.GraphModule, noise: Tensor) -> float:
    """The mean Zen-score of what is predicted from, on Gaussian noise (2 N, 3, H, W): N images, then N changes of them.

    Of features f, which a level of the network predicts from, log E |f(x) - f(x + alpha e)| plus, for each batch norm
    on the way to it, the log of the standard deviation that it divides by, as without batch norm the difference would
    be so much larger; |.| is the sum over the features. Weights are to be standard normal (`initialised.gaussian`).

    Source: Lin et al., "Zen-NAS: a zero-shot NAS for high-performance deep image recognition", ICCV 2021,
        arXiv:2102.01063, Algorithm 1. Adapted: the paper's networks are chains. Where features of several ways are
        joined, the way with the greatest sum counts, whose features would drown the others without batch norm. Image
        and changed image pass as one batch, so that both are normalised alike.
    """
    images, changes = noise.chunk(2)
    ends = predicting(model)
    features: dict[str, Tensor] = {}
    spread: dict[str, float] = {}  # of the inputs of batch norms, as logarithms

    def look(name: str, x: Tensor) -> None:
        if name in ends:
            features[name] = x
        else:
            spread[name] = float(x.double().var((0, 2, 3), correction=0).mean().log() / 2)

    with watching(model, (nn.BatchNorm2d,), look, named=ends):
        model(torch.cat((images, images + ALPHA * changes)))
    taken_back = _longest(model, spread)
    scores = []
    for name, x in features.items():
        before, after = x.double().chunk(2)
        scores.append(float((before - after).abs().sum((1, 2, 3)).mean().log()) + taken_back[name])
    return sum(scores) / len(scores)


def _longest(model: fx.GraphModule, spread: dict[str, float]) -> dict[str, float]:
    """For each layer, the greatest sum of `spread` on a way to it from the image; of parallel norms the greatest."""
    reached: dict[fx.Node, float] = {}
    for node in model.graph.nodes:
        own = [log for name, log in spread.items() if node.op == "call_module" and name.startswith(f"{node.target}.")]
        reached[node] = max((reached[source] for source in node.all_input_nodes), default=0.0) + max(own, default=0.0)
    return {str(node.target): total for node, total in reached.items() if node.op == "call_module"}
