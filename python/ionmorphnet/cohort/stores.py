"""Stores behind URLs (fsspec): files are copied there and back, checked, and copied again if they arrive incomplete."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ionmorphnet.base.errors import FileError, UnavailableError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

R = TypeVar("R")

_TRIES = 3
_PAUSE = 0.5
# What a store says of an object; the first that it knows tells versions apart.
_MARKS = ("ETag", "etag", "md5Hash", "content_hash", "LastModified", "last_modified", "mtime", "Last-Modified")

_CREDENTIALS = (
    "give credentials, for s3:// in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or in a profile (AWS_PROFILE), and the "
    "address of a server that is not Amazon's in AWS_ENDPOINT_URL"
)
# Kinds of errors by the names of their classes: each package of fsspec's has classes of its own.
_NO_CREDENTIALS = ("NoCredentials", "PartialCredentials", "CredentialRetrieval", "Token", "SSO", "ProfileNotFound")
_NO_CONNECTION = ("Connect", "Timeout", "Connection", "ServerDisconnected", "ClientPayload", "IncompleteRead", "DNS")


class StoreError(FileError):
    """A store does not do what it was asked for: ``<url>: <cause>; <remedy>``.

    Attributes:
        again: Whether another try may help.
    """

    def __init__(self, text: str, *, again: bool) -> None:
        """As any error, with the hint for those who try."""
        super().__init__(text)
        self.again = again


class Store:
    """A place in a store, and the files below it."""

    def __init__(self, url: str) -> None:
        """Makes ready to connect; nothing is read.

        Args:
            url: Such as ``s3://bucket/study``.

        Raises:
            FileError: No such kind of store.
            UnavailableError: fsspec, or its part for this kind of URL, is not installed.
        """
        self.url = url.rstrip("/")
        kind = url.partition("://")[0]
        try:
            import fsspec
        except ImportError:
            raise UnavailableError(f"{url}: URLs need fsspec: pip install 'ionmorphnet[remote]'") from None
        try:
            files, place = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        except ImportError as error:
            extra = {"s3": "s3", "s3a": "s3", "http": "remote", "https": "remote"}.get(kind)
            remedy = f"pip install 'ionmorphnet[{extra}]'" if extra else "install the package that is named"
            raise UnavailableError(f"{url}: {_text(error)}; {remedy}") from None
        except ValueError as error:
            raise FileError(f"{url}: {_text(error)}; give s3://, http:// or another URL that fsspec knows") from None
        except Exception as error:
            raise _explained(url, error) from None
        self._files: AbstractFileSystem = files
        self._place = str(place).rstrip("/")

    def info(self, name: str = "") -> Mapping[str, Any] | None:
        """What the store says of a file; None if it is not there.

        Raises:
            StoreError: The store cannot be asked.
        """

        def ask() -> Mapping[str, Any] | None:
            found: Mapping[str, Any] = self._files.info(self._at(name))
            return None if found.get("type") == "directory" else found

        return self._done(name, ask, absent=None)

    def get(self, name: str, target: Path, known: Mapping[str, Any] | None = None) -> None:
        """Copies a file from the store.

        Args:
            name: The file.
            target: Where it goes.
            known: What the store says of it; None: it is asked.

        Raises:
            StoreError: It is not there, or arrives incomplete every time.
        """
        known = known or self.info(name)
        if known is None:
            raise _absent(self.url_of(name))
        wanted = known.get("size")

        def copy() -> None:
            self._files.get_file(self._at(name), str(target))
            size = target.stat().st_size
            if wanted is not None and size != wanted:
                raise _incomplete(self.url_of(name), f"{size} of {wanted} bytes arrived")

        self._repeated(name, copy)

    def put(self, source: Path, name: str, *, check: bool = True) -> None:
        """Copies a file to the store; readers see the old one or the new one if the store replaces at once, as S3 does.

        Args:
            source: The file.
            name: Its name in the store.
            check: Ask the store afterwards whether all of it is there.

        Raises:
            StoreError: It cannot be written, or arrives incomplete every time.
        """
        size = source.stat().st_size

        def copy() -> None:
            try:
                self._files.put_file(str(source), self._at(name))
            except FileNotFoundError:
                if self.url.startswith("s3"):  # a bucket is not made on the way
                    raise
                self._files.makedirs(self._at(name).rpartition("/")[0], exist_ok=True)
                self._files.put_file(str(source), self._at(name))
            stored = self._files.info(self._at(name)).get("size") if check else size
            if stored != size:
                raise _incomplete(self.url_of(name), f"{stored} of {size} bytes are there")

        self._repeated(name, copy)

    def find(self, name: str = "", *, deep: bool = True) -> dict[str, Mapping[str, Any]]:
        """The files of a folder, by their names below that of the store.

        Args:
            name: The folder.
            deep: With all that is below it.

        Raises:
            StoreError: The store cannot be asked.
        """

        def ask() -> dict[str, Mapping[str, Any]]:
            found = self._files.find(self._at(name), maxdepth=None if deep else 1, detail=True)
            return {str(path)[len(self._place) :].lstrip("/"): info for path, info in found.items()}

        nothing: dict[str, Mapping[str, Any]] = {}
        return self._done(name, ask, absent=nothing)

    def remove(self, names: Iterable[str]) -> None:
        """Removes files; those that are gone are no error.

        Raises:
            StoreError: The store refuses.
        """
        for name in names:

            def remove(name: str = name) -> None:
                self._files.rm_file(self._at(name))

            self._done(name, remove, absent=None)

    def url_of(self, name: str) -> str:
        """The URL of a file."""
        return f"{self.url}/{name}" if name else self.url

    def _at(self, name: str) -> str:
        return f"{self._place}/{name}" if name else self._place

    def _done(self, name: str, action: Callable[[], R], absent: R) -> R:
        """Does something that either works or fails for good: the packages repeat requests by themselves."""
        try:
            return action()
        except Exception as error:  # each kind of store has errors of its own
            if _is_absence(error):
                return absent
            raise _explained(self.url_of(name), error) from None

    def _repeated(self, name: str, action: Callable[[], None]) -> None:
        for left in reversed(range(_TRIES)):
            try:
                action()
            except Exception as error:
                if isinstance(error, StoreError):
                    shown = error
                else:
                    shown = _absent(self.url_of(name)) if _is_absence(error) else _explained(self.url_of(name), error)
                if not shown.again:
                    raise shown from None
                if not left:
                    cause = str(shown).partition(": ")[2]
                    raise StoreError(
                        f"{self.url_of(name)}: copying failed {_TRIES} times: {cause}", again=False
                    ) from None
                time.sleep(_PAUSE)
            else:
                return


def mark_of(info: Mapping[str, Any]) -> str | None:
    """What tells the versions of a file apart, beside its size."""
    return next((str(info[mark]) for mark in _MARKS if info.get(mark)), None)


def _absent(url: str) -> StoreError:
    return StoreError(f"{url}: no such file; check the URL", again=False)


def _incomplete(url: str, what: str) -> StoreError:
    return StoreError(f"{url}: {what}; run the same command again", again=True)


def _chain(error: BaseException) -> list[BaseException]:
    """An error and what led to it, the first cause last."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return found


