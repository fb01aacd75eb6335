"""The web server of the labelling page: local, behind a random token, without resources from elsewhere."""

from __future__ import annotations

import dataclasses
import hmac
import json
import logging
import re
import secrets
import socket
import threading
from collections.abc import Callable, Iterable
from importlib import resources
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, NotFound, UnsupportedMediaType
from werkzeug.routing import Map, Rule
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.wrappers import Request, Response

from ionmorphnet.base.errors import ArgumentError, IonMorphNetError, UnavailableError
from ionmorphnet.base.json_output import plain
from ionmorphnet.io.rendering import scale_bar
from ionmorphnet.labelling.pictures import Pictures, draw, outline
from ionmorphnet.labelling.session import Session, StaleError
from ionmorphnet.report.classes import known_classes

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HOST = "127.0.0.1"
# Names under which a browser reaches this machine itself, also through an SSH tunnel with another port. Any other name
# in the Host header means that a web site's name was made to point here (DNS rebinding).
_LOCAL = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?", re.IGNORECASE)
_MAX_BODY = 10_000
_ASSETS = resources.files("ionmorphnet.labelling") / "assets"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}

_log = logging.getLogger("ionmorphnet")


class LabelApp:
    """WSGI application of one session.

    Every address begins with the token; without it there is nothing but ``404``. Only local names are accepted in the
    Host header, and changes only from the page itself.
    """

    def __init__(self, session: Session, on_finish: Callable[[], None] = lambda: None) -> None:
        """Prepare the application.

        Args:
            session: What is labelled.
            on_finish: Called once the answer to the page's request to finish was sent.
        """
        self.token = secrets.token_urlsafe(24)
        self._entrance: str | None = secrets.token_urlsafe(24)
        self._session, self._on_finish = session, on_finish
        self._pictures = Pictures(session.candidates, lambda: session.queue)
        self._assets = {
            entry.name: entry.read_bytes()
            for entry in _ASSETS.iterdir()
            if entry.name[entry.name.rfind(".") :] in _TYPES
        }
        self._lock = threading.Lock()
        get, post = ["GET"], ["POST"]
        self._routes = Map(
            [
                Rule("/", endpoint=self._page, methods=get),
                Rule("/assets/<name>", endpoint=self._asset, methods=get),
                Rule("/state", endpoint=self._state, methods=get),
                Rule("/image/<int:item>.png", endpoint=self._image, methods=get),
                Rule("/image/<int:item>.json", endpoint=self._image_info, methods=get),
                Rule("/section.png", endpoint=self._section, methods=get),
                Rule("/outline", endpoint=self._outline, methods=get),
                Rule("/agreement", endpoint=self._agreement, methods=get),
                Rule("/label", endpoint=self._label, methods=post),
                Rule("/clear", endpoint=self._clear, methods=post),
                Rule("/skip", endpoint=self._skip, methods=post),
                Rule("/undo", endpoint=self._undo, methods=post),
                Rule("/redo", endpoint=self._redo, methods=post),
                Rule("/choose", endpoint=self._choose, methods=post),
                Rule("/finish", endpoint=self._finish, methods=post),
            ],
            merge_slashes=False,
        )

    @property
    def path(self) -> str:
        """Path of the page, which holds the token."""
        return f"/{self.token}/"

    @property
    def entrance(self) -> str:
        """Path that leads to the page once.

        A browser is started with this path on its command line, which other users of the machine can read; the token
        never stands there.
        """
        return f"/enter/{self._entrance}"

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        request = Request(environ)
        request.max_content_length = _MAX_BODY
        response = self._respond(request)
        for name, value in _HEADERS.items():
            response.headers[name] = value
        response.headers.setdefault("Cache-Control", "no-store")
        return response(environ, start_response)

    def _respond(self, request: Request) -> Response:
        try:
            _require_local(request)
            token, _, rest = request.path.removeprefix("/").partition("/")
            if token == "enter" and request.method == "GET":
                return self._enter(rest)
            if not _equal(token, self.token):
                raise NotFound
            if not rest and not request.path.endswith("/"):
                raise NotFound
            if request.method == "POST":
                _require_own_page(request)
            adapter = self._routes.bind("", path_info=f"/{rest}", default_method=request.method)
            endpoint, values = adapter.match()
            response: Response = endpoint(request, **values)
        except HTTPException as error:
            return _json({"error": error.description}, error.code or 500)
        except StaleError as error:
            return _json({"error": str(error)}, 409)
        except ArgumentError as error:
            return _json({"error": str(error)}, 400)
        except (IonMorphNetError, OSError, MemoryError) as error:
            text = " ".join(str(error).split()) or "there is not enough memory"
            _log.error("label page: %s", text)
            return _json({"error": text}, 500)
        return response

    def _enter(self, given: str) -> Response:
        with self._lock:
            if self._entrance is None or not _equal(given, self._entrance):
                raise NotFound
            self._entrance = None
        return Response(status=303, headers={"Location": self.path})

    def _page(self, request: Request) -> Response:
        return self._asset(request, "label.html")

    def _asset(self, request: Request, name: str) -> Response:
        content = self._assets.get(name)
        if content is None:
            raise NotFound
        return Response(content, content_type=f"{_TYPES[name[name.rfind('.') :]]}; charset=utf-8")

    def _state(self, request: Request) -> Response:
        candidates = self._session.candidates
        size = candidates.pixel_size_um
        fixed = {
            "title": candidates.title,
            "file": self._session.file.path.name,
            "kept": self._session.file.kept,
            "n": len(candidates),
            "classes": [each._asdict() for each in known_classes()],
            "pixel_ratio": 1.0 if size is None else size[0] / size[1],
            "scale_bar": self._scale_bar(),
            "has_section": candidates.section is not None,
            "has_outline": candidates.sample is not None,
        }
        return _json({**fixed, **self._session.state()})

    def _scale_bar(self) -> dict[str, object] | None:
        section, size = self._session.candidates.section, self._session.candidates.pixel_size_um
        if section is None or size is None:
            return None
        return dataclasses.asdict(scale_bar(section.shape[1] * size[0]))

    def _image(self, request: Request, item: int) -> Response:
        return _png(self._pictures.png(item, request.args.get("scaling", "linear")))

    def _image_info(self, request: Request, item: int) -> Response:
        return _json(self._pictures.info(item))

    def _section(self, request: Request) -> Response:
        section = self._session.candidates.section
        if section is None:
            raise NotFound
        return _png(draw(section))

    def _outline(self, request: Request) -> Response:
        sample = self._session.candidates.sample
        if sample is None:
            raise NotFound
        height, width = sample.shape
        return _json({"path": outline(sample >= 0.5), "height": height, "width": width})

    def _agreement(self, request: Request) -> Response:
        found = self._session.agreement()
        return _json({"agreement": None if found is None else dataclasses.asdict(found)})

    def _label(self, request: Request) -> Response:
        body = _body(request)
        grade = body.get("grade")
        if grade is not None and (isinstance(grade, bool) or not isinstance(grade, int | float)):
            raise BadRequest("grade must be a number or null")
        item = _whole(body, "item")
        self._session.label(item, _whole(body, "label"), grade, _whole(body, "revision"))
        return self._changed(item)

    def _clear(self, request: Request) -> Response:
        body = _body(request)
        item = _whole(body, "item")
        self._session.clear(item, _whole(body, "revision"))
        return self._changed(item)

    def _skip(self, request: Request) -> Response:
        body = _body(request)
        item = _whole(body, "item")
        self._session.skip(item, _whole(body, "revision"))
        return self._changed(item)

    def _undo(self, request: Request) -> Response:
        return self._changed(self._session.undo(_whole(_body(request), "revision")))

    def _redo(self, request: Request) -> Response:
        return self._changed(self._session.redo(_whole(_body(request), "revision")))

    def _choose(self, request: Request) -> Response:
        body = _body(request)
        self._session.choose(_whole(body, "pass"), str(body.get("order")), _whole(body, "revision"))
        return self._state(request)

    def _finish(self, request: Request) -> Response:
        _body(request)
        response = _json({"finished": True})
        response.call_on_close(self._on_finish)
        return response

    def _changed(self, item: int | None) -> Response:
        entry = None if item is None else self._session.entry(item)
        return _json({**self._session.progress(), "entry": entry})


