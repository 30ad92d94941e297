"""The words for blocks in an architecture file. A closed table: a new block is one class and one line here."""

from .aggregation import Dense, Osa, PartialOsa
from .convs import ConvNode, ConvStack, RepConvNode
from .csp import CspA, CspB
from .elan import Elan
from .plain import (
    Fold,
    GateNode,
    GlobalPoolNode,
    GroupJoin,
    Join,
    MaxPoolNode,
    ReOrg,
    Sum,
    TakeGroupNode,
    UpsampleNode,
)
from .pyramid import Pools, Spp, SppCspc, SppTiny, TopDown
from .rep_csp import CspRepPan, CspRepStage
from .residual import Chain, DarkBlock, ResBlock
from .roles import Block
from .separable import SeparableConv
from .stems import StemBlock
from .transitions import DownC, Pool, PoolConv, StridedConv

BLOCKS: dict[str, type[Block]] = {
    "conv": ConvNode,
    "rep_conv": RepConvNode,
    "separable_conv": SeparableConv,
    "conv_stack": ConvStack,
    "stem_block": StemBlock,
    "reorg": ReOrg,
    "elan": Elan,
    "osa": Osa,
    "partial_osa": PartialOsa,
    "dense": Dense,
    "dark_block": DarkBlock,
    "res_block": ResBlock,
    "chain": Chain,
    "csp_a": CspA,
    "csp_b": CspB,
    "csp_rep_stage": CspRepStage,
    "csp_rep_pan": CspRepPan,
    "pools": Pools,
    "spp": Spp,
    "spp_cspc": SppCspc,
    "spp_tiny": SppTiny,
    "top_down": TopDown,
    "join": Join,
    "group_join": GroupJoin,
    "sum": Sum,
    "fold": Fold,
    "take_group": TakeGroupNode,
    "global_pool": GlobalPoolNode,
    "gate": GateNode,
    "max_pool": MaxPoolNode,
    "upsample": UpsampleNode,
    "pool": Pool,
    "strided_conv": StridedConv,
    "pool_conv": PoolConv,
    "downc": DownC,
}

WORDS: dict[type[Block], str] = {kind: word for word, kind in BLOCKS.items()}

Transition = StridedConv | PoolConv | DownC
TRANSITIONS: dict[str, type[Transition]] = {"strided_conv": StridedConv, "pool_conv": PoolConv, "downc": DownC}
