"""The HTTP side: GraphQL, file_stream, and the uploads and downloads of files, on a free port of 127.0.0.1."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.wandb_server.graphql import GraphQL, Unmodeled
from tests.wandb_server.state import ENTITY, State

KEY = "0123456789" * 4


class WandbServer:
    """A running server; a context manager that fails on any call it did not model.

    Attributes:
        url: Base URL.
        state: What clients have told.
        unmodeled: Calls that were answered with 400, because nothing here models them.
    """

    def __init__(self, silence: float = 12.0) -> None:
        self.state = State(silence)
        self.unmodeled: list[str] = []
        self.calls: list[str] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self.graphql = GraphQL(self.state, self.url)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> WandbServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, *rest: Any) -> None:
        self.stop()
        if kind is None:
            assert not self.unmodeled, f"calls that the server does not model: {self.unmodeled}"

    def stop(self) -> None:
        """Stop listening; the port refuses connections from here on."""
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
            self._http.server_close()

    def environment(self, home: Path, **more: str) -> dict[str, str]:
        """Variables for a client: this server, a key, a home of its own, this Python first in PATH, and bounded waits.

        Nothing of the caller's W&B settings gets through.
        """
        kept = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
        return kept | {
            "HOME": str(home),
            "MPLCONFIGDIR": os.environ.get("MPLCONFIGDIR") or str(Path.home() / ".cache" / "matplotlib"),  # fonts
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "WANDB_BASE_URL": self.url,
            "WANDB_API_KEY": KEY,
            "WANDB_DIR": str(home),
            "WANDB_CONSOLE": "off",
            "WANDB__FILE_STREAM_TRANSMIT_INTERVAL": "1",  # what a run says reaches the server within a second
            "NO_PROXY": "127.0.0.1",
            **more,
        }

    def run_files(self, path: str) -> tuple[dict[str, bytes], str]:
        """Where /storage/PROJECT/RUN/NAME is kept."""
        _, _, project, run, name = path.split("/", 4)
        return self.state.runs[(project, run)].files, name


def _handler(server: WandbServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *unused: Any) -> None:
            """No lines on stderr."""

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b""
                while size := int(self.rfile.readline().strip() or b"0", 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

        def _reply(self, code: int, content: Any = b"") -> None:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            with contextlib.suppress(ConnectionError):  # the client has been killed
                self.end_headers()
                self.wfile.write(body)

        def _refuse(self, what: str) -> None:
            # 4xx: at a 5xx the client would try again for a minute and more.
            server.unmodeled.append(what)
            self._reply(400, {"errors": [{"message": f"not modeled: {what}"}]})

        def do_POST(self) -> None:
            body, path = self._body(), unquote(self.path)
            key = base64.b64encode(f"api:{KEY}".encode()).decode()
            if path == "/graphql" and self.headers.get("Authorization") != f"Basic {key}":
                return self._reply(401, {"errors": [{"message": "invalid key"}]})
            try:
                if path == "/graphql":
                    self._reply(200, {"data": server.graphql.answer(json.loads(body))})
                elif path.startswith(f"/files/{ENTITY}/") and path.endswith("/file_stream"):
                    _, _, _, project, run, _ = path.split("/")
                    with server.state.lock:
                        server.state.stream(server.state.runs[(project, run)], json.loads(body))
                    self._reply(200, {"exitcode": None, "limits": {}})
                elif path.startswith("/sdk/otel/"):  # wandb's own telemetry
                    self._reply(200)
                else:
                    self._refuse(f"POST {path}")
            except Unmodeled as error:
                self._refuse(str(error))
            except Exception as error:  # a call of a known name and an unknown form
                self._refuse(f"POST {path}: {type(error).__name__}: {error}; {body[:300]!r}")

        def do_PUT(self) -> None:
            body, path = self._body(), unquote(self.path)
            try:
                if path.startswith("/storage/"):
                    with server.state.lock:
                        files, name = server.run_files(path)
                        files[name] = body
                elif not path.startswith("/artifacts/"):  # of artifacts, only what was announced is looked at
                    return self._refuse(f"PUT {path}")
                self._reply(200)
            except (KeyError, ValueError) as error:
                self._refuse(f"PUT {path}: {error}")

        def do_GET(self) -> None:
            path = unquote(self.path)
            if path == "/":
                return self._reply(200)  # whether anyone is there
            try:
                files, name = server.run_files(path)
                content = files[name]
            except (KeyError, ValueError):
                return self._refuse(f"GET {path}")
            self._reply(200, content)

    return Handler
