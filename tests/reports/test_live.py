"""The page of a running study: a real process, asked over HTTP while trials end."""

import http.client
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from catscale.search.rows import Row, write_rows
from catscale.search.stored_study import write_study
from catscale.search.study import Study

STUDY = Study.model_validate(
    {
        "name": "small",
        "base": "yolov7-tiny",
        "space": {"width": {"low": 0.1, "high": 2.0}},
        "objectives": ["ap", "gflops"],
        "trials": 9,
    }
)
WAIT_S = 60


def trial(number: int) -> Row:
    figures = {"ap": 0.1 * number, "gflops": 1.0 * number, "params": 1e6, "seconds": 5.0}
    return Row(number, "complete", values={"width": 0.5}, figures=figures, name=f"detector-{number}")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("live") / "small"
    write_study(STUDY, folder / "study.yaml")
    write_rows(folder / "trials.csv", STUDY, [trial(1)])
    return folder


@pytest.fixture(scope="module")
def server(study: Path) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """The process, and its port."""
    command = [
        sys.executable,
        "-m",
        "catscale.cli",
        "report",
        study,
        "-o",
        study.parent / "out",
        "--live",
        "--port",
        "0",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        said = process.stderr.readline()
        port = re.search(r"Live at http://127\.0\.0\.1:(\d+)/", said)
        assert port, said
        yield process, int(port[1])
        process.kill()


Get = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def get(server: tuple["subprocess.Popen[str]", int]) -> Get:
    def get(path: str, host: str = "127.0.0.1") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", server[1], timeout=WAIT_S)
        connection.putrequest("GET", path, skip_host=True)
        connection.putheader("Host", f"{host}:{server[1]}")
        connection.endheaders()
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
        connection.close()
        return answer.status, text

    return get


def test_the_page_changes_when_a_trial_ends(get: Get, study: Path) -> None:
    before, (_, page) = get("/version")[1], get("/")
    assert "detector-1" in page
    assert before in page  # the script compares with it
    assert "detector-2" not in page
    write_rows(study / "trials.csv", STUDY, [trial(1), trial(2)])
    deadline = time.monotonic() + WAIT_S
    while get("/version")[1] == before:
        assert time.monotonic() < deadline, "the page was not renewed"
        time.sleep(0.1)
    assert "detector-2" in get("/")[1]
    assert "/version" not in (study.parent / "out" / "index.html").read_text()  # the file opens by itself


def test_what_cannot_be_read_leaves_the_page_as_it_is(
    get: Get, study: Path, server: tuple["subprocess.Popen[str]", int]
) -> None:
    version, whole = get("/version"), (study / "trials.csv").read_text()
    (study / "trials.csv").write_text("number,state\nnonsense\n")
    assert server[0].stderr
    assert "the page stays as it is" in server[0].stderr.readline()
    assert get("/version") == version
    assert "detector-1" in get("/")[1]
    (study / "trials.csv").write_text(whole)


def test_files_of_the_report_are_served_and_no_others(get: Get, study: Path) -> None:
    assert get("/small-trials.csv")[1].startswith("number,")
    (study.parent / "secret.txt").write_text("secret")
    (study.parent / "out" / "link.txt").symlink_to(study.parent / "secret.txt")
    (study.parent / "out" / ".hidden").write_text("secret")
    for path in ("/../secret.txt", "/%2e%2e/secret.txt", "//etc/passwd", "/link.txt", "/.hidden", "/none.csv", "/%00"):
        assert get(path) == (404, "not found\n"), path


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "192.168.0.1", ""])
def test_pages_of_other_names_may_not_ask(get: Get, host: str) -> None:
    status, text = get("/", host)
    assert (status, "detector" in text) == (403, False)


def test_localhost_is_a_name_of_this_machine(get: Get) -> None:
    assert get("/", "localhost")[0] == 200


def test_a_port_that_is_taken_is_refused_in_a_word(
    cli: Callable[..., "subprocess.CompletedProcess[str]"], study: Path, server: tuple["subprocess.Popen[str]", int]
) -> None:
    taken = cli("report", study, "-o", study.parent / "other", "--live", "--port", server[1])
    assert taken.returncode == 2
    assert taken.stderr.startswith(f"error: --port {server[1]}: cannot be listened on: ")
    assert not (study.parent / "other").exists()
    alone = cli("report", study, "--port", "1234")
    assert (alone.returncode, "--port is of the page that --live serves" in alone.stderr) == (2, True)


def test_an_interrupt_ends_it_well(server: tuple["subprocess.Popen[str]", int]) -> None:  # the last: it is gone then
    server[0].send_signal(signal.SIGINT)
    assert server[0].wait(WAIT_S) == 0
