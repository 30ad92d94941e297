"""The words for blocks in an architecture file. A closed table: a new block is one class and one line here."""

from .convs import ConvNode, ReOrg, RepConvNode
from .csp import CspA, CspB, DarkBlock
from .elan import Elan
from .pyramid import Join, SppCspc, SppTiny, TopDown
from .roles import Block
from .transitions import DownC, Pool, PoolConv, StridedConv

BLOCKS: dict[str, type[Block]] = {
    "conv": ConvNode,
    "rep_conv": RepConvNode,
    "reorg": ReOrg,
    "elan": Elan,
    "dark_block": DarkBlock,
    "csp_a": CspA,
    "csp_b": CspB,
    "spp_cspc": SppCspc,
    "spp_tiny": SppTiny,
    "top_down": TopDown,
    "join": Join,
    "pool": Pool,
    "strided_conv": StridedConv,
    "pool_conv": PoolConv,
    "downc": DownC,
}

WORDS: dict[type[Block], str] = {kind: word for word, kind in BLOCKS.items()}

Transition = StridedConv | PoolConv | DownC
TRANSITIONS: dict[str, type[Transition]] = {"strided_conv": StridedConv, "pool_conv": PoolConv, "downc": DownC}
