"""The Pareto front of many points: ours as it is installed, ours in numpy alone, and its peers, in the same run.

Run by `make bench`. Points drawn evenly from a cube, of which few are on the front; and of a shell, the outer tenth of
a sphere, of which very many are. Peers: Optuna's own front, and moocore (M. López-Ibáñez), whose C code ours calls from
three objectives on where it is installed. Seconds, the median of three; a way that would take minutes is left out.
"""

from collections.abc import Callable
from statistics import median
from time import perf_counter

import numpy as np
import pytest
from catscale.search import pareto
from catscale.search.quantities import Direction

CASES = [
    ("cube", 1_000_000, 2),
    ("cube", 1_000_000, 3),
    ("cube", 1_000_000, 4),
    ("shell", 20_000, 3),
    ("shell", 20_000, 4),
    ("shell", 100_000, 4),
    ("shell", 1_000_000, 4),
]
SLOW = {("ours, numpy alone", 100_000), ("ours, numpy alone", 1_000_000), ("optuna", 100_000), ("optuna", 1_000_000)}
Front = Callable[[np.ndarray], int]


def drawn(kind: str, count: int, objectives: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    if kind == "cube":
        return rng.random((count, objectives))
    outward = np.abs(rng.normal(size=(count, objectives)))
    radius = 1 - 0.1 * rng.random((count, 1))
    return 1 - radius * outward / np.linalg.norm(outward, axis=1, keepdims=True)


def ours(points: np.ndarray) -> int:
    ways: list[Direction] = ["minimize"] * points.shape[1]
    return len(pareto.pareto_front(points, ways))


def seconds(way: Front, points: np.ndarray) -> tuple[float, int]:
    took, found = [], 0
    for _ in range(3):
        start = perf_counter()
        found = way(points)
        took.append(perf_counter() - start)
    return median(took), found


def test_front(monkeypatch: pytest.MonkeyPatch) -> None:
    moocore = pytest.importorskip("moocore")
    from optuna.study._multi_objective import _is_pareto_front

    def alone(points: np.ndarray) -> int:
        with monkeypatch.context() as patch:
            patch.setattr(pareto, "find_spec", lambda name: None)
            return ours(points)

    ways: dict[str, Front] = {
        "ours": ours,
        "ours, numpy alone": alone,
        "moocore": lambda points: int(moocore.is_nondominated(points, keep_weakly=True).sum()),
        "optuna": lambda points: int(_is_pareto_front(points, assume_unique_lexsorted=False).sum()),
    }
    print(f"\n{'points':>22} {'objectives':>10} {'front':>8}" + "".join(f"{name:>20}" for name in ways))
    for kind, count, objectives in CASES:
        points = drawn(kind, count, objectives)
        cells, fronts = [], set()
        for name, way in ways.items():
            if kind == "shell" and (name, count) in SLOW:
                cells.append("–")
                continue
            took, found = seconds(way, points)
            cells.append(f"{took:.3f}")
            fronts.add(found)
        assert len(fronts) == 1
        print(f"{count:>14,} {kind:>7} {objectives:>10} {fronts.pop():>8}" + "".join(f"{cell:>20}" for cell in cells))
