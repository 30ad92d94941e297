"""A PostgreSQL of the tests' own: Debian's programs, a fresh cluster in a folder, an unprivileged user."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PASSWORD = "open-sesame"


def programs() -> Path | None:
    """Where initdb and pg_ctl are; None where they are not installed (Debian: apt-get install postgresql)."""
    places = [Path("/usr/lib/postgresql"), Path("/opt/homebrew/opt"), Path("/usr/lib/postgresql15")]
    found = [path.parent for place in places for path in place.glob("**/bin/pg_ctl")]
    on_path = shutil.which("pg_ctl")
    return max(found, default=Path(on_path).parent if on_path else None)


@contextmanager
def postgres() -> Iterator[str]:
    """Start a server on a free port of this machine; gives its URL, with a password."""
    bin_ = programs()
    assert bin_
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:  # the server refuses root
        user = next(name for name in ("postgres", "nobody") if _known(name))
        as_user = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
    with tempfile.TemporaryDirectory(prefix="postgres", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        (folder / "password").write_text(PASSWORD)
        if as_user:
            for path in (folder, folder / "password"):
                shutil.chown(path, as_user["user"])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]

        def run(program: str, *arguments: str) -> None:
            command = [str(bin_ / program), *arguments]
            subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=60, **as_user)

        cluster = str(folder / "cluster")
        run("initdb", "-D", cluster, "-U", "tester", "--auth=scram-sha-256", f"--pwfile={folder / 'password'}", "-N")
        options = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c fsync=off -c max_connections=300"
        run("pg_ctl", "-D", cluster, "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql://tester:{PASSWORD}@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-D", cluster, "-m", "immediate", "stop")


def _known(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
