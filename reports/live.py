"""The report of a running study as a page that renews itself, for browsers on this machine alone."""

import html
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..blocks.errors import CatscaleError, InputError
from ..search.status import read_study
from ..search.study import study_folder
from .page import write_report

ADDRESS = "127.0.0.1"
NAMES = ("127.0.0.1", "localhost")  # under which a browser may ask; any other name is a page's that was rebound to us
PORT = 8750
LOOK_S = 0.5  # between two looks at a study's table
VERSION = "/version"
# Asks which version there is, and loads the page again when it is another one, at the same place.
RENEWING = """<script>
(() => {
  const place = sessionStorage.getItem("place");
  if (place) {
    sessionStorage.removeItem("place");
    window.scrollTo(...JSON.parse(place));
    history.scrollRestoration = "auto";
  }
  const seen = "%s";
  setInterval(async () => {
    try {
      const answer = await fetch("/version", {cache: "no-store"});
      if (answer.ok && (await answer.text()) !== seen) {
        sessionStorage.setItem("place", JSON.stringify([window.scrollX, window.scrollY]));
        history.scrollRestoration = "manual";
        location.reload();
      }
    } catch (error) { /* the server has ended: the page stays as it is */ }
  }, 1000);
})();
</script>
"""


class LiveReport:
    """The report of some studies in a folder, written anew whenever one of their tables changes."""

    def __init__(self, studies: Sequence[Path], folder: Path, say: Callable[[str], None]) -> None:
        self.studies, self.folder, self.say = studies, folder, say
        self.tables = [study_folder(study) / "trials.csv" for study in studies]
        self.began, self.builds = time.time_ns(), 0
        self._seen: list[int] = []
        self._over = threading.Event()

    @property
    def version(self) -> str:
        """Another word after each build, and after each start."""
        return f"{self.began}-{self.builds}"

    def build(self) -> None:
        """Write the report; a reader sees each file as it was or as it is.

        Raises:
            InputError: there is no such study, a file of it is damaged, or the report cannot be written.
        """
        self._seen = self._state()
        write_report([read_study(study) for study in self.studies], self.folder)
        self.builds += 1

    def watch(self) -> None:
        """Build whenever a table has changed, until `end`; what goes wrong is said, and the last page stays."""
        while not self._over.wait(LOOK_S):
            if self._state() == self._seen:
                continue
            try:
                self.build()
            except CatscaleError as error:
                self.say(f"the page stays as it is: {error}")

    def end(self) -> None:
        """End `watch` after the build that is under way."""
        self._over.set()

    def page(self) -> bytes:
        """The report's page, with what renews it; the file has nothing of that."""
        version = self.version  # before the page is read: an older word only loads it once more
        text = (self.folder / "index.html").read_text(encoding="utf-8")
        body, closing, rest = text.rpartition("</body>")
        return f"{body}{RENEWING % html.escape(version)}{closing}{rest}".encode()

    def _state(self) -> list[int]:
        return [table.stat().st_mtime_ns if table.is_file() else 0 for table in self.tables]


def serve_live(studies: Sequence[Path], folder: Path, port: int, say: Callable[[str], None]) -> None:
    """Serve the report until the process is interrupted; on the loopback interface, so that no other machine sees it.

    Args:
        studies: folders of studies, or their files.
        folder: of the report.
        port: to listen on; any free one where 0.
        say: is told where the page is, and what goes wrong later.

    Raises:
        InputError: there is no such study, or the port is taken.
    """
    report = LiveReport(studies, folder, say)
    try:
        server = ThreadingHTTPServer((ADDRESS, port), _handler(report))
    except OSError as error:
        why = error.strerror or error
        raise InputError(f"--port {port}: cannot be listened on: {why}; name another, or 0 for a free one") from error
    watching = threading.Thread(target=report.watch, name="report", daemon=True)
    with server, suppress(KeyboardInterrupt):
        report.build()
        watching.start()
        try:
            say(f"Live at http://{ADDRESS}:{server.server_port}/; Ctrl-C ends it")
            server.serve_forever(poll_interval=0.2)
        finally:
            report.end()
            watching.join()


def _handler(report: LiveReport) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Answers with the page, its version, or a file of the report's folder."""

        def do_GET(self) -> None:
            try:
                status, kind, content = self._found()
            except OSError:  # removed meanwhile
                status, kind, content = HTTPStatus.NOT_FOUND, "text/plain", b"not found\n"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            if self.command != "HEAD":
                with suppress(BrokenPipeError, ConnectionResetError):  # the browser has gone on
                    self.wfile.write(content)

        do_HEAD = do_GET

        def _found(self) -> tuple[HTTPStatus, str, bytes]:
            host = self.headers.get("Host", "").lower()
            if (host.rpartition(":")[0] or host) not in NAMES:
                return HTTPStatus.FORBIDDEN, "text/plain", b"this page is for browsers on its own machine\n"
            path = unquote(urlsplit(self.path).path)
            if path in ("/", "/index.html"):
                return HTTPStatus.OK, "text/html; charset=utf-8", report.page()
            if path == VERSION:
                return HTTPStatus.OK, "text/plain", report.version.encode()
            root = report.folder.resolve()
            file = (root / path.lstrip("/")).resolve() if "\0" not in path else root
            if not (file.parent == root and file.is_file() and not file.name.startswith(".")):
                return HTTPStatus.NOT_FOUND, "text/plain", b"not found\n"
            return HTTPStatus.OK, guess_type(file.name)[0] or "application/octet-stream", file.read_bytes()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing of requests."""

    return Handler
