"""Someone at the keyboard of the labelling page, in a headless Chromium."""

from __future__ import annotations

from chromium import Chromium


class Labeller:
    """Someone at the keyboard."""

    def __init__(self, browser: Chromium, url: str) -> None:
        self.browser = browser
        browser.open(url)
        self.wait()

    def wait(self) -> None:
        """Until everything typed so far is done, or a dialog asks."""
        self.browser.wait_for(
            lambda: self.browser.run(
                "document.documentElement.dataset.waiting === '0' || document.querySelector('dialog[open]') !== null"
            )
        )

    def leave(self) -> None:
        """Closes the page, as before its server ends: images that it still fetches would fail."""
        self.browser.call("Page.navigate", url="about:blank")
        self.browser.wait_for(lambda: self.browser.run("location.href") == "about:blank")

    def type(self, keys: str) -> None:
        """Presses keys one after the other, without waiting between them."""
        for key in keys:
            self.browser.press(key)
        self.wait()

    def grade(self, grade: float) -> None:
        """Presses the key of a grade, without waiting."""
        self.browser.press(str(int(grade)), shift=grade != int(grade))

    def press(self, key: str, **modifiers: bool) -> None:
        self.browser.press(key, **modifiers)
        self.wait()

    def text(self, identifier: str) -> str:
        return str(self.browser.run(f"document.getElementById('{identifier}').innerText"))

    def caption(self) -> str:
        return self.text("caption")

    def dialog(self) -> str | None:
        """Text of the open dialog."""
        found = self.browser.run("document.querySelector('dialog[open]')?.innerText ?? null")
        return None if found is None else str(found)

    def chosen(self) -> list[str]:
        """Class and grade that are marked."""
        script = "[...document.querySelectorAll('.choices [aria-pressed=true] b')].map((each) => each.innerText)"
        return list(self.browser.run(script))
