"""Counts from the graph alone: no tensor, no torch module. FLOPs exist only with the name of a convention."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Protocol, Self, TypeVar

from ..blocks.errors import InputError, nearest
from ..blocks.graph import Graph
from ..blocks.measures import Cost, Shape, total
from ..blocks.ops import Add, Conv, MaxPool, Op, RepConv, Upsample

Form = Literal["deploy", "merged", "lead", "train"]


@dataclass(frozen=True, slots=True)
class Convention:
    """A way to count FLOPs: on which graph, by which rule, and who does."""

    form: Form  # deploy graph; RepConvs alone folded; train graph without auxiliary heads; whole train graph
    rule: Callable[["LayerCost"], int]
    meaning: str


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One layer's shapes and cost. Of the image and of ops without weights, the cost is zero."""

    name: str
    node: str
    op: Op
    reads: tuple[str, ...]  # names of the layers that it reads
    output: Shape
    cost: Cost


def _upsampled(layer: LayerCost) -> int:
    return layer.output.elements if isinstance(layer.op, Upsample) else 0


def _leaky(layer: LayerCost) -> int:
    act = layer.op.act if isinstance(layer.op, Conv | RepConv) else None
    return layer.output.elements if act == "leaky_relu" else 0


def _moved_by_darknet(layer: LayerCost) -> int:
    match layer.op:
        case MaxPool(kernel):
            return kernel**2 * layer.output.elements
        case Add():
            return (len(layer.reads) - 1) * layer.output.elements
        case _:
            return 0


CONVENTIONS: dict[str, Convention] = {
    "paper": Convention(
        "deploy",
        lambda layer: 2 * (layer.cost.macs + layer.cost.biases),
        "2 x (MACs + one per element to which a bias is added) of the deploy graph: the YOLOv7 paper's tables",
    ),
    "paper-train": Convention(
        "train",
        lambda layer: 2 * (layer.cost.macs + layer.cost.activations),
        "as paper, but of the unfolded train graph with its auxiliary heads: the paper's row of YOLOv7-D6",
    ),
    "unfused-bn": Convention(
        "lead",
        lambda layer: 2 * (layer.cost.macs + 2 * layer.cost.normed),
        "2 x (MACs + 2 per batch-norm output) before folding, no biases: three rows of the paper",
    ),
    "unfused": Convention(
        "lead",
        lambda layer: 2 * (layer.cost.macs + 2 * layer.cost.normed + layer.cost.biases + _leaky(layer)),
        "as unfused-bn, and one per element to which a bias is added or a leaky ReLU applied: YOLOX, YOLOv4",
    ),
    "darknet": Convention(
        "deploy",
        lambda layer: 2 * layer.cost.macs + _moved_by_darknet(layer),
        "2 x MACs + window size per max-pooled element + one per added element: darknet's own BFLOPs",
    ),
    "paddle": Convention(
        "merged",
        lambda layer: 2 * (layer.cost.macs + 2 * layer.cost.normed),
        "2 x (MACs + 2 per batch-norm output) with RepConvs alone folded: PP-YOLOE (a rule fitted to its figures)",
    ),
    "macs-x2": Convention("deploy", lambda layer: 2 * layer.cost.macs, "2 x MACs of the deploy graph"),
    "fvcore": Convention(
        "deploy",
        lambda layer: 2 * (layer.cost.macs + _upsampled(layer)),
        "2 x what fvcore prints: it counts a multiply-add once, no bias, and one per up-sampled element",
    ),
    "ptflops": Convention(
        "deploy",
        lambda layer: 2 * (layer.cost.macs + layer.cost.biases),
        "2 x the MACs that ptflops' aten backend prints: biases are in, as in the paper",
    ),
}


