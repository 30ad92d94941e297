"""Where a study's trials are stored: SQLite, PostgreSQL, a journal file, a gRPC proxy; opened, locked, waited for."""

import hashlib
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, GrpcStorageProxy, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from ..blocks.errors import CatscaleError, InputError
from .leases import BEAT_S, GRACE_S, locked

try:
    import fcntl
except ImportError:
    fcntl = None

JOURNAL, GRPC = "journal:", "grpc://"
WAITS_S = (0.5, 1.0, 2.0, 4.0)  # before each further try to open a storage that cannot be reached
PATIENCE_S = 120.0  # how long a storage may be away while a study runs
PORT = 13000  # of the proxy, where none is named
PROXY_CONNECTIONS = 10  # that the proxy keeps: one for each of its threads

P = ParamSpec("P")
T = TypeVar("T")
OnStale = Callable[[optuna.Study, optuna.trial.FrozenTrial], None]


def open_storage(url: str | None, folder: Path, on_stale: OnStale | None = None, connections: int = 1) -> BaseStorage:
    """Open a storage, with a few tries where it cannot be reached.

    Args:
        url: a database's; `journal:PATH`; `grpc://HOST:PORT`; `study.db` in the folder where None.
        folder: of the study.
        on_stale: is told of a trial whose worker's heartbeats have ended, after it has been failed.
        connections: to a server that are kept while nothing is asked; there are more where more is asked at once.

    Raises:
        InputError: it cannot be opened; the message shows no password.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for wait_s in (*WAITS_S, None):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                return _opened(url, folder, on_stale, connections)
        except (SQLAlchemyError, ImportError, ValueError, OSError) as error:
            if wait_s is not None and _passing(error):
                time.sleep(wait_s)
                continue
            tries = f" (tried {len(WAITS_S) + 1} times)" if _passing(error) else ""
            raise InputError(f"{shown(url, folder)}: cannot be used as storage{tries}: {_why(error, url)}") from error
    raise AssertionError


def _opened(url: str | None, folder: Path, on_stale: OnStale | None, connections: int) -> BaseStorage:
    if url is None:
        folder.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{folder / 'study.db'}"
    if url.startswith(JOURNAL):
        path = Path(url.removeprefix(JOURNAL))
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(path), lock_obj=JournalLock(path) if fcntl else None))
    if url.startswith(GRPC):
        host, _, port = url.removeprefix(GRPC).rstrip("/").partition(":")
        proxy = GrpcStorageProxy(host=host or "localhost", port=int(port or PORT))
        proxy.wait_server_ready(timeout=1.0)
        return proxy
    url = _with_driver(url)
    lite = url.startswith("sqlite")
    # A worker that finds an SQLite file locked waits for it; a connection that a server has cut is made anew.
    server = {"pool_pre_ping": True, "pool_size": connections}
    with _making_tables(url, folder):
        return RDBStorage(
            url,
            engine_kwargs={"connect_args": {"timeout": 60}} if lite else server,
            heartbeat_interval=BEAT_S,
            grace_period=GRACE_S,
            heartbeat_stale_trial_callback=on_stale,
        )


@contextmanager
def _making_tables(url: str, folder: Path) -> Iterator[None]:
    """Let nobody else make the tables of a new database at the same time."""
    if url.startswith("sqlite"):
        with locked(folder / "opening.lock"):
            yield
    elif url.startswith("postgresql"):
        with create_engine(url, poolclass=NullPool).connect() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _key("tables")})
            yield
    else:
        yield


def end_session(storage: BaseStorage) -> None:
    """Give back the connection of the thread that calls."""
    if isinstance(storage, RDBStorage):
        storage.remove_session()


def close_storage(storage: BaseStorage) -> None:
    """Let go of connections."""
    if isinstance(storage, RDBStorage):
        storage.remove_session()
        storage.engine.dispose()
    elif isinstance(storage, GrpcStorageProxy):
        storage.close()


@contextmanager
def exclusive(storage: BaseStorage, folder: Path, name: str) -> Iterator[None]:
    """Let one process at a time into a study: by a lock of PostgreSQL, elsewhere by one on a file in its folder.

    Whoever dies inside loses the lock.
    """
    if isinstance(storage, RDBStorage) and storage.engine.dialect.name == "postgresql":
        with storage.engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _key(f"study {name}")})
            yield
            connection.rollback()
        return
    with locked(folder / "asking.lock"):
        yield


def patiently(call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Call, and again after a while where the storage is away, for some minutes.

    Raises:
        CatscaleError: it stays away.
    """
    began, wait_s = time.monotonic(), 0.5
    while True:
        try:
            return call(*arguments, **options)
        except Exception as error:
            if not _away(error):
                raise
            if time.monotonic() - began > PATIENCE_S:
                raise CatscaleError(f"the storage has been away for {PATIENCE_S:.0f} s: {_why(error, None)}") from error
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, 10.0)


