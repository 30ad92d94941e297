"""Ablations: variants compared seed by seed, by a stated rule. The numbers are worked out by hand or by SciPy."""

import math
from pathlib import Path

import pytest
from catscale.blocks.errors import InputError
from catscale.reports.ablation import Ablation, ablation, difference, interval, kendall
from catscale.reports.ablation_table import ablation_frame, words
from catscale.reports.compare_file import Comparison, read_comparison
from catscale.search.seeds import SeedRow, read_seeds, write_seeds
from scipy import stats

TABLE_3 = Comparison.model_validate(
    {
        "title": "Table 3",
        "table": 3,
        "base": "light",
        "best": "compound",
        "rows": {
            "light": "base (v7-X light)",
            "width": "width only (1.25 w)",
            "compound": "compound (v7-X)",
        },
    }
)


def trained(variant: str, *ap: float, first: int = 0) -> list[SeedRow]:
    return [SeedRow(0, variant, first + i, value, 2 * value, value / 2, 10, 0.1, 5.0) for i, value in enumerate(ap)]


def compared(**ap: tuple[float, ...]) -> Ablation:
    return ablation(TABLE_3, [row for variant, values in ap.items() for row in trained(variant, *values)])


def test_an_interval_is_students() -> None:
    values = [0.31, 0.28, 0.35, 0.30]
    expected = stats.t.interval(0.95, 3, loc=0.31, scale=stats.sem(values))
    assert interval(values) == pytest.approx(expected)


def test_of_a_single_training_nothing_is_bounded() -> None:
    assert interval([0.3]) == (-math.inf, math.inf)


def test_differences_are_of_equal_seeds_alone() -> None:
    """Seeds 1 and 2 are common: 0.20 - 0.10 and 0.30 - 0.25."""
    ours = {row.seed: row for row in trained("a", 0.20, 0.30, first=1)}
    theirs = {row.seed: row for row in trained("b", 0.90, 0.10, 0.25)}
    found = difference(ours, theirs)
    assert found is not None
    assert (found.pairs, found.mean) == (2, pytest.approx(0.075))
    assert difference(ours, {9: trained("b", 0.1, first=9)[0]}) is None


def test_a_claim_is_reproduced_where_the_interval_lies_on_its_side() -> None:
    """Pairs 0.10, 0.11, 0.12 against the base; 0.00, 0.01, -0.01 against width."""
    found = compared(light=(0.1, 0.1, 0.1), width=(0.20, 0.20, 0.23), compound=(0.20, 0.21, 0.22))
    assert [(claim.other, claim.published, claim.verdict) for claim in found.claims] == [
        ("base (v7-X light)", 1.2, "reproduced"),
        ("width only (1.25 w)", 0.5, "not resolvable at this scale"),
    ]
    assert found.verdict == "not resolvable at this scale"


def test_a_claim_is_not_reproduced_where_it_lies_on_the_other_side() -> None:
    found = compared(light=(0.1, 0.1, 0.1), width=(0.30, 0.31, 0.33), compound=(0.20, 0.21, 0.22))
    assert found.claims[1].verdict == "not reproduced"
    assert found.verdict == "not reproduced"
    assert "width only (1.25 w) by 0.5 AP on COCO in the paper; here -10.3" in "\n".join(words(found))


def test_a_table_of_which_a_row_is_missing_is_not_run() -> None:
    found = compared(light=(0.1, 0.1), compound=(0.2, 0.2))
    assert found.verdict == "not run"
    assert list(ablation_frame(found)["Trainings"]) == [2, 0, 2]


def test_the_order_is_compared_with_the_papers() -> None:
    """The paper: base < width < compound. Two of three pairs as there: tau = (2 - 1) / 3."""
    assert compared(light=(0.1,), width=(0.2,), compound=(0.3,)).tau == pytest.approx(1)
    assert compared(light=(0.1,), width=(0.3,), compound=(0.2,)).tau == pytest.approx(1 / 3)
    assert kendall([(1, 1), (2, 1)]) is None  # one order ties everything


def test_the_table_has_published_values_in_columns_that_say_so() -> None:
    frame = ablation_frame(compared(light=(0.1, 0.2), width=(0.2, 0.3), compound=(0.3, 0.4)))
    assert list(frame["AP, COCO (paper)"]) == [51.7, 52.4, 52.9]  # arXiv:2207.02696, Table 3
    assert list(frame["AP, small scale"]) == pytest.approx([15, 25, 35])
    assert frame.loc["compound (v7-X)", "AP above base"] == "+20.0 [+20.0, +20.0]"


def test_results_that_the_comparison_does_not_know_are_refused() -> None:
    with pytest.raises(InputError, match=r"variant 'deeper' of the results is none of the rows of compare.yaml: light"):
        ablation(TABLE_3, trained("deeper", 0.1))
    with pytest.raises(InputError, match=r"variant 'light' stands twice with seed 0"):
        ablation(TABLE_3, [*trained("light", 0.1), *trained("light", 0.2)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title: a\nbase: x\nrows: {y: b, z: c}\n", r"base: 'x' is none of the rows: y, z"),
        ("title: a\nbase: y\nbest: x\nrows: {y: b, z: c}\n", r"best: 'x' is none of the rows"),
        ("title: a\nbase: y\ndraw: curve\nrows: {y: b, z: c}\n", r"rows: give two at least their x, or draw: rows"),
        ("title: a\nbase: y\nrows: {y: b, z: c}\ntabel: 3\n", r"unknown key 'tabel'; did you mean 'table'\?"),
        (
            "title: a\ntable: 5\nbase: y\nrows: {y: RepCSB, z: RCSP}\n",
            r"rows: y: Table 5 has no row 'RepCSB'; did you mean 'RepCSP'\?",
        ),
        ("title: a\ndraw: devices\nsource: a.csv\n", r"'score' is missing"),
    ],
)
def test_a_mistake_in_compare_yaml_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "compare.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_comparison(tmp_path)


def test_seeds_are_read_as_they_were_written(tmp_path: Path) -> None:
    rows = trained("tiny aux=auto", 0.25, 0.5)
    write_seeds(tmp_path / "seeds.csv", rows)
    assert read_seeds(tmp_path / "seeds.csv") == rows


def test_a_damaged_line_is_named_by_its_number(tmp_path: Path) -> None:
    write_seeds(tmp_path / "seeds.csv", trained("tiny", 0.25))
    text = (tmp_path / "seeds.csv").read_text()
    (tmp_path / "seeds.csv").write_text(text + text.splitlines()[1].replace("0.25", "much") + "\n")
    with pytest.raises(InputError, match=r"seeds.csv:3: ap: "):
        read_seeds(tmp_path / "seeds.csv")
