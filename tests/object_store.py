"""A local S3 server, and connections to it that break."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Faults:
    """What goes wrong between client and server.

    Attributes:
        cuts: How many more answers are cut; each decreases it.
        after: Bytes of such an answer that arrive.
        only: Text that a request must have to be cut, such as a part of its first line.
        requests: First lines of all requests.
    """

    cuts: int = 0
    after: int = 2000
    only: bytes = b"GET "
    requests: list[str] = field(default_factory=list)


@contextlib.contextmanager
def faulty_proxy(port: int, faults: Faults) -> Iterator[int]:
    """Passes connections on to a port of this machine, and cuts some; yields its own port."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def accept() -> None:
        while not ended.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_relay, args=(client, port, faults), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        ended.set()
        listener.close()


def _relay(client: socket.socket, port: int, faults: Faults) -> None:
    left: int | None = None
    with client, socket.create_connection(("127.0.0.1", port)) as server, contextlib.suppress(OSError):
        while True:
            ready, _, _ = select.select([client, server], [], [], 60)
            if not ready:
                return
            for side in ready:
                data = side.recv(65536)
                if not data:
                    return
                if side is client:
                    line = data.partition(b"\r\n")[0]
                    if b" HTTP/1" in line:
                        faults.requests.append(line.decode(errors="replace"))
                        if faults.cuts and faults.only in line:
                            faults.cuts -= 1
                            left = faults.after
                    server.sendall(data)
                elif left is None:
                    client.sendall(data)
                else:
                    client.sendall(data[:left])
                    left -= len(data)
                    if left <= 0:
                        return


class Bucket:
    """A bucket of a server, seen without the code under test."""

    def __init__(self, client: Any, name: str) -> None:
        """Makes it.

        Args:
            client: Of boto3.
            name: Its name.
        """
        self.client, self.name = client, name
        client.create_bucket(Bucket=name)

    def put(self, path: Path, key: str) -> str:
        """Uploads a file and returns its URL."""
        self.client.upload_file(str(path), self.name, key)
        return f"s3://{self.name}/{key}"

    def read(self, key: str) -> bytes:
        """The content of an object."""
        content: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return content

    def names(self, prefix: str = "") -> list[str]:
        """Names of objects."""
        return list(self.times(prefix))

    def times(self, prefix: str = "") -> dict[str, Any]:
        """When objects were written, by their names."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return {each["Key"]: each["LastModified"] for page in pages for each in page.get("Contents", [])}
