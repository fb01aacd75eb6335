"""Connection to a Ray cluster, or to one on this machine that lasts as long as the connection."""

from __future__ import annotations

import contextlib
import importlib
import ipaddress
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

from ionmorphnet.base.arguments import usable_cores
from ionmorphnet.base.errors import ArgumentError, UnavailableError

# Address of a cluster that is started here and ends with the run.
LOCAL = "local"
# The results of tasks are tiny: Ray would take 30 % of the memory for its store of objects, and wants 75 MB at least.
_STORE_BYTES = 100 * 10**6
# Seconds in which a cluster must answer.
_PATIENCE = 10.0
# Whoever can talk to a Ray cluster can run code on it: other users of this machine need this token.
_TOKEN = secrets.token_hex(32)


@contextlib.contextmanager
def connected(address: str) -> Iterator[Any]:
    """The module ``ray``, connected to a cluster; a connection that the caller made is used and stays.

    Nothing is printed, and Ray's usage statistics are off. A cluster on this machine listens on the loopback interface
    only, asks for a token, and leaves no files.

    Args:
        address: ``local``, ``auto`` (the cluster that runs on this machine, or that RAY_ADDRESS names), or
            ``HOST:PORT``.

    Raises:
        ArgumentError: Not an address.
        UnavailableError: Ray is not installed, or there is no such cluster.
    """
    if address.startswith("ray://"):
        raise ArgumentError(f"--ray {address}: run the command on a node of the cluster, with --ray auto")
    with contextlib.ExitStack() as undo:
        if sys.modules.get("ray") is not None:
            undo.callback(_read_settings_again)
        undo.enter_context(_environment(_settings(address)))
        if sys.modules.get("ray") is not None:
            _read_settings_again()
        ray = _imported()
        undo.enter_context(_no_messages())
        if not ray.is_initialized():
            if address == LOCAL:
                _start(ray, undo)
            else:
                _join(ray, address, undo)
        yield ray


def _settings(address: str) -> dict[str, str]:
    settings = {"RAY_USAGE_STATS_ENABLED": "0"}
    if address == LOCAL:
        # The last one is what keeps Ray on the loopback interface, on every system.
        settings |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _TOKEN, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    return settings


def _imported() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise UnavailableError("--ray needs Ray: pip install 'ionmorphnet[ray]'") from None


def _start(ray: Any, undo: contextlib.ExitStack) -> None:
    # Its sockets lie there, and their paths may have 107 characters.
    folder = tempfile.mkdtemp(prefix="imn-ray-", dir="/tmp" if os.path.isdir("/tmp") else None)
    undo.callback(shutil.rmtree, folder, ignore_errors=True)
    constants = importlib.import_module("ray._private.ray_constants")
    undo.enter_context(_attribute(constants, "ENABLE_RAY_CLUSTER", False))  # read from the environment at import
    context = _init(
        ray,
        LOCAL,
        undo,
        num_cpus=usable_cores(),
        object_store_memory=_STORE_BYTES,
        include_dashboard=False,
        _temp_dir=folder,
    )
    host = str(context.address_info["node_ip_address"])
    if not ipaddress.ip_address(host).is_loopback:
        raise UnavailableError(
            f"--ray {LOCAL}: this version of Ray listens on {host}, where others can reach it; start a cluster that "
            "you trust and give its address"
        )


def _join(ray: Any, address: str, undo: contextlib.ExitStack) -> None:
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise ArgumentError(f"--ray takes 'local', 'auto' or HOST:PORT, not '{address}'")
        try:
            # Ray itself would try for minutes.
            socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
        except (OSError, OverflowError) as error:
            raise UnavailableError(f"--ray {address}: no cluster answers there: {error}; {_REMEDY}") from None
    _init(ray, address, undo)


_REMEDY = "start one with 'ray start --head', or give --ray local"


def _init(ray: Any, address: str, undo: contextlib.ExitStack, **options: Any) -> Any:
    here = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        context = ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, **options)
    except Exception as error:  # Ray has many, and some are plain RuntimeErrors
        raise UnavailableError(f"--ray {address}: {' '.join(str(error).split())}; {_REMEDY}") from None
    finally:
        if here and handler is not None:  # Ray's own would end the process without tidying up
            signal.signal(signal.SIGTERM, handler)
    undo.callback(ray.shutdown)
    return context


def _read_settings_again() -> None:
    """Ray reads its environment when it is imported and its token once, perhaps for an earlier cluster."""
    native = importlib.import_module("ray._raylet")
    with contextlib.suppress(Exception):  # no public functions
        native.Config.initialize("")
        native.AuthenticationTokenLoader.instance().reset_cache()


@contextlib.contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """Sets variables for the block, except those that the user has set; removes those that Ray sets."""
    before = {name: value for name, value in os.environ.items() if name.startswith("RAY_")}
    os.environ.update({**settings, **before})
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith("RAY_") and name not in before]:
            del os.environ[name]
        os.environ.update(before)


@contextlib.contextmanager
def _no_messages() -> Iterator[None]:
    """Keeps Ray from printing that a worker died: the run counts and reports that itself."""
    worker = importlib.import_module("ray._private.worker")
    with _attribute(worker, "print_to_stdstream", lambda *_, **__: None):
        yield


@contextlib.contextmanager
def _attribute(module: Any, name: str, value: Any) -> Iterator[None]:
    """Sets an attribute for the block, if this version of the module has it."""
    if not hasattr(module, name):
        yield
        return
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)