@dataclass(frozen=True)
class CostReport:
    """The count of one detector at one input size, batch 1."""

    size: int
    deploy: tuple[LayerCost, ...]
    lead: tuple[LayerCost, ...]
    train: tuple[LayerCost, ...]

    @cached_property
    def total(self) -> Cost:
        """Cost of the deploy graph."""
        return total([layer.cost for layer in self.deploy])

    @property
    def params(self) -> int:
        """Parameters of the deploy graph: batch norm, RepConv and implicit vectors folded, auxiliary heads cut."""
        return self.total.params

    @cached_property
    def params_train(self) -> int:
        """Trainable parameters of the train graph."""
        return self.params_of("train")

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the deploy graph."""
        return self.total.macs

    @property
    def activations(self) -> int:
        """Output elements of the deploy graph's convolutions (Dollár et al., arXiv:2103.06877)."""
        return self.total.activations

    @cached_property
    def merged(self) -> tuple[LayerCost, ...]:
        """The train graph without auxiliary heads, of which RepConvs alone are folded."""
        deployed = {layer.name: layer for layer in self.deploy}
        return tuple(deployed[layer.name] if isinstance(layer.op, RepConv) else layer for layer in self.lead)

    def params_of(self, form: Form) -> int:
        """Trainable parameters of the graph in one of its forms."""
        return total([layer.cost for layer in getattr(self, form)]).params

    def flops(self, convention: str = "paper") -> int:
        """Floating-point operations under a named convention of `CONVENTIONS`.

        Raises:
            InputError: the convention is unknown.
        """
        if convention not in CONVENTIONS:
            raise InputError(f"no FLOPs convention is called {convention!r}; {nearest(convention, CONVENTIONS)}")
        rule = CONVENTIONS[convention]
        return sum(rule.rule(layer) for layer in getattr(self, rule.form))

    @cached_property
    def blocks(self) -> dict[str, Cost]:
        """Cost of the deploy graph for each node of the architecture, in order."""
        return by_block(self.deploy, (layer.cost for layer in self.deploy))

    @cached_property
    def outputs(self) -> dict[str, Shape]:
        """What each node passes on to others. Parts that only a later concat joins count as joined."""
        node = {layer.name: layer.node for layer in self.deploy}
        read = {name for layer in self.deploy for name in layer.reads if node[name] != layer.node}
        outputs: dict[str, Shape] = {}
        for layer in self.deploy:
            if layer.name in read or layer is self.deploy[-1]:
                known = outputs.get(layer.node)
                channels = layer.output.channels + (known.channels if known else 0)
                outputs[layer.node] = replace(layer.output, channels=channels)
        return outputs

    def to_json(self) -> dict[str, Any]:
        """Plain data: totals, FLOPs by convention, a row for each block."""
        return {
            "size": self.size,
            "params": self.params,
            "params_train": self.params_train,
            "macs": self.macs,
            "flops": {name: self.flops(name) for name in CONVENTIONS},
            "activations": self.activations,
            "blocks": [
                {
                    "name": node,
                    "output": str(self.outputs[node]),
                    "params": cost.params,
                    "macs": cost.macs,
                    "activations": cost.activations,
                }
                for node, cost in self.blocks.items()
            ],
        }


class _Addable(Protocol):
    def __add__(self, other: Self, /) -> Self: ...


_Figure = TypeVar("_Figure", bound=_Addable)


def by_block(layers: tuple[LayerCost, ...], figures: Iterable[_Figure]) -> dict[str, _Figure]:
    """The sums of figures, one of each layer, for each node of the architecture, in order."""
    blocks: dict[str, _Figure] = {}
    for layer, figure in zip(layers, figures, strict=True):
        blocks[layer.node] = blocks[layer.node] + figure if layer.node in blocks else figure
    return blocks


def count(train: Graph, deploy: Graph, size: int) -> CostReport:
    """Count the two graphs of a detector at `size` pixels."""
    return CostReport(size, _layers(deploy, size), _layers(train.lead_only(), size), _layers(train, size))


def _layers(graph: Graph, size: int) -> tuple[LayerCost, ...]:
    return tuple(
        LayerCost(layer.name, layer.node, layer.op, layer.inputs, output, cost)
        for layer, output, cost in graph.costs(size)
    )
