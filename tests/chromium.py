"""Drives a headless Chromium over the DevTools protocol, through a pipe: no driver and no library are needed."""

from __future__ import annotations

import base64
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
# Without the network switches the browser looks for updates, which a closed network refuses, many at a time.
SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
)
# event.code and Windows key code of keys that are not letters or digits.
_KEYS = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
_SHIFT, _CTRL = 8, 2

# The browser reads commands from descriptor 3 and writes answers to 4. The copies come first: what is passed on may be
# 3 or 4 itself.
_START = """
import os, sys
copies = [os.dup(int(text)) for text in sys.argv[1:3]]
for copy, wanted in zip(copies, (3, 4)):
    os.dup2(copy, wanted)
    os.set_inheritable(wanted, True)
os.execv(sys.argv[3], sys.argv[3:])
"""

T = TypeVar("T")


def find_chromium() -> str | None:
    """Path of an installed Chromium or Chrome; IMN_CHROMIUM names another one."""
    names = (os.environ["IMN_CHROMIUM"],) if "IMN_CHROMIUM" in os.environ else NAMES
    return next((found for name in names if (found := shutil.which(name))), None)


class Chromium:
    """A page in a headless browser with an empty profile."""

    def __init__(self, executable: str, profile: Path, size: tuple[int, int] = (1280, 800)) -> None:
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()

        command = [
            executable,
            *SWITCHES,
            f"--user-data-dir={profile}",
            f"--window-size={size[0]},{size[1]}",
            "about:blank",
        ]
        self._process = subprocess.Popen(
            [sys.executable, "-IS", "-c", _START, str(to_browser), str(from_browser), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(to_browser, from_browser),
        )
        os.close(to_browser)
        os.close(from_browser)
        self._answers: dict[int, dict[str, Any]] = {}
        self._arrived: queue.Queue[dict[str, Any]] = queue.Queue()
        self._number = 0
        self.errors: list[str] = []
        self.requested: list[str] = []
        self._session: str | None = None
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            self._attach(size)
        except BaseException:
            self.close()
            raise

    def _attach(self, size: tuple[int, int]) -> None:
        (target,) = [t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page"]
        self._session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.resize(*size)

    def _listen(self) -> None:
        buffer = b""
        while part := os.read(self._read, 1 << 16):
            *messages, buffer = (buffer + part).split(b"\0")
            for message in messages:
                self._arrived.put(json.loads(message))
        self._arrived.put({"closed": True})

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends a command and returns its result."""
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._arrived.get(timeout=60)
            if "closed" in answer:
                raise AssertionError("Chromium ended")
            self._note(answer)
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result

    def _note(self, event: dict[str, Any]) -> None:
        method, parameters = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requested.append(parameters["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.errors.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")

    def resize(self, width: int, height: int, dark: bool = False) -> None:
        """Sets the size of the view and the colour scheme."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        """Opens an address and waits until it is loaded."""
        answer = self.call("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        self.wait_for(
            lambda: self.run("document.readyState") == "complete" and self.run("location.href") != "about:blank"
        )

    def run(self, script: str) -> Any:
        """Value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, check: Callable[[], T], seconds: float = 60.0) -> T:
        """Waits until a check holds and returns its value."""
        end = time.monotonic() + seconds
        while not (value := check()):
            assert time.monotonic() < end, f"{self.run('document.body.innerText')[:2000]}\n{self.errors}"
            time.sleep(0.02)
        return value

    def press(self, key: str, *, shift: bool = False, ctrl: bool = False, repeats: int = 0) -> None:
        """Presses and releases a key: a letter, a digit, a space or a name such as ``Enter``.

        Args:
            key: The key.
            shift: Hold the shift key.
            ctrl: Hold the control key.
            repeats: How often the key repeats before it is released.
        """
        if key in _KEYS:
            code, number, text = key, _KEYS[key], "\r" if key == "Enter" else ""
        elif key == " ":
            code, number, text = "Space", 32, " "
        else:
            code, number = (f"Digit{key}" if key.isdigit() else f"Key{key.upper()}"), ord(key.upper())
            text = "" if ctrl else ")!@#$%^&*("[int(key)] if key.isdigit() and shift else key
        pressed = {
            "key": text if key.isdigit() and text else key,
            "code": code,
            "windowsVirtualKeyCode": number,
            "modifiers": _SHIFT * shift + _CTRL * ctrl,
        }
        for repeat in range(repeats + 1):
            kind = "keyDown" if text else "rawKeyDown"
            self.call("Input.dispatchKeyEvent", type=kind, text=text, autoRepeat=repeat > 0, **pressed)
        self.call("Input.dispatchKeyEvent", type="keyUp", **pressed)

    def screenshot(self, path: Path) -> None:
        """Writes a PNG of the view."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        """Ends the browser."""
        try:
            self.call("Browser.close")
        except (AssertionError, OSError, queue.Empty):
            self._process.kill()
        self._process.wait(timeout=30)
        os.close(self._write)
        os.close(self._read)
