"""Three small HTTP services: orders, stock and payment. Orders of some names go wrong in them, as test cards do.

`python services.py` runs them on the ports that `router.yaml` names.
"""

import functools
import sys
import threading
from collections import Counter, deque
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BUSY, REFUSE, SILENT = "busy", "refuse", "silent"
# What happens at the first, second, … request about these orders: 503 and nothing done; refused for good; done, and
# nobody hears of it.
CUES = {
    ("reserve", "vase"): (BUSY, BUSY),
    ("reserve", "clock"): (SILENT,),
    ("reserve", "piano"): (SILENT,) * 9,
    ("charge", "ring"): (REFUSE,),
    ("charge", "lamp"): (SILENT,),
    ("confirm", "sofa"): (REFUSE,),
    ("refund", "sofa"): (SILENT,),
    ("release", "sofa"): (BUSY, BUSY),
}
UNDOES = {"cancel": "open", "release": "reserve", "refund": "charge"}
PORTS = {"orders": 8801, "stock": 8802, "payment": 8803}


class Service:
    """One of them: answers `POST /VERB/ORDER`, and does a thing once for each idempotency key.

    Attributes:
        url: where it listens.
        done: how often it did what, by verb and order: its books.
        asked: how often it was asked to, which is another thing.
    """

    def __init__(self, port: int = 0) -> None:
        self.done: Counter[tuple[str, str]] = Counter()
        self.asked: Counter[tuple[str, str]] = Counter()
        self._cues = {about: deque(what) for about, what in CUES.items()}
        self._answers: dict[str, HTTPStatus] = {}  # by idempotency key
        self._undone: set[tuple[str, str]] = set()  # also what was never done
        self._lock = threading.Lock()
        self._silent: dict[tuple[str, str], threading.Event] = {about: threading.Event() for about in CUES}
        self._closed = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), functools.partial(_Handler, self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Stop, and let go of those who wait for an answer."""
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait_silent(self, verb: str, order: str, within_s: float) -> bool:
        """Wait until it has done this and keeps silent about it."""
        return self._silent[verb, order].wait(within_s)

    def answer(self, verb: str, order: str, key: str | None) -> HTTPStatus | None:
        """What to say to a request; None is nothing, for ever."""
        if key is None:
            return HTTPStatus.BAD_REQUEST  # who cannot be known again is not served
        with self._lock:
            self.asked[verb, order] += 1
            cues = self._cues.get((verb, order))
            cue = cues.popleft() if cues else ""
            if cue == BUSY:
                return HTTPStatus.SERVICE_UNAVAILABLE
            if key not in self._answers:
                self._answers[key] = self._act(verb, order, cue)
            answer = self._answers[key]
        if cue != SILENT:
            return answer
        self._silent[verb, order].set()
        self._closed.wait()
        return None

    def _act(self, verb: str, order: str, cue: str) -> HTTPStatus:
        if cue == REFUSE:
            return HTTPStatus.UNPROCESSABLE_ENTITY
        if (verb, order) in self._undone:
            return HTTPStatus.CONFLICT  # a request that was so long on its way that it was undone before it came
        undoes = UNDOES.get(verb)
        if undoes is not None:
            self._undone.add((undoes, order))
        if undoes is None or self.done[undoes, order]:
            self.done[verb, order] += 1
        return HTTPStatus.OK


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def __init__(self, service: Service, *args: Any, **kwargs: Any) -> None:  # what `http.server` gives it
        self._service = service
        super().__init__(*args, **kwargs)

    def do_POST(self) -> None:
        """See `http.server`."""
        self.rfile.read(int(self.headers["content-length"]))
        _, verb, order = self.path.split("/")
        status = self._service.answer(verb, order, self.headers["idempotency-key"])
        if status is None:
            self.close_connection = True
            return
        body = f'{{"order":"{order}","{verb}":"{status.phrase}"}}'.encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as in `http.server`
        """Say nothing: the books tell."""


if __name__ == "__main__":
    services = {name: Service(port) for name, port in PORTS.items()}
    sys.stdout.write("".join(f"{name}: {service.url}\n" for name, service in services.items()))
    sys.stdout.write("Ctrl-C stops them.\n")
    sys.stdout.flush()
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        for service in services.values():
            service.close()
