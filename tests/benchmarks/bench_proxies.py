"""What zero-cost proxies are worth on finished results: Kendall's tau with AP beside that of MACs, and what they take.

Run by `make bench`, or alone as `docs/proxies.md` says. The table is our own: 120 narrow variants of yolov7-tiny on 291
training photographs of blood cells, 12 epochs, two seeds (small: the spread of a candidate's AP over seeds is half of
that over the candidates). AP is the mean over the seeds; scores are those of a study's first seed.
"""

import statistics
import time
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from catscale.scaler.architecture import Architecture
from catscale.scaler.scaling import apply
from catscale.scaler.zoo import load
from catscale.search.proxies.audit import audit
from catscale.search.proxies.scores import TrainingImages, score
from catscale.search.replay_table import PROXY, Result, read_table
from catscale.search.settings import ProxyKind
from catscale.search.study import Study

TABLE = Path(__file__).resolve().parents[2] / "studies" / "narrow-tiny-bccd.csv"
STUDIES = 200
BETTER = 0.2  # standard deviation of the noise of a better proxy
FEW = 8  # candidates of which the table's scores are computed anew, and timed


def study_of(folder: Path) -> Study:
    space: dict[str, Any] = {
        "compound": {"choices": [0.5, 1.0, 1.5]},
        "extend": {"choices": [1, 2]},
        "width": {"choices": [0.125, 0.1875, 0.25, 0.3125, 0.375]},
        "resolution": {"choices": [64, 96, 128, 160]},
    }
    return Study.model_validate(
        {"name": "narrow-tiny-bccd", "base": "yolov7-tiny", "space": space, "objectives": ["ap", "gflops"],
         "trials": 120, "data": str(folder / "bccd" / "data.yaml")}
    )  # fmt: skip


def candidates(study: Study) -> list[Architecture]:
    """As the table has them, held to its counts."""
    base = load("yolov7-tiny").replace(classes=3)
    found = []
    for values, result in read_table(TABLE).results.items():
        named = dict(zip(study.space.parameters, values, strict=True))
        found.append(apply(base, study.space.scalings(named)))
        assert float(f"{found[-1].cost().macs:.6g}") == pytest.approx(result.costs["macs"], rel=1e-5)
    return found


def column(kind: ProxyKind, result: Result) -> float:
    return result.costs[kind if kind == "activations" else f"{PROXY}{kind}"]


@pytest.mark.realdata
def test_tau_of_each_proxy_with_ap(real_data: Path) -> None:
    study, results = study_of(real_data), read_table(TABLE).results.values()
    architectures, photographs = candidates(study), TrainingImages(study, 16)
    kinds: tuple[ProxyKind, ...] = get_args(ProxyKind)
    scores = {kind: [column(kind, result) for result in results] for kind in kinds}
    for index in range(0, len(architectures), len(architectures) // FEW):
        for kind in kinds:
            assert score(kind, architectures[index], photographs, 0) == pytest.approx(scores[kind][index], rel=1e-4)
    extra = {"params": [result.costs["params"] for result in results], "pixels": [one.size for one in architectures]}
    ap, macs = ([value(result) for result in results] for value in (lambda r: r.final("ap"), lambda r: r.costs["macs"]))
    print("\nproxy        tau, 95 % interval        of MACs                   above both   in use")
    for one in (*audit(ap, macs, scores, 8), *audit(ap, macs, extra, 8)):
        used = one.in_use and one.kind in scores
        print(f"{one.kind:12} {one.tau!s:24}  {one.macs!s:24}  {one.beats:10.3f}   {used}")
    (beside,) = audit(ap, scores["activations"], {"naswot": scores["naswot"]}, 8)
    print(f"naswot is above activations in {beside.beats:.3f} of the draws")
    print("\nat one resolution (30 candidates each): tau of each, then of MACs")
    for size_px in (64, 96, 128, 160):
        rows = [index for index, one in enumerate(architectures) if one.size == size_px]
        some = {kind: [found[index] for index in rows] for kind, found in {**scores, **extra}.items()}
        audits = audit([ap[index] for index in rows], [macs[index] for index in rows], some, 8)
        print(f"{size_px:4} px  " + "  ".join(f"{one.kind} {one.tau}" for one in audits[:-1]), end="")
        print(f"  MACs {audits[0].macs}")


@pytest.mark.realdata
def test_milliseconds_of_each_score(real_data: Path) -> None:
    study = study_of(real_data)
    photographs = TrainingImages(study, 16)
    everything = candidates(study)
    for one in everything:
        photographs(one.size)  # read before
    print("\nmilliseconds a candidate on one core: median (least … most)")
    for kind in get_args(ProxyKind):
        took = []
        for one in everything[:: len(everything) // FEW]:
            began = time.perf_counter()
            score(kind, one, photographs, 0)
            took.append(1000 * (time.perf_counter() - began))
        print(f"{kind:8} {statistics.median(took):6.0f} ({min(took):.0f} … {max(took):.0f})")


def test_how_often_a_proxy_is_put_to_use() -> None:
    """Simulated studies: AP = 0.8 MACs + 0.6 noise; five proxies of noise, or each as good as MACs, or one better."""
    rng, rho = np.random.default_rng(0), 0.8
    print(f"\nshare of {STUDIES} simulated studies with a proxy in use; in brackets with one whose tau is above MACs'")
    for n in (8, 12, 20, 40):
        counts: dict[str, list[int]] = {"noise": [0, 0], "as good as MACs": [0, 0], "one better": [0, 0]}
        for _ in range(STUDIES):
            macs = rng.normal(size=n)
            ap = rho * macs + np.sqrt(1 - rho**2) * rng.normal(size=n)
            noise = rng.normal(size=(5, n))
            kinds = {
                "noise": noise,
                "as good as MACs": rho * ap + np.sqrt(1 - rho**2) * noise,
                "one better": np.eye(5)[:, :1] * ap + BETTER * noise,
            }
            for name, scores in kinds.items():
                audits = audit(ap, macs, dict(zip("abcde", scores.tolist(), strict=True)), 8, 500)
                counts[name][0] += any(one.in_use for one in audits)
                counts[name][1] += any(one.tau.value > max(one.macs.value, 0) for one in audits)
        print(
            f"{n:3} trials  " + "  ".join(f"{k}: {a / STUDIES:.1%} ({b / STUDIES:.0%})" for k, (a, b) in counts.items())
        )
