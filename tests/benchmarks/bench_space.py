"""Counting a million candidates exactly: params, FLOPs and activations of each, and a sample of them counted alone.

Run by `make bench`. The space is yolov7 by compound depth, E-ELAN groups, width and size; 1,000 candidates drawn at
random are counted one by one and must agree to the last digit.
"""

import itertools
import resource
import time

import catscale
import numpy as np
from catscale.scaler.space_cost import count_widths

COMPOUND, GROUPS = (0.5, 1.0, 1.5, 2.0), (1, 2, 3, 4)
CANDIDATES, CHUNK, SAMPLE = 1_000_000, 62_500, 1_000


def test_space(capsys) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    structures = list(itertools.product(COMPOUND, GROUPS))
    each = CANDIDATES // len(structures)
    widths = rng.integers(8, 256, (len(structures), each)) / 128
    sizes = rng.integers(8, 41, (len(structures), each)) * 32
    start = time.perf_counter()
    counted = []
    for (compound, groups), width, size in zip(structures, widths, sizes, strict=True):
        base = catscale.load("yolov7").scale(compound=compound, extend=groups)
        chunks = (slice(place, place + CHUNK) for place in range(0, each, CHUNK))
        counted += [count_widths(base, width[chunk].tolist(), size[chunk]) for chunk in chunks]
    seconds = time.perf_counter() - start
    columns = {name: np.concatenate([getattr(c, name) for c in counted]) for name in ("params", "flops", "activations")}

    start = time.perf_counter()
    for index in rng.choice(CANDIDATES, SAMPLE, replace=False):
        compound, groups = structures[index // each]
        factor, size = float(widths.flat[index]), int(sizes.flat[index])
        cost = catscale.load("yolov7").scale(compound=compound, extend=groups, width=factor).cost(size)
        alone = (cost.params, cost.flops("paper"), cost.activations)
        assert alone == tuple(int(column[index]) for column in columns.values())
    alone_ms = 1e3 * (time.perf_counter() - start) / SAMPLE
    with capsys.disabled():
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"\n{CANDIDATES:,} candidates (yolov7: 4 depths x 4 groups x widths x sizes) in {seconds:.1f} s,", end=" "
        )
        print(f"{CANDIDATES / seconds:,.0f} a second, peak memory {peak:.2f} GiB")
        print(f"{SAMPLE:,} of them counted alone: {alone_ms:.1f} ms each, all equal to the last digit")
