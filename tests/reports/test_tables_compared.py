"""Populations, fronts on other devices, searches against a rule, the family: on tables small enough for arithmetic."""

from itertools import combinations
from pathlib import Path

import pytest
from catscale.blocks.errors import InputError
from catscale.reports.device_transfer import Transfer, transfers
from catscale.reports.family import draw_family, family, rank_correlation
from catscale.reports.latency_fronts import Fronts, fronts, fronts_words, here, paper
from catscale.reports.populations import above_first, populations
from catscale.reports.search_against_rule import duels
from catscale.reports.timed import Timed, read_timed
from catscale.search.replay_table import Table, read_table

STUDIES = Path(__file__).resolve().parents[2] / "studies"


def table(folder: Path, text: str) -> Table:
    (folder / "table.csv").write_text("\n".join(line.strip() for line in text.strip().splitlines()) + "\n")
    return read_table(folder / "table.csv")


@pytest.fixture
def two_devices(tmp_path: Path) -> Table:
    """On a, members are small, middle and large; on b the middle one is slowest."""
    return table(
        tmp_path,
        """width,ap_coco,latency_ms_a,latency_ms_b
           1,0.1,1,1
           2,0.3,2,9
           3,0.4,3,4""",
    )


def test_a_front_is_worth_what_its_members_score_within_the_others_budgets(two_devices: Table) -> None:
    """b's front is 1 and 3. At their budgets, 1 and 4 ms, a's front has 0.1 and 0.4: nothing is lost."""
    found = {(pair.chosen_on, pair.used_on): pair for pair in transfers(two_devices, "ap_coco")}
    assert found["a", "a"] == Transfer("a", "a", 1.0, 1.0, 0.0, 0.0)
    there, back = found["a", "b"], found["b", "a"]
    assert (there.tau, there.kept, there.lost, there.unmet) == (pytest.approx(1 / 3), pytest.approx(2 / 3), 0, 0)
    # On a the budgets are 1, 2 and 3 ms; at 2 ms b's front has 0.1 instead of 0.3.
    assert (back.kept, back.lost, back.unmet) == (1, pytest.approx(0.2 / 3), 0)


def test_a_budget_within_which_nothing_was_chosen_is_unmet(tmp_path: Path) -> None:
    found = transfers(
        table(tmp_path, "width,ap_coco,latency_ms_a,latency_ms_b\n1,0.3,1,5\n2,0.2,2,1\n"), "ap_coco"
    )  # fmt: skip
    (pair,) = [pair for pair in found if (pair.chosen_on, pair.used_on) == ("a", "b")]
    assert (pair.kept, pair.lost, pair.unmet) == (1, 0, 0.5)  # a's front is the first alone, at 5 ms on b


def test_latencies_of_one_device_cannot_be_transferred(tmp_path: Path) -> None:
    one = table(tmp_path, "width,ap_coco,latency_ms_a\n1,0.3,1\n2,0.4,2\n")
    with pytest.raises(
        InputError, match=r"latencies of two devices are needed; the table has ap_coco, and latencies of a"
    ):
        transfers(one, "ap_coco")


def detectors(depth: int, *scores: float) -> str:
    """A detector for each score, of costs 1, 2, 3 …"""
    return "\n".join(f"{depth},{i},0,{score},{i}" for i, score in enumerate(scores, start=1))


def test_populations_are_weighted_to_the_same_costs(tmp_path: Path) -> None:
    """Depth 2 is 0.1 better at every cost, but mostly of the cheap and poor: its plain mean would be lower."""
    poor, rich = "0.2,1", "0.6,100"
    lines = [f"1,{i},0,{rich}" for i in range(9)] + [f"1,{i},0,{poor}" for i in range(9, 12)]
    lines += [f"2,{i},0,0.3,1" for i in range(12, 21)] + [f"2,{i},0,0.7,100" for i in range(21, 24)]
    found = populations(table(tmp_path, "\n".join(["depth,number,seed,ap,gflops", *lines])), "depth")
    assert [population.value for population in found] == [1, 2]
    assert [population.mean for population in found] == pytest.approx([0.4, 0.5])
    assert above_first(found, found[1]) == pytest.approx((0.1, 0.1, 0.1))
    scores, shares = found[0].distribution()
    assert (scores[0], scores[-1], shares[-1]) == (0.2, 0.6, pytest.approx(1))


def test_populations_without_a_common_cost_are_not_compared(tmp_path: Path) -> None:
    lines = [f"1,{i},0,0.2,1" for i in range(6)] + [f"2,{i},0,0.2,100" for i in range(6, 12)]
    apart = table(tmp_path, "\n".join(["depth,number,seed,ap,gflops", *lines]))
    with pytest.raises(InputError, match=r"depth: no gflops that all of its populations have"):
        populations(apart, "depth")
    with pytest.raises(InputError, match=r"wdith: is not in the table; it has depth, number, ap, gflops"):
        populations(apart, "wdith")


