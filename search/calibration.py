"""Which networks of a study's space a latency table is calibrated on. No torch."""

import numpy as np

from ..blocks.errors import InputError
from ..scaler.architecture import Architecture
from .candidates import Bases
from .space_table import nearest_miss, tabulate
from .study import Study

DRAWN = 5_000  # candidates to choose from


def calibration_networks(study: Study, bases: Bases, count: int) -> list[Architecture]:
    """At most `count` different candidates within the bounds, in equal steps of rank from the fewest FLOPs to the most.

    The ends are in it, so that as little as can be of the space lies beyond what is measured; between them chance
    decides, by the study's seed.

    Raises:
        InputError: none of the space can be built, or none is within the bounds.
    """
    whole = study.combinations is not None and study.combinations <= DRAWN
    table = tabulate(study, bases, None if whole else DRAWN)
    if not len(table):
        raise InputError(f"{study.name}: space: none of its candidates can be built; {next(iter(table.unbuildable))}")
    if not len(table.within):
        raise InputError(f"{study.name}: constraints: nothing to calibrate on: {nearest_miss(table, bases)}")
    rows = np.random.default_rng(study.seed).permutation(table.within)
    _, first = np.unique(table.identities[rows], return_index=True)
    rows = rows[np.sort(first)]
    by_flops = rows[np.argsort(table.counts.flops[rows], kind="stable")]
    chosen = np.unique(np.linspace(0, len(by_flops) - 1, count).round().astype(int))
    return [bases.candidate(table.values(int(row))).architecture for row in by_flops[chosen]]
