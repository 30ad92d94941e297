"""The parts of a detector, found by its wiring: stem, backbone, neck, heads; and the names that follow from them.

The zoo's names are such: `stem.conv`, `backbone.p3.elan`, `neck.p4.top_down`, `head.p3`. No torch.
"""

from collections import Counter
from dataclasses import replace
from itertools import takewhile

from ..blocks.aggregation import PartialOsa
from ..blocks.convs import ConvNode, ConvStack, RepConvNode
from ..blocks.csp import CspA, CspB
from ..blocks.plain import MaxPoolNode, ReOrg, UpsampleNode
from ..blocks.pyramid import Spp, SppCspc, SppTiny, TopDown
from ..blocks.rep_csp import CspRepPan, CspRepStage
from ..blocks.residual import DarkBlock, ResBlock
from ..blocks.roles import Block, Role, fields_with
from ..blocks.stems import StemBlock
from ..blocks.transitions import DownC, Pool, PoolConv, StridedConv
from ..blocks.vocabulary import WORDS
from .architecture import IMAGE, NOMINAL, Architecture, Node
from .wiring import wiring

STEM_REDUCES = 2  # strided convs of a stem that brings the image to a quarter of its side by itself

KINDS: dict[type[Block], str] = {
    **dict.fromkeys((CspA, CspB, CspRepStage, CspRepPan), "csp"),
    **dict.fromkeys((Spp, SppCspc, SppTiny), "spp"),
    PartialOsa: "osa",
    ConvStack: "convs",
    **dict.fromkeys((StridedConv, PoolConv, DownC, Pool), "down"),
    DarkBlock: "dark",
    ResBlock: "res",
    StemBlock: "block",
    ReOrg: "reorg",
}


def stem(architecture: Architecture) -> tuple[str, ...]:
    """The nodes before the first block: convs, a space-to-depth or a stem block, that the image goes through alone.

    A strided conv at their end is the transition to the first block's level, and no part of the stem, unless the stem
    has two: it then halves the image's sides twice by itself, as YOLOv7's does.
    """
    before = IMAGE
    nodes: list[Node] = []
    for node in architecture.nodes:
        if node.inputs != (before,) or not isinstance(node.block, ConvNode | ReOrg | StemBlock):
            break
        nodes.append(node)
        before = node.name
    if nodes and _is_strided(nodes[-1].block) and sum(_is_strided(node.block) for node in nodes) < STEM_REDUCES:
        nodes.pop()
    return tuple(node.name for node in nodes)


def with_transitions(architecture: Architecture) -> Architecture:
    """The same detector, its strided convs and bare max-pools after the stem known as transitions."""
    before = stem(architecture)

    def known(node: Node) -> Node:
        match node.block:
            case ConvNode(out, 3, 2, 1, act, True) if node.name not in before and act != "none":
                return replace(node, block=StridedConv(out), act=None if act == architecture.activation else act)
            case MaxPoolNode(2, 2):
                return replace(node, block=Pool())
            case _:
                return node

    nodes = tuple(map(known, architecture.nodes))
    return architecture if nodes == architecture.nodes else replace(architecture, nodes=nodes)


def named_by_place(architecture: Architecture) -> Architecture:
    """The same detector, its nodes called by part, pyramid level and kind, as in the zoo.

    In the neck a computational block's number says on which way it stands: 1 on the way down the pyramid, 2 on the way
    up again.
    """
    names = _names(architecture)
    numbered = Counter(names)
    seen: Counter[str] = Counter()
    renamed: dict[str, str] = {}
    for node, name in zip(architecture.nodes, names, strict=True):
        seen[name] += 1
        renamed[node.name] = f"{name}{seen[name]}" if numbered[name] > 1 else name

    def led(reference: str) -> str:
        parts = reference.split(".")
        owner = next(
            (".".join(parts[:length]) for length in range(len(parts), 0, -1) if ".".join(parts[:length]) in renamed), ""
        )
        return f"{renamed[owner]}{reference[len(owner) :]}" if owner else reference

    return replace(
        architecture,
        nodes=tuple(
            replace(node, name=renamed[node.name], inputs=tuple(map(led, node.inputs))) for node in architecture.nodes
        ),
        heads=tuple(map(led, architecture.heads)),
        aux=tuple(map(led, architecture.aux)),
        rep=tuple(replace(place, at=led(place.at)) for place in architecture.rep),
    )


def _names(architecture: Architecture) -> list[str]:
    features = wiring(architecture).features
    before = stem(architecture)
    backbone = [node.name for node in takewhile(lambda node: not _begins_neck(node, architecture), architecture.nodes)]
    upwards = False
    names: list[str] = []
    for node in architecture.nodes:
        block, kind = node.block, KINDS.get(type(node.block), WORDS[type(node.block)])
        level = (NOMINAL // features[node.name].shape.height).bit_length() - 1
        part = "stem" if node.name in before else "backbone" if node.name in backbone else "neck"
        upwards |= part == "neck" and kind == "down"
        way = ("2" if upwards else "1") if part == "neck" and _is_computational(block) else ""
        if isinstance(block, ConvNode | RepConvNode) and node.name in (*architecture.heads, *architecture.aux):
            names.append(f"{'head' if node.name in architecture.heads else 'aux'}.p{level}")
        else:
            names.append(f"stem.{kind}" if part == "stem" else f"{part}.p{level}.{kind}{way}")
    return names


def _is_strided(block: Block) -> bool:
    return isinstance(block, ConvNode) and block.stride > 1


def _is_computational(block: Block) -> bool:
    return isinstance(block, DarkBlock | ResBlock) or bool(fields_with(type(block), Role.DEPTH, Role.REPEATS))


def _begins_neck(node: Node, architecture: Architecture) -> bool:
    """Whether a node is pyramid pooling on top of the backbone, or on the way to the first up-sampling."""
    readers = [reader.block for reader in architecture.nodes if node.name in reader.inputs]
    match node.block:
        case SppCspc() | SppTiny() | TopDown() | UpsampleNode() | CspRepPan() | ConvStack():
            return True
        case Spp():
            return not any(map(_is_computational, readers))  # YOLOX pools within its backbone's last stage
        case _:
            return any(isinstance(reader, UpsampleNode) for reader in readers)
