"""A local web server with files, redirections and faults, for tests of downloads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class WebFiles:
    """The state of the server; `asked` lists the requested paths in order."""

    folder: Path
    port: int = 0
    asked: list[str] = field(default_factory=list)
    redirections: dict[str, str] = field(default_factory=dict)
    cut_short: set[str] = field(default_factory=set)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/{path}"


@contextmanager
def web_files(folder: Path) -> Iterator[WebFiles]:
    files = WebFiles(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.partition("?")[0].lstrip("/")
            files.asked.append(name)
            if name in files.redirections:
                self.send_response(302)
                self.send_header("Location", files.redirections[name])
                self.end_headers()
            elif (folder / name).is_file():
                content = (folder / name).read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if name in files.cut_short else content)
            else:
                self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    files.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield files
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
