"""Where a detector's weights go in a scaled variant of it, so that the variant computes the same function. No torch.

Every channel of both graphs is given a number for what it computes, so that equal numbers mean equal features. A layer
of the variant takes over the weights of the base's layer of its name, laid out by these numbers: columns that read new
features are zero, and what is added to a known feature (a new group of an E-ELAN, a new residual unit) ends in a batch
norm whose gain and bias are zero. Source: function-preserving transformations of Net2Net, arXiv:1511.05641; new
channels do not repeat old ones here but begin as fresh ones that nothing reads yet.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from ..blocks.errors import InputError
from ..blocks.graph import Graph, Layer
from ..blocks.levels import AnchorFree, Distribution, Predict
from ..blocks.measures import Shape
from ..blocks.ops import (
    Add,
    ChannelShuffle,
    Concat,
    Conv,
    Gate,
    GlobalPool,
    GroupConcat,
    Image,
    MaxPool,
    RepConv,
    SpaceToDepth,
    TakeGroup,
    Upsample,
)
from .architecture import Architecture

Feature = int  # the number of what a channel computes
Place = tuple[list[int], list[int], list[int]]  # rows and columns of the larger weight, and the smaller one's rows


@dataclass(frozen=True)
class GrowthPlan:
    """What of a base goes where in a variant, by the names of layers that both have."""

    convs: dict[str, list[Place]]
    heads: dict[str, list[int]]  # the columns of the larger weight that the base's are
    silent: dict[str, list[int]]  # channels that begin as zero, since their sum with a known feature must not change it


class GrowthError(InputError):
    """A detector is no growth of another."""


@lru_cache(maxsize=8)
def plan_growth(variant: Architecture, base: Architecture) -> GrowthPlan:
    """Find where each weight of `base` goes in `variant` so that the lead heads' maps and boxes stay the same.

    Depth of concatenating blocks and of residual chains, width, compound, extend, RepConvs in place of 3x3 convs,
    implicit vectors, auxiliary heads and further pyramid levels grow so. An auxiliary head that finds what it read
    takes its weights over, another begins afresh.

    Raises:
        GrowthError: `variant` lacks something that the base computes; with the layer.
    """
    growing = _Growing(f"{variant.name} does not grow out of {base.name}")
    growing.work_out(variant.graph(), base.graph())
    silent = {name: sorted(channels) for name, channels in growing.silent.items()}
    return GrowthPlan(growing.convs, growing.heads, silent)


@dataclass
class _Growing:
    refusal: str
    numbers: dict[Hashable, Feature] = field(default_factory=dict)
    known: dict[str, list[Feature]] = field(default_factory=dict)  # of each layer of the base
    sources: dict[Feature, tuple[str, int]] = field(default_factory=dict)  # new features: a conv's channel
    silent: dict[str, set[int]] = field(default_factory=dict)  # channels of new features that must be zero
    convs: dict[str, list[Place]] = field(default_factory=dict)
    heads: dict[str, list[int]] = field(default_factory=dict)

    def work_out(self, graph: Graph, base: Graph) -> None:
        before = {layer.name: layer for layer in base.layers}
        for layer in base.layers:
            inputs = [self.known[name] for name in layer.inputs]
            self.known[layer.name] = (
                [self._number("conv", layer.name, channel) for channel in range(layer.op.out)]
                if isinstance(layer.op, Conv | RepConv | Predict)
                else self._passed(layer, inputs, self._sum)
            )
        features = {feature for of in self.known.values() for feature in of}
        needed = {layer.name for layer in graph.keep(graph.lead)}

        def added(values: Sequence[Feature]) -> Feature:
            old = [value for value in values if value in features]
            new = [value for value in values if value not in features]
            total = self._sum(old) if old else -1
            if total not in features or not all(value in self.sources for value in new):
                return self._number("new sum", *values)
            for value in new:
                name, channel = self.sources[value]
                self.silent.setdefault(name, set()).add(channel)
            return total

        found: dict[str, list[Feature]] = {}
        for layer in graph.layers:
            inputs = [found[name] for name in layer.inputs]
            if not isinstance(layer.op, Conv | RepConv | Predict):
                found[layer.name] = self._passed(layer, inputs, added)
                continue
            try:
                found[layer.name] = self._placed(layer, inputs[0], before.get(layer.name))
            except GrowthError:
                if layer.name in needed:
                    raise
                found[layer.name] = self._fresh(layer)
        if missing := [name for name in base.lead if name not in graph.lead]:
            raise GrowthError(f"{self.refusal}: it has no head {missing[0]}")
        ends = {layer.name: type(layer.op) for layer in graph.layers}
        if other := [name for name in base.lead if ends[name] is not type(before[name].op)]:
            raise GrowthError(f"{self.refusal}: {other[0]}: is another kind of head than the base's")

    def _number(self, *key: Hashable) -> Feature:
        return self.numbers.setdefault(key, len(self.numbers))

    def _sum(self, values: Sequence[Feature]) -> Feature:
        return values[0] if len(values) == 1 else self._number("sum", *sorted(values))

    def _fresh(self, layer: Layer) -> list[Feature]:
        assert isinstance(layer.op, Conv | RepConv | Predict)
        fresh = [self._number("new", layer.name, channel) for channel in range(layer.op.out)]
        self.sources |= {feature: (layer.name, channel) for channel, feature in enumerate(fresh)}
        return fresh

    def _passed(
        self, layer: Layer, inputs: list[list[Feature]], add: Callable[[Sequence[Feature]], Feature]
    ) -> list[Feature]:
        """What the channels of a layer without weights compute."""
        match layer.op:
            case Image(channels=channels):
                return [self._number("image", channel) for channel in range(channels)]
            case MaxPool(kernel, stride):
                return [self._number("max", kernel, stride, value) for value in inputs[0]]
            case Upsample(factor):
                return [self._number("up", factor, value) for value in inputs[0]]
            case SpaceToDepth():
                return [self._number("part", part, value) for part in range(4) for value in inputs[0]]
            case GlobalPool():
                return [self._number("mean", value) for value in inputs[0]]
            case Gate():
                return [self._number("gated", *values) for values in zip(*inputs, strict=True)]
            case Concat() | AnchorFree() | Distribution():
                return [value for part in inputs for value in part]
            case GroupConcat(groups):
                return [value for group in range(groups) for part in inputs for value in _group(part, group, groups)]
            case TakeGroup(index, groups):
                return list(_group(inputs[0], index, groups))
            case ChannelShuffle(groups):
                return [value for mixed in zip(*_groups(inputs[0], groups), strict=True) for value in mixed]
            case Add():
                return [add(values) for values in zip(*inputs, strict=True)]
            case _:
                raise TypeError(f"{layer.name}: {layer.op} is not in a train graph")

    def _placed(self, layer: Layer, inputs: list[Feature], before: Layer | None) -> list[Feature]:
        """What the channels of a layer with weights compute, when it holds the base's; new features if it holds none.

        Raises:
            GrowthError: it has the base's name, and cannot hold its weights.
        """
        if before is None:
            return self._fresh(layer)
        where = f"{self.refusal}: {layer.name}"
        _check_alike(layer.op, before.op, where)
        features = self._fresh(layer)
        read = self.known[before.inputs[0]]
        if isinstance(layer.op, Predict):
            self.heads[layer.name] = _columns(read, inputs, where)
            return features
        assert isinstance(layer.op, Conv | RepConv)
        assert isinstance(before.op, Conv | RepConv)
        parts = list(_places(layer.op, before.op, inputs, read, where))
        if _has_identity(before.op, read):
            parts = _places_of_identity(layer.op, inputs, read, parts, where)
        for rows, _, own in parts:
            for row, channel in zip(rows, own, strict=True):
                features[row] = self.known[layer.name][channel]
                self.sources.pop(self._number("new", layer.name, row), None)
        self.convs[layer.name] = parts
        return features


def _check_alike(op: object, before: object, where: str) -> None:
    match op, before:
        case Predict(), Predict() if (op.anchors, op.classes) != (before.anchors, before.classes):
            raise GrowthError(f"{where}: predicts other anchors or classes than the base's")
        case (Predict(), Predict()) | (RepConv(), RepConv()):
            pass
        case Conv(), Conv() if (op.kernel, op.norm) == (before.kernel, before.norm):
            pass
        case RepConv(), Conv(kernel=3, norm=True):
            pass
        case _:
            raise GrowthError(f"{where}: is another kind of layer than the base's")
    for fact in ("stride", "act"):
        if getattr(op, fact, None) != getattr(before, fact, None):
            raise GrowthError(f"{where}: its {fact} is {getattr(op, fact)!r}, the base's {getattr(before, fact)!r}")


def _places(
    op: Conv | RepConv, before: Conv | RepConv, inputs: list[Feature], read: list[Feature], where: str
) -> Iterator[Place]:
    """Where the base's weights go, for each of its groups: behind one another in the group that reads what it read."""
    ours, wide = _groups(inputs, op.groups), op.out // op.groups
    filled = [0] * op.groups
    for group in range(before.groups):
        wanted = _group(read, group, before.groups)
        fits = [index for index in range(op.groups) if set(wanted) <= set(ours[index])]
        if not fits:
            missing = len(set(wanted) - set(inputs))
            lost = f"{missing} of the {len(wanted)} channels it read" if missing else "in one group what it read in one"
            raise GrowthError(f"{where}: no longer finds {lost}")
        rows = range(before.out // before.groups)
        home = next((index for index in fits if filled[index] + len(rows) <= wide), None)
        if home is None:
            raise GrowthError(f"{where}: is narrower than the base's, {op.out} channels instead of {before.out}")
        start = home * wide + filled[home]
        filled[home] += len(rows)
        columns = _columns(wanted, ours[home], where)
        yield [start + row for row in rows], columns, [group * len(rows) + row for row in rows]


def _places_of_identity(
    op: Conv | RepConv, inputs: list[Feature], read: list[Feature], parts: list[Place], where: str
) -> list[Place]:
    """A layer that adds its input to its output keeps each output channel where that input channel is."""
    if not _has_identity(op, inputs):
        raise GrowthError(f"{where}: has no identity branch, as the base's has")
    at = {value: position for position, value in reversed(list(enumerate(inputs)))}
    return [([at[read[row]] for row in own], columns, own) for _, columns, own in parts]


def _has_identity(op: Conv | RepConv, inputs: list[Feature]) -> bool:
    return isinstance(op, RepConv) and op.branches(Shape(len(inputs), 1, 1)) > 2


def _columns(wanted: Sequence[Feature], inputs: Sequence[Feature], where: str) -> list[int]:
    """Where each feature that the base's layer reads is now; one that it reads twice, at two places."""
    at: dict[Feature, list[int]] = {}
    for position, value in reversed(list(enumerate(inputs))):
        at.setdefault(value, []).append(position)
    missing = sum(value not in at for value in wanted)
    if missing or any(count > len(at[value]) for value, count in Counter(wanted).items()):
        raise GrowthError(f"{where}: no longer finds {missing or 'twice some'} of the {len(wanted)} channels it read")
    return [at[value].pop() for value in wanted]


def _group(values: Sequence[Feature], index: int, groups: int) -> Sequence[Feature]:
    wide = len(values) // groups
    return values[index * wide : (index + 1) * wide]


def _groups(values: Sequence[Feature], groups: int) -> list[Sequence[Feature]]:
    return [_group(values, index, groups) for index in range(groups)]