def test_a_search_sees_one_seed_and_is_judged_by_another(tmp_path: Path) -> None:
    """Within the rule's budget (2 G) are the base, the rule's detector and a third, which shines by the first seed."""
    text = """depth,width,seed,ap,params,gflops
              1,1,0,0.10,1,1
              1,1,1,0.10,1,1
              2,1,0,0.30,2,2
              2,1,1,0.30,2,2
              1,2,0,0.50,2,2
              1,2,1,0.20,2,2
              2,2,0,0.90,4,4
              2,2,1,0.90,4,4"""
    first, second = duels(table(tmp_path, text), "depth", 1, 2, trials=4, sampler="random")
    assert (first.base, first.within, first.rule) == ((1, 1), 3, 0.30)
    assert (first.gain, first.seeming) == (pytest.approx(-0.10), pytest.approx(0.20))
    assert (second.within, second.gain) == (4, 0)  # the rule's own is the best of all


def test_a_search_against_a_rule_needs_two_seeds(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="results of two seeds is needed"):
        duels(table(tmp_path, "depth,seed,ap,params,gflops\n1,0,0.1,1,1\n2,0,0.2,2,2\n"), "depth", 1, 2, trials=2)


def test_the_family_is_ranked_beside_the_papers_device() -> None:
    """arXiv:2207.02696, Table 2: YOLOv7 161 FPS, YOLOv7-X 114, YOLOR-CSP 106; here the last two change places."""
    timed = [Timed(name, 320, ms, ms, ms) for name, ms in (("yolov7", 1.0), ("yolov7-x", 3.0), ("yolor-csp", 2.0))]
    members = family(timed)
    assert rank_correlation(members, 640) == (pytest.approx(1 / 3), 3)
    assert rank_correlation(members, 1280) == (None, 0)
    seven = next(member for member in members if member.model == "yolov7")
    assert (seven.params_m_printed, seven.flops_g_printed, seven.equal, seven.fps_v100) == (36.9, 104.7, True, 161)


def timed_fronts(**times_ms: float) -> Fronts:
    """Models of Table 2 at its sizes, by names with _ in place of -."""
    names = {name: name.replace("_", "-") for name in times_ms}
    size = {"yolor-p6": 1280}
    return fronts([Timed(names[name], size.get(names[name], 640), ms, ms, ms) for name, ms in times_ms.items()])


def test_fronts_are_of_the_same_models_and_ap_by_two_times() -> None:
    """Table 2: YOLOv5-N 28.0 AP at 159 FPS, YOLOv5-M 45.4 at 122, YOLOX-S 40.5 at 102, YOLOv7 51.2 at 161."""
    found = timed_fronts(yolov5_n=1, yolov5_m=3, yolox_s=2, yolov7=4)
    assert [model.name for model in found.front(here)] == ["yolov5-n", "yolox-s", "yolov5-m", "yolov7"]
    assert [model.name for model in found.front(paper)] == ["yolov7"]
    seven = next(model for model in found.models if model.name == "yolov7")
    assert (found.place(seven, here), found.place(seven, paper)) == (4, 1)
    words = "\n".join(fronts_words(found))
    assert "Slower here than there, by 3 places or more: yolov7, 1st by the paper's FPS, 4th here." in words
    assert "On both fronts: yolov7." in words
    assert "not the paper's: yolox-s (40.5 AP), which in the paper yolov7 beats (51.2 AP, 6.21 ms against 9.8" in words
    assert "On the paper's front, and not here" not in words


def test_a_model_that_leaves_the_front_is_named_with_the_one_that_beats_it() -> None:
    """Table 2: YOLOv7 51.2 AP at 161 FPS, YOLOR-P6 53.5 at 76, PP-YOLOE-M 48.6 at 123."""
    found = timed_fronts(yolov7=2.0, yolor_p6=1.0, pp_yoloe_m=3.0)
    words = "\n".join(fronts_words(found))
    assert "On the paper's front, and not here: yolov7 (51.2 AP), which here yolor-p6 beats (53.5 AP, 1 ms" in words
    assert "On both fronts: yolor-p6." in words
    assert found.tau() == pytest.approx(-1 / 3)
    assert "Not timed here at their size: yolox-s, " in words


def test_a_model_timed_at_another_size_is_not_on_a_front() -> None:
    with pytest.raises(InputError, match=r"1 models of Table 2 were timed at their size; a front needs two"):
        fronts([Timed("yolov7", 640, 1, 1, 1), Timed("yolov7-x", 320, 2, 2, 2)])


def test_names_of_points_do_not_meet() -> None:
    timed = read_timed(STUDIES / "tables1-2-family" / "latency.csv")
    figure = draw_family(family(timed), "title", "here")
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 31
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
