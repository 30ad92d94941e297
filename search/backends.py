"""Where workers run: processes of this machine, or an existing Ray or Dask cluster, all through joblib."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

from joblib import Parallel, delayed, parallel_config, register_parallel_backend
from joblib.externals.loky import BrokenProcessPool, ProcessPoolExecutor

from ..blocks.errors import CatscaleError, InputError

BackendKind = Literal["loky", "ray", "dask"]
QUICK_S = 10.0  # a worker that dies sooner than this has not got to its work
QUICK_DEATHS = 5  # in a row, before something other than chance counts as their cause
SHOWN_OFFERS = 4  # nodes of a cluster that a message names
CLUSTER_STARTS = 5  # of all workers together, where a cluster loses one

Work = Callable[[Any], str]  # takes a job; says what went wrong, or nothing
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Backend:
    """What places workers."""

    kind: BackendKind = "loky"
    cluster: str | None = None  # address of Ray's head or Dask's scheduler; a local one where None
    cpus: float | None = None  # that a trial takes, where a cluster counts them
    gpus: float | None = None

    def check(self) -> None:
        """Raise an InputError where the backend's library is not here, or it has not what a trial is to take."""
        if self.kind == "loky" and (self.cluster or self.cpus is not None or self.gpus is not None):
            raise InputError("--cluster, --cpus and --gpus are for --backend ray or dask")
        modules = {"loky": "joblib", "ray": "ray", "dask": "distributed"}
        try:
            __import__(modules[self.kind])
        except ImportError as error:
            raise InputError(
                f"--backend {self.kind}: {error.name} is not here; pip install 'catscale[{self.kind}]'"
            ) from error
        if self.wanted:
            with ExitStack() as stack:
                _connected(self, stack)

    @property
    def wanted(self) -> dict[str, float]:
        """What a trial takes, by the names that clusters have for it."""
        return {name: number for name, number in (("CPU", self.cpus), ("GPU", self.gpus)) if number}


def place(backend: Backend, work: Work, jobs: Sequence[Any], tell: Tell) -> "Placed":
    """Start the work on every job, each in a worker of its own; one that dies is started anew."""
    placed = Placed()
    if backend.kind == "loky":
        starts = [lambda job=job: _locally(placed, work, job, tell) for job in jobs]
    else:
        starts = [lambda: _on_cluster(placed, backend, work, jobs, tell)]
    for start in starts:
        thread = threading.Thread(target=placed.noting, args=(start,), daemon=True)
        placed.threads.append(thread)
        thread.start()
    return placed


class Placed:
    """Workers that have been started, and what is known of them."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self.problems: list[str] = []
        self.executors: list[ProcessPoolExecutor] = []
        self.ending = False  # none is started anew

    @property
    def running(self) -> bool:
        return any(thread.is_alive() for thread in self.threads)

    def noting(self, start: Callable[[], Sequence[str]]) -> None:
        """Run, and keep what went wrong."""
        try:
            self.problems += [problem for problem in start() if problem]
        except CatscaleError as error:
            self.problems.append(str(error))
        except Exception as error:  # of a cluster's library: each has its own
            self.problems.append(f"{type(error).__name__}: {str(error).strip()[:500]}")

    def kill(self) -> None:
        """End local workers at once."""
        self.ending = True
        for executor in self.executors:
            executor.shutdown(wait=False, kill_workers=True)


def _locally(placed: Placed, work: Work, job: Any, tell: Tell) -> list[str]:
    """An executor for each worker: one that is shared would end all of them when one dies."""
    quick = 0
    while True:
        began = time.monotonic()
        executor = ProcessPoolExecutor(max_workers=1)
        placed.executors.append(executor)
        try:
            return [executor.submit(work, job).result()]
        except BrokenProcessPool as error:
            if placed.ending:
                return []
            quick = quick + 1 if time.monotonic() - began < QUICK_S else 0
            if quick == QUICK_DEATHS:
                raise CatscaleError(
                    f"a worker died {quick} times within {QUICK_S:.0f} s of its start: {error}"
                ) from error
            tell("a worker died; another one takes its place")
        finally:
            placed.executors.remove(executor)
            executor.shutdown(kill_workers=True)


def _on_cluster(placed: Placed, backend: Backend, work: Work, jobs: Sequence[Any], tell: Tell) -> list[str]:
    for start in range(CLUSTER_STARTS):
        with ExitStack() as stack:
            options = {"n_jobs": len(jobs), **_connected(backend, stack)}
            options["n_jobs"] = min(len(jobs), options["n_jobs"])
            if options["n_jobs"] < len(jobs):
                tell(f"the cluster has room for {options['n_jobs']} of {len(jobs)} workers at a time")
            stack.enter_context(parallel_config(backend=backend.kind, **options))
            try:
                parallel = Parallel(batch_size=1, pre_dispatch="all")  # type: ignore[arg-type]  # a number may be given
                said = parallel(delayed(work)(job) for job in jobs)
                return [problem or "" for problem in said]
            except Exception as error:  # of a cluster's library: each has its own
                if placed.ending or start == CLUSTER_STARTS - 1:
                    raise
                tell(f"the cluster lost a worker ({type(error).__name__}); all are started anew")
    return []


def _connected(backend: Backend, stack: ExitStack) -> dict[str, Any]:
    """Join the cluster; gives what joblib's backend is to be told."""
    if backend.kind == "ray":
        import ray
        from ray.util.joblib import register_ray

        register_ray()
        if not ray.is_initialized():
            ray.init(
                address=backend.cluster, log_to_driver=False, logging_level=logging.WARNING, configure_logging=False
            )
            stack.callback(ray.shutdown)
        offers = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        _check_offers(backend, offers)
        wanted = {"num_cpus": backend.cpus, "num_gpus": backend.gpus}
        arguments = {name: value for name, value in wanted.items() if value is not None}
        return {"ray_remote_args": arguments, "n_jobs": _room(backend, offers)}
    from distributed import Client
    from joblib._dask import DaskDistributedBackend

    register_parallel_backend("dask", DaskDistributedBackend)
    local = {"threads_per_worker": 1, "resources": {"CPU": 1}}
    client = stack.enter_context(Client(backend.cluster) if backend.cluster else Client(**local))
    _check_offers(backend, [worker["resources"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()])
    return {"client": client, **({"resources": backend.wanted} if backend.wanted else {})}


def _room(backend: Backend, offers: Sequence[Mapping[str, float]]) -> int:
    """Trials at a time that the nodes of a Ray cluster take, whose pool refuses more than it has cores."""
    wanted = {"CPU": 1.0, **backend.wanted}
    trials = sum(min(int(offer.get(name, 0) // number) for name, number in wanted.items()) for offer in offers)
    return max(1, min(trials, int(sum(offer.get("CPU", 0) for offer in offers))))


def _check_offers(backend: Backend, offers: Sequence[Mapping[str, float]]) -> None:
    """Raise an InputError where no node has what a trial is to take: it would wait for ever."""
    wanted = backend.wanted
    if any(all(offer.get(name, 0) >= number for name, number in wanted.items()) for offer in offers):
        return
    asked = " ".join(f"--{name.lower()}s {number:g}" for name, number in wanted.items())
    there = "; ".join(
        " ".join(f"{name} {offer.get(name, 0):g}" for name in wanted) for offer in list(offers)[:SHOWN_OFFERS]
    )
    hint = "; Dask's workers offer what they are started with: dask worker --resources 'CPU=4 GPU=1'"
    raise InputError(
        f"{asked}: no node of the cluster has that for a trial; there is: {there or 'no node'}"
        f"{hint if backend.kind == 'dask' else ''}"
    )
