"""Many workers on one study, with a stand-in for the training; every storage that there is."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import optuna
import pytest
from catscale.blocks.errors import CatscaleError, InputError
from catscale.scaler.documents import write_text
from catscale.search import open as open_study
from catscale.search.backends import Backend
from catscale.search.candidates import Bases
from catscale.search.coordinator import Crew, pinned
from catscale.search.extend import extend
from catscale.search.ledger import Ledger
from catscale.search.outcomes import SINCE, Outcome
from catscale.search.repair import repair
from catscale.search.rows import Row
from catscale.search.run import recipe_of
from catscale.search.standing import SPENT, TAKEN_UP
from catscale.search.status import read_study, status, status_lines
from catscale.search.storages import close_storage, open_storage
from catscale.search.study import load_study
from catscale.search.trial import OnEpoch, OnFigures, Task, latency_file
from catscale.search.worker import Pulse, Worker
from catscale.trainer.run_folder import RunFolder

from .postgres import PASSWORD, postgres, programs
from .simulation import COMPLETE, RESULTS, journal, simulate, working

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    pytest.importorskip("psycopg")
    if programs() is None:
        pytest.skip("no PostgreSQL here (Debian: apt-get install postgresql)")
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "journal", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    match request.param:
        case "sqlite":
            return None
        case "journal":
            return f"journal:{tmp_path / 'journal.log'}"
        case _:
            return request.getfixturevalue("database")


def complete(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.state == "complete"]


@pytest.mark.filterwarnings(  # they are silenced where they arise, which is not for threads
    "ignore::optuna.exceptions.ExperimentalWarning", "ignore:Heartbeat of storage:UserWarning"
)
def test_workers_share_a_total_and_propose_nothing_twice(tiny: Write, tmp_path: Path, storage: str | None) -> None:
    path = tiny("shared", trials=9)
    with ThreadPoolExecutor(3) as pool:
        done = [pool.submit(simulate, path, tmp_path / "study", storage) for _ in range(3)]
        rows = done[0].result()
        assert all(one.result() == rows for one in done)
    assert [row.state for row in rows] == ["complete"] * 9
    assert [row.values for row in rows] == [row.values for row in simulate(path, tmp_path / "alone")]


def test_what_kills_its_process_is_taken_up_a_few_times_then_fails(tiny: Write, tmp_path: Path) -> None:
    died = Outcome("died", "its process was ended by SIGSEGV")
    deadly: set[str] = set()

    def outcome(task: Task, *_: object) -> Outcome:
        if not deadly:
            deadly.add(task.architecture.fingerprint)
        return died if task.architecture.fingerprint in deadly else COMPLETE

    rows = simulate(tiny("deadly", trials=2), tmp_path, outcome=outcome)
    assert [row.reason for row in rows[:2]] == ["interrupted; goes on as trial 1", "interrupted; goes on as trial 2"]
    times = TAKEN_UP + 1
    assert rows[TAKEN_UP].reason == f"crashed: its process was ended by SIGSEGV, and so {times} times in all"
    assert (rows[-1].state, len(rows)) == ("complete", times + 1)
    found = status(read_study(tmp_path))
    assert found["outcomes"] == {"interrupted": TAKEN_UP, "crashed": 1, "complete": 1}


def test_a_worker_that_is_asked_to_stop_hands_its_trial_back(tiny: Write, tmp_path: Path) -> None:
    def interrupted(task: Task, on_epoch: object, pulse: object) -> Outcome:
        pulse.asked = True  # type: ignore[attr-defined]
        return Outcome("interrupted")

    path = tiny("asked", trials=1)
    for number in range(TAKEN_UP + 2):  # which is no fault of the trial's, however often
        assert simulate(path, tmp_path, outcome=interrupted)[-1].number == number
    rows = simulate(path, tmp_path)
    assert [row.state for row in rows] == ["failed"] * (TAKEN_UP + 2) + ["complete"]
    assert all(row.values == rows[0].values for row in rows)


def test_the_time_that_is_up_ends_the_work_and_not_the_study(tiny: Write, tmp_path: Path) -> None:
    said: list[str] = []
    path = tiny("late", trials=1)
    assert simulate(path, tmp_path, deadline=1.0, say=said.append) == []
    assert said == ["the time is up; the same command goes on"]
    assert len(complete(simulate(path, tmp_path))) == 1


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning", "ignore:Heartbeat of storage:UserWarning")
def test_hours_of_training_are_spent_once_by_all_workers_together(tiny: Write, tmp_path: Path) -> None:
    bound_s = 6.0

    def trained(task: Task, on_epoch: object, pulse: Pulse) -> Outcome:
        while not pulse.stopping:
            time.sleep(0.05)
        return Outcome("interrupted")

    def worker() -> list[Row]:
        return simulate(path, tmp_path, None, trained, measured=lambda task: {SINCE: time.time()}, say=said.append)

    said: list[str] = []
    path = tiny("hours", trials=9, budget={"gpu_hours": bound_s / 3600})
    with ThreadPoolExecutor(2) as pool:
        for one in [pool.submit(worker) for _ in range(2)]:
            one.result()
    trials = open_study(tmp_path).trials
    spent = [trial.user_attrs[SPENT] for trial in trials if SPENT in trial.user_attrs]
    assert len(spent) == 2  # both were cut, and nothing was begun after
    assert bound_s - 1 <= sum(spent) < 1.7 * bound_s  # each by itself would have spent all of it
    assert said[-1] == "0.00166667 hours of training are spent; raise gpu_hours to go on"
    rows = simulate(tiny("hours", trials=9, budget={"gpu_hours": 1}), tmp_path, None)
    assert {row.reason for row in rows[:2]} == {f"interrupted; goes on as trial {number}" for number in (2, 3)}
    assert len(complete(rows)) == 9


def test_a_trial_that_was_given_in_an_answer_that_got_lost_is_taken_up(tiny: Write, tmp_path: Path) -> None:
    def attempt(task: Task, on_figures: OnFigures, on_epoch: OnEpoch, pulse: Pulse) -> Outcome:
        return COMPLETE

    study = load_study(tiny("answer", trials=2))
    worker = Worker(study, tmp_path, Bases(study), recipe_of(study), "cpu", attempt)
    with working(study, tmp_path, "journal") as (ledger, pulse):
        with ledger.exclusive():
            ledger.ask(pulse.lease.name)  # as by a storage that went away before it answered
        worker.work(ledger, pulse)
        rows = ledger.rows()
    assert [(row.state, row.reason) for row in rows] == [
        ("failed", "interrupted; goes on as trial 1"),
        ("complete", ""),
        ("complete", ""),
    ]


def test_a_stopped_trial_counts_and_keeps_its_ap(tiny: Write, tmp_path: Path) -> None:
    stopped = Outcome("stopped", "cannot reach the front", RESULTS)
    rows = simulate(tiny("stopped", trials=2), tmp_path, outcome=lambda *_: stopped)
    assert [(row.state, row.reason, row.figures["ap"]) for row in rows] == [
        ("stopped", "cannot reach the front", 0.5)
    ] * 2
    assert read_study(tmp_path).front == []


def lose(path: Path, folder: Path, storage: str | None = "journal") -> None:
    """Leave a study as a worker does that is killed in the midst of a trial."""
    with suppress(SystemExit), working(load_study(path), folder, storage) as (ledger, pulse):
        with ledger.exclusive():
            ledger.ask(pulse.lease.name)
        ledger.write()
        raise SystemExit


def test_a_lost_trial_is_shown_as_stale_and_mended(tiny: Write, tmp_path: Path) -> None:
    path = tiny("lost", trials=1)
    lose(path, tmp_path)
    found = status(read_study(tmp_path))
    assert (found["states"]["running"], found["stale"], found["interrupted"]) == (1, [0], True)
    (tmp_path / "trials" / "7").mkdir(parents=True)
    (tmp_path / ".trials.csv.1.tmp").touch()
    mended = repair(tmp_path, journal(tmp_path))
    assert mended[0] == "trial 0: its worker is gone; it goes on when the study does"
    assert "trials.csv: was behind the storage; written anew" in mended
    assert any(line.startswith("workers/") and line.endswith("was a dead worker's; removed") for line in mended)
    assert ".trials.csv.1.tmp: was half written; removed" in mended
    assert "trials/7: is no trial's of this study; left as it is" in mended
    assert [line for line in repair(tmp_path, journal(tmp_path)) if "trials/7" not in line] == []
    rows = simulate(path, tmp_path)
    assert [(row.state, row.values) for row in rows] == [("failed", rows[1].values), ("complete", rows[1].values)]


def test_a_stale_trial_beside_others_at_work_is_told(tiny: Write, tmp_path: Path) -> None:
    path = tiny("stale", trials=2)
    lose(path, tmp_path)
    with working(load_study(path), tmp_path, "journal"):
        lines = status_lines(status(read_study(tmp_path)))
    assert "stale: trial 0, whose worker is gone: another one takes it up, or catscale search repair" in lines


def test_a_journal_that_was_broken_off_is_mended(tiny: Write, tmp_path: Path) -> None:
    path, log = tiny("torn", trials=1), tmp_path / "journal.log"
    simulate(path, tmp_path)
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"op_code": 4, "wor')
    assert repair(tmp_path, journal(tmp_path))[0] == f"{log}: its last line was broken off; removed"
    assert log.read_bytes().startswith(whole)
    assert len(simulate(path, tmp_path)) == 1


def test_what_a_trial_leaves_on_the_disk_follows_from_keep(tiny: Write, tmp_path: Path) -> None:
    def trained(task: Task, *_: object) -> Outcome:
        for run in (RunFolder(task.folder), RunFolder(task.folder / "seed-1")):
            run.path.mkdir(parents=True)
            for path in (run.weights("best"), run.weights("last"), run.state, run.metrics):
                path.touch()
        return Outcome("complete", figures={**RESULTS, "ap": 0.1 * task.number})

    left: dict[str, list[str]] = {}
    for keep in ("front", "best", "all", "none"):
        folder = tmp_path / keep
        simulate(tiny(keep, trials=4, keep=keep, objectives=["ap"], seeds=2), folder, outcome=trained)
        left[keep] = sorted(path.parent.name for path in folder.glob("trials/*/best.safetensors"))
        assert left[keep] == sorted(path.parents[1].name for path in folder.glob("trials/*/seed-1/best.safetensors"))
        assert len(list(folder.glob("trials/**/results.csv"))) == 8
        assert len(list(folder.glob("trials/**/last.state.pt"))) == (8 if keep == "all" else 0)
    assert left == {"front": ["3"], "best": ["3"], "all": ["0", "1", "2", "3"], "none": []}


def test_a_full_disk_ends_the_study_before_a_trial(
    tiny: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny("full", trials=1)
    with monkeypatch.context() as patch:
        patch.setattr("catscale.search.disk.free_disk_bytes", lambda folder: 50_000_000)
        with pytest.raises(CatscaleError, match=r"50 MB are free .*, and a trial needs 1\d\d MB; make room"):
            simulate(path, tmp_path)
    assert [row.state for row in simulate(path, tmp_path)] == ["failed", "complete"]


def test_a_changed_space_goes_on_from_the_earlier_trials(tiny: Write, tmp_path: Path) -> None:
    there = journal(tmp_path / "earlier")
    before = complete(simulate(tiny("earlier", trials=6), tmp_path / "earlier"))
    space = {"width": {"choices": [0.5, 0.75, 1.0, 1.25]}, "activation": {"choices": ["leaky_relu", "silu"]}}
    inside = [row.values for row in before if float(row.values["width"]) in space["width"]["choices"]]
    assert 0 < len(inside) < 6
    for row in before:
        write_text(latency_file(tmp_path / "earlier" / "trials" / str(row.number)), str(row.values))
    path, folder = tiny("later", trials=8, space=space), tmp_path / "later"
    found = extend(load_study(path), folder, tmp_path / "earlier", journal(folder), there)
    assert (found.copied, found.outside) == (len(inside), 6 - len(inside))
    assert extend(load_study(path), folder, tmp_path / "earlier", journal(folder), there).copied == 0
    rows = simulate(path, folder)
    assert [row.values for row in rows[: len(inside)]] == inside
    kept = [latency_file(folder / "trials" / str(number)).read_text() for number in range(len(inside))]
    assert kept == [str(values) for values in inside]
    assert len({tuple(row.values.values()) for row in rows}) == 8 == len(rows)
    other = load_study(tiny("other", epochs=9))
    with pytest.raises(InputError, match=r"(?s)trained otherwise and cannot be compared:\n  recipe.epochs was 1, is 9"):
        extend(other, tmp_path / "other", tmp_path / "earlier", None, there)


def test_a_storage_that_holds_another_study_is_refused(tiny: Write, tmp_path: Path, storage: str | None) -> None:
    simulate(tiny("owner", trials=1), tmp_path, storage)
    other = load_study(tiny("owner", epochs=9))
    with pytest.raises(InputError, match=r"the storage holds another study 'owner': recipe\.epochs was 1, is 9"):
        Ledger.open(other, tmp_path, storage)


def test_optuna_reads_what_a_measurement_refused(tiny: Write, tmp_path: Path, storage: str | None) -> None:
    path = tiny("bounded", trials=2, constraints={"latency_ms": 4.0, "gflops": 50})
    rows = simulate(path, tmp_path, storage, measured=lambda task: {"latency_ms": 1.0 if task.number else 5.0})
    assert [row.state for row in rows] == ["refused", "complete", "complete"]
    there = open_storage(storage, tmp_path)
    trials = optuna.load_study(study_name="bounded", storage=there).trials
    close_storage(there)
    assert [trial.constraints["latency_ms"] for trial in trials] == [0.25, -0.75, -0.75]  # as shares of the bound
    assert all(-1 < trial.constraints["gflops"] <= 0 for trial in trials)
    assert all(trial.params.keys() == {"width", "activation"} for trial in trials)


def test_a_study_is_there_for_optuna(tiny: Write, tmp_path: Path) -> None:
    simulate(tiny("opened", trials=2), tmp_path)
    study = open_study(tmp_path, journal(tmp_path))
    assert [trial.values[0] for trial in study.trials] == [RESULTS["ap"]] * 2
    with pytest.raises(InputError, match="its trials are in no file here; name their --storage"):
        open_study(tmp_path)
    with pytest.raises(InputError, match="holds no study 'opened'"):
        open_study(tmp_path, f"journal:{tmp_path / 'other.log'}")


@pytest.mark.parametrize("url", ["postgresql://me:{}@127.0.0.1:9/none", "postgresql://me:{}@127.0.0.1:9/none?x=1"])
def test_a_database_that_cannot_be_reached_is_tried_again_and_its_password_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    pytest.importorskip("psycopg")
    waited: list[float] = []
    monkeypatch.setattr("catscale.search.storages.time.sleep", waited.append)
    with pytest.raises(InputError, match=r"postgresql://me:\*\*\*@127.*cannot be used as storage") as caught:
        open_storage(url.format(PASSWORD), tmp_path)
    assert PASSWORD not in str(caught.value)
    assert ("(tried 5 times)" in str(caught.value)) is (waited == [0.5, 1.0, 2.0, 4.0]) is ("?" not in url)


def test_a_wrong_password_is_not_tried_again(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catscale.search.storages.WAITS_S", (99.0,))
    with pytest.raises(InputError, match="password authentication failed"):
        open_storage(database.replace(PASSWORD, "guess"), tmp_path)


def test_devices_are_pinned_to_what_is_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert pinned("2") == pinned("cuda:2") == ("cuda:0", {"CUDA_VISIBLE_DEVICES": "2"})
    assert pinned("cpu") == ("cpu", {})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert pinned("1") == ("cuda:0", {"CUDA_VISIBLE_DEVICES": "6"})
    with pytest.raises(InputError, match="--devices: 2 is not there: CUDA_VISIBLE_DEVICES shows 2"):
        pinned("2")
    with pytest.raises(InputError, match="--devices: 'gpu' is none"):
        pinned("gpu")
    with pytest.raises(InputError, match="--devices: are this machine's"):
        Crew(2, ("0",), Backend("ray"))


def test_reasons_are_counted_once_for_each_trial(tiny: Write, tmp_path: Path) -> None:
    def outcome(task: Task, *_: object) -> Outcome:
        return (
            Outcome("failed", ("out of memory", "diverged: in epoch 3", "time limit: 9 s")[task.number])
            if (task.number < 2)
            else COMPLETE
        )

    simulate(tiny("named", trials=4), tmp_path, outcome=outcome)
    record = read_study(tmp_path)
    assert status(record)["outcomes"] == {"complete": 2, "out of memory": 1, "diverged": 1}
    assert Counter(row.state for row in record.rows) == {"complete": 2, "failed": 2}
