"""The counts of a detector as quadratic forms in its widths, read off its one lowering.

The lowering and the cost rules are run once, with a polynomial in place of each width (`scaler.polynomial`): parameters
and MACs come out as quadratic forms, biases and activations as linear ones, exactly. Counting a detector of other
widths is then rounding the widths and evaluating the forms, in whole numbers. Maps grow with the image's area, but for
those that a mean over a whole map leaves, which are counted apart.
"""

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..blocks.errors import InputError
from ..blocks.graph import Graph
from ..blocks.measures import Cost, total
from ..blocks.ops import GlobalPool
from ..blocks.roles import Role, fields_with
from .architecture import DETECT, Architecture, lower
from .block_scaling import DIVISORS, least_multiple
from .factors import parts_of_nodes
from .polynomial import NotPolynomialError, Polynomial, Whole, terms_of

Integers = NDArray[np.int64]
Parts = tuple[tuple[str, bool], ...]  # beginnings of nodes' names, and whether their factor is 1

ALL: Parts = (("", False),)  # one factor for every width
STEP = DIVISORS[0]  # every scaled width is a multiple of it
LARGEST = 1000  # no factor reaches it
LIMIT = 2**62  # what the machine's whole numbers hold, with room for a sum


@dataclass(frozen=True, slots=True)
class Forms:
    """The `figures` as quadratic forms in (1, k), where k = scaled widths / `STEP`."""

    own: Integers  # (n,) widths before scaling; fields that are equal, and scaled alike, are one unknown
    part: Integers  # (n,) place of the part whose factor scales it
    forms: Integers  # (4 or 7, 1 + n, 1 + n), upper triangles
    identity: NDArray[np.uint64]  # (1 + n,) linear form of `identity`, modulo 2^64

    def unknowns(self, numerators: Any, denominators: Any, divisor: int) -> Integers:
        """(1, k) for factors of the parts (parts,), or (parts, m) for m detectors: (1 + n,), or (1 + n, m)."""
        numerator, denominator = (np.asarray(side, dtype=np.int64)[self.part] for side in (numerators, denominators))
        own = self.own if numerator.ndim == 1 else self.own[:, None]
        k = least_multiple(own, numerator, denominator, divisor) // STEP
        return np.concatenate((np.ones_like(k[:1]), k))

    def evaluate(self, unknowns: Integers) -> Integers:
        """The figures, (4 or 7,) or (4 or 7, m), for (1, k)."""
        return (self.forms @ unknowns * unknowns).sum(axis=1)

    def identities(self, unknowns: Integers) -> NDArray[np.uint64]:
        """`identity` of the detectors, (m,), for (1, k) of each, (1 + n, m)."""
        return (self.identity[:, None] * unknowns.astype(np.uint64)).sum(axis=0, dtype=np.uint64)