def shown(url: str | None, folder: Path) -> str:
    """A storage's name, without a password."""
    if url is None:
        return str(folder / "study.db")
    if url.startswith((JOURNAL, GRPC)):
        return url
    try:
        return make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return "--storage"


def serve(url: str, host: str, port: int) -> None:
    """Stand between very many workers and a database, until interrupted: Optuna's gRPC proxy.

    Raises:
        InputError: the database cannot be opened.
    """
    from optuna.storages import get_storage, run_grpc_proxy_server

    storage = open_storage(url, Path(), connections=PROXY_CONNECTIONS)
    if not isinstance(storage, RDBStorage):
        raise InputError(f"{shown(url, Path())}: the proxy stands before a database; give its URL")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        run_grpc_proxy_server(get_storage(storage), host=host, port=port)


class JournalLock(JournalFileSymlinkLock):
    """A lock that its holder loses however it dies; Optuna's own, a link, is in the way for half a minute then."""

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}.flock")
        self.held: Any = None

    def acquire(self) -> bool:
        assert fcntl
        self.held = self.path.open("w")
        fcntl.flock(self.held, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        self.held.close()


def _key(what: str) -> int:
    """The number of one of our locks in PostgreSQL."""
    return int.from_bytes(hashlib.sha256(f"catscale {what}".encode()).digest()[:8], "big", signed=True)


def _with_driver(url: str) -> str:
    """PostgreSQL through psycopg 3, where the URL does not name another driver."""
    for scheme in ("postgresql://", "postgres://"):
        if url.startswith(scheme):
            return f"postgresql+psycopg://{url.removeprefix(scheme)}"
    return url


def _passing(error: BaseException) -> bool:
    """Whether another try may help: nobody answers yet."""
    words = str(error).lower()
    refused = ("password", "does not exist", "not permitted", "no pg_hba", "unable to open", "not a database")
    return isinstance(error, OperationalError | ConnectionError) and not any(word in words for word in refused)


def _away(error: BaseException) -> bool:
    """Whether a storage does not answer: a database, a proxy, or the database behind the proxy."""
    return isinstance(error, StorageInternalError | OperationalError | InterfaceError) or _of_proxy(error)


def _of_proxy(error: BaseException) -> bool:
    return "grpc" in sys.modules and isinstance(error, sys.modules["grpc"].RpcError)


def _why(error: BaseException, url: str | None) -> str:
    if _of_proxy(error):
        return f"the proxy: {error.details() or error.code()}"  # type: ignore[attr-defined]
    if isinstance(error, ModuleNotFoundError):
        extra = "pip install 'catscale[postgres]'" if error.name == "psycopg" else f"install {error.name}"
        return f"no module {error.name} here; {extra}"
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    line = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
    try:
        password = make_url(url).password if url else None
    except SQLAlchemyError:
        return "not a URL; known are sqlite:///FILE, postgresql://…, journal:FILE, grpc://HOST:PORT"
    return line.replace(str(password), "***") if password else line