def _status(error: BaseException) -> int | None:
    """The HTTP status that a server answered with, if any."""
    status = getattr(error, "status", None)
    if status is None:
        with contextlib.suppress(AttributeError, TypeError):
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]  # type: ignore[attr-defined]
    return status if isinstance(status, int) else None


def _is_absence(error: Exception) -> bool:
    """Whether the store answered that there is no such file; packages also say so when they got no answer at all."""
    if not isinstance(error, FileNotFoundError):
        return False
    return not any(_kind(each) for each in _chain(error)[1:] if _status(each) != 404)


def _kind(error: BaseException) -> str:
    name = type(error).__name__
    if any(word in name for word in _NO_CREDENTIALS):
        return "credentials"
    if isinstance(error, PermissionError) or _status(error) in (401, 403):
        return "access"
    if (_status(error) or 0) >= 500:
        return "server"
    if isinstance(error, (ConnectionError, TimeoutError)) or any(word in name for word in _NO_CONNECTION):
        return "connection"
    return ""


def _explained(url: str, error: Exception) -> StoreError:
    for each in _chain(error):
        kind, text = _kind(each), _text(each)
        if kind == "credentials":
            return StoreError(f"{url}: no credentials for the store ({text}); {_CREDENTIALS}", again=False)
        if kind == "access":
            return StoreError(f"{url}: the store denies access ({text}); {_CREDENTIALS} that allow it", again=False)
        if kind == "server":
            return StoreError(f"{url}: the server failed ({text}); run the same command again later", again=True)
        if kind == "connection":
            text = (
                f"{url}: the connection failed ({text}); check the address and the network, then run the same command"
            )
            return StoreError(f"{text} again", again=True)
    if isinstance(error, FileNotFoundError):
        return StoreError(f"{url}: {_text(error)}; check the URL", again=False)
    if isinstance(error, NotImplementedError):
        return StoreError(f"{url}: this kind of store cannot be written; give an s3:// URL or a folder", again=False)
    return StoreError(f"{url}: {_text(error)}", again=True)


def _text(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text.rstrip(".;") or type(error).__name__
