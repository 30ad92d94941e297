"""Layers without weights as nodes: a graph written out layer by layer has them, and some stand between blocks."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from .graph import Feature, Lowering
from .measures import ShapeError
from .ops import Gate, GlobalPool, TakeGroup
from .roles import CLOSED, Count


@dataclass(frozen=True, slots=True)
class ReOrg:
    """Space to depth: the first layer of the models for 1280 pixels."""

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        return net.space_to_depth(x)


@dataclass(frozen=True, slots=True)
class Join:
    """Concatenation of two or more nodes."""

    arity: ClassVar[int | None] = None
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        return net.concat(*inputs, at="")


@dataclass(frozen=True, slots=True)
class GroupJoin:
    """Concatenation of two or more nodes, sorted by group: the first group's share of each, then the second's."""

    groups: Count

    arity: ClassVar[int | None] = None
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        return net.group_concat(self.groups, *inputs, at="")


@dataclass(frozen=True, slots=True)
class Sum:
    """Element-wise sum of two or more nodes."""

    arity: ClassVar[int | None] = None
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        return net.add(*inputs, at="")


@dataclass(frozen=True, slots=True)
class Fold:
    """Groups of channels added up."""

    groups: Count

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        return net.fold(x, self.groups)


@dataclass(frozen=True, slots=True)
class TakeGroupNode:
    """The channels of one of several equal groups."""

    index: Annotated[int, Field(ge=0, strict=True)]  # from 0
    groups: Count

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        if self.index >= self.groups:
            raise ShapeError(f"index {self.index} of {self.groups} groups; they are counted from 0")
        return net.layer(TakeGroup(self.index, self.groups), x)


@dataclass(frozen=True, slots=True)
class GlobalPoolNode:
    """Mean over the whole map."""

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        return net.layer(GlobalPool(), x)


@dataclass(frozen=True, slots=True)
class GateNode:
    """A map multiplied by one number for each channel; it reads the map, then the numbers."""

    arity: ClassVar[int | None] = 2
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        return net.layer(Gate(), *inputs)


@dataclass(frozen=True, slots=True)
class MaxPoolNode:
    """Maximum over a window; at stride 1 the map keeps its size."""

    kernel: Count
    stride: Count = 1

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        return net.max_pool(x, self.kernel, self.stride)


@dataclass(frozen=True, slots=True)
class UpsampleNode:
    """Nearest-neighbour up-sampling to twice the height and width."""

    arity: ClassVar[int | None] = 1
    __pydantic_config__ = CLOSED

    def lower(self, net: Lowering, *inputs: Feature) -> Feature:
        (x,) = inputs
        return net.upsample(x)