def forms_of(architecture: Architecture, parts: Parts = ALL) -> Forms | None:
    """The forms; None where the counts are no polynomials in the widths, or too large.

    Widths of no part, or of one whose factor is 1, stay as they are.

    Raises:
        ScaleError: no node's name begins with one of the parts.
    """
    unknowns: dict[tuple[int, int], Polynomial] = {}
    *blocks, head = _widths_unknown(architecture, parts, unknowns)
    try:
        train = lower(architecture, blocks, head=head)
        counts = figures(train.deployed(), architecture.strides[-1])
        key = identity(train)
    except (NotPolynomialError, InputError, TypeError):  # a rule asks more of a width than sums and products
        return None
    own, part = zip(*unknowns, strict=True) if unknowns else ((), ())
    largest = [1, *(least_multiple(width, LARGEST, 1, DIVISORS[-1]) // STEP for width in own)]
    if any(len(product) > 2 for count in counts for product in terms_of(count)):
        return None
    if max(Polynomial(terms_of(count)).at(largest) for count in counts) >= LIMIT:
        return None
    forms = np.zeros((len(counts), len(largest), len(largest)), dtype=np.int64)
    for form, count in zip(forms, counts, strict=True):
        for product, coefficient in terms_of(count).items():
            form[_entry(product)] = coefficient
    linear = np.zeros(len(largest), dtype=np.uint64)
    for product, coefficient in terms_of(key).items():
        linear[_entry(product)[1]] = coefficient % 2**64
    return Forms(np.array(own, dtype=np.int64), np.array(part, dtype=np.int64), forms, linear)


def figures(deploy: Graph, stride: int) -> list[Whole]:
    """Params of a deploy graph, then the MACs, biases and activations of each square of `stride` pixels of the image.

    Behind them, where there are any, the three that are the same whatever the image's size: of means over whole maps,
    and of what is made of them alone.
    """
    means: set[str] = set()
    growing, fixed = [Cost()], [Cost()]
    for layer, _, cost in deploy.costs(stride):
        if isinstance(layer.op, GlobalPool) or (layer.inputs and means.issuperset(layer.inputs)):
            means.add(layer.name)
            fixed.append(cost)
        else:
            growing.append(cost)
    each, rest = total(growing), total(fixed)
    found: list[Whole] = [each.params + rest.params, each.macs, each.biases, each.activations]
    return found if rest == Cost() else [*found, rest.macs, rest.biases, rest.activations]


def of_size(figures: Any, area: Any) -> list[Any]:
    """Params, MACs, biases and activations of an image of `area` squares, from `figures` of one detector or of many."""
    params, *maps = figures
    return [params, *(each * area + rest for each, rest in zip(maps[:3], maps[3:] or (0, 0, 0), strict=True))]


def identity(train: Graph) -> Whole:
    """A number modulo 2^64 that is equal for equal detectors, and for others only by a chance of one in 2^60.

    A hash of the graph without its widths, plus each layer's width times a random number for its place.
    """
    place = {layer.name: str(index) for index, layer in enumerate(train.layers)}
    draw = random.Random(0)
    lines: list[str] = []
    widths: Whole = 0
    for layer in train.layers:
        op: Any = layer.op
        if "out" in op.__dataclass_fields__:
            widths = widths + op.out * draw.getrandbits(64)
            op = replace(op, out=0)
        lines.append(f"{op} {[place[name] for name in layer.inputs]}" if layer.inputs else "")
    lines += [f"lead {[place[name] for name in train.lead]}", f"aux {[place[name] for name in train.aux]}"]
    digest = hashlib.sha256("\n".join(lines).encode()).digest()
    return widths + int.from_bytes(digest[:8], "big")


def _widths_unknown(
    architecture: Architecture, parts: Parts, unknowns: dict[tuple[int, int], Polynomial]
) -> Sequence[Any]:
    """The blocks, and then the head, with an unknown in place of each width that is scaled.

    `unknowns` gets them by width and part.
    """
    place = {part: index for index, (part, one) in enumerate(parts) if not one}
    things: dict[str, Any] = {**{node.name: node.block for node in architecture.nodes}, DETECT: architecture.head}
    of_nodes: Mapping[str, str | None] = dict.fromkeys(things, "")
    if parts is not ALL:
        of_nodes = parts_of_nodes("width", architecture, tuple(part for part, _ in parts))

    def unknown(own: int | None, part: str | None) -> Whole | None:
        if own is None or part not in place:
            return own
        return unknowns.setdefault((own, place[part]), Polynomial.unknown(len(unknowns) + 1, STEP))

    def with_unknowns(name: str, thing: Any) -> Any:
        widths = fields_with(type(thing), Role.INSIDE, Role.OUTSIDE)
        return replace(thing, **{width: unknown(getattr(thing, width), of_nodes[name]) for width in widths})

    return [with_unknowns(name, thing) for name, thing in things.items()]


def _entry(product: tuple[int, ...]) -> tuple[int, int]:
    """Where a product of at most two unknowns stands in a form of (1, k)."""
    first, second = (*[0] * (2 - len(product)), *product)
    return first, second