def _equal(given: str, expected: str) -> bool:
    """Compares secrets in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode("utf-8"))


def _require_local(request: Request) -> None:
    if not _LOCAL.fullmatch(request.headers.get("Host", "")):
        raise Forbidden("this page is served to this machine only; open it as 127.0.0.1 or localhost")


def _require_own_page(request: Request) -> None:
    """Changes come from the page itself; a page of another site cannot set the content type without asking."""
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("Host"):
        raise Forbidden("the request does not come from this page")
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("the body must be JSON")


def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(request.get_data())
    except ValueError:
        raise BadRequest("the body is not JSON") from None
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object")
    return body


def _whole(body: dict[str, Any], name: str) -> int:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRequest(f"{name} must be a whole number")
    return value


def _json(value: object, status: int = 200) -> Response:
    return Response(json.dumps(plain(value), allow_nan=False), status, content_type="application/json")


def _png(content: bytes) -> Response:
    # An image does not change during a session, and the token makes its address unique to it.
    return Response(content, content_type="image/png", headers={"Cache-Control": "private, max-age=86400, immutable"})


class _Handler(WSGIRequestHandler):
    """Request handler that does not name its version."""

    timeout = 60  # seconds until a connection that sends nothing is closed

    def log(self, type: str, message: str, *args: Any) -> None:
        _log.debug("label page: " + message, *args)

    def version_string(self) -> str:
        return "ionmorphnet"


class _Server(ThreadedWSGIServer):
    """Server that writes to the log, not to the terminal."""

    def log(self, type: str, message: str, *args: Any) -> None:
        _log.log(logging.ERROR if type == "error" else logging.DEBUG, "label page: " + message, *args)

    def handle_error(self, request: Any, client_address: tuple[str, int] | str) -> None:
        _log.debug("label page: a connection failed", exc_info=True)


class LabelServer:
    """Serves a session on 127.0.0.1 until it is finished."""

    def __init__(self, session: Session, port: int = 0) -> None:
        """Take the port; connections are answered once :meth:`run` is called.

        Args:
            session: What is labelled.
            port: TCP port; 0: a free one.

        Raises:
            UnavailableError: The port is taken or not allowed.
        """
        app = LabelApp(session, on_finish=self.stop)
        # Bound here, because werkzeug prints and ends the process where a port is taken.
        with socket.socket() as bound:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                bound.bind((HOST, port))
                bound.listen(64)
            except OSError as error:
                raise UnavailableError(
                    f"port {port} cannot be used ({error.strerror}); choose another, or 0 for a free one"
                ) from None
            self._server = _Server(HOST, port, app, _Handler, fd=bound.fileno())
        address = f"http://{HOST}:{self._server.port}"
        self.url, self.entrance_url = address + app.path, address + app.entrance

    def run(self) -> None:
        """Answer requests until the page is finished, :meth:`stop` is called or Ctrl-C is pressed."""
        self._server.serve_forever(poll_interval=0.1)

    def stop(self) -> None:
        """End :meth:`run`; returns at once."""
        threading.Thread(target=self._server.shutdown, daemon=True).start()

    def close(self) -> None:
        """Give the port back; only needed where :meth:`run` was not called."""
        self._server.server_close()
