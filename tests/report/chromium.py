"""A headless Chromium on a pipe: opens pages, clicks, presses keys, takes pictures.

Speaks the DevTools protocol over two file descriptors: JSON messages that end in a zero byte.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SWITCHES = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
SECONDS = 30
"""Within which an answer has to come."""


def find_chromium():
    """Give the path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """One browser with one page; `errors` collects what its console complains of."""

    def __init__(self, program, profile):
        ours, theirs = os.pipe(), os.pipe()
        self._commands, self._answers = ours[1], theirs[0]
        command = 'exec "$@" 3<&"$COMMANDS" 4>&"$ANSWERS"'
        self._process = subprocess.Popen(
            ["bash", "-c", command, "bash", program, *SWITCHES, f"--user-data-dir={profile}"],
            pass_fds=(ours[0], theirs[1]),
            env={**os.environ, "COMMANDS": str(ours[0]), "ANSWERS": str(theirs[1])},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(ours[0])
        os.close(theirs[1])
        self._unread, self._number, self._session = b"", 0, None
        self.errors, self.requests, self._loaded = [], [], False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self):
        """End the browser."""
        self._session = None
        try:
            self.call("Browser.close")
            self._process.wait(10)
        except (OSError, RuntimeError, TimeoutError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait(10)
        finally:
            os.close(self._commands)
            os.close(self._answers)

    def call(self, method, **parameters):
        """Send a command and give its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._write(json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            self._note(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def open(self, path, *, width=1280, height=800, dark=False, phone=False):
        """Open a file, and wait until it is loaded."""
        self.errors, self.requests, self._loaded = [], [], False
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=phone,
        )  # fmt: skip
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        features = {"color-scheme": "dark" if dark else "light", "reduced-motion": "reduce"}
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": f"prefers-{k}", "value": v} for k, v in features.items()],
        )
        self.call("Page.navigate", url=path.as_uri())
        while not self._loaded:
            self._note(self._read())

    def evaluate(self, script):
        """Give the value of an expression in the page; promises are awaited."""
        result = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"]["description"])
        return result["result"].get("value")

    def wait_for(self, script):
        """Wait until an expression is true."""
        end = time.monotonic() + SECONDS
        while not self.evaluate(script):
            if time.monotonic() > end:
                raise TimeoutError(f"never became true: {script}")
            time.sleep(0.02)

    def place_of(self, selector, x=0.5, y=0.5):
        """Scroll an element into view, and give a point of it in pixels of the window."""
        box = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })()"
        )
        return box[0] + x * box[2], box[1] + y * box[3]

    def mouse(self, kind, x, y, clicks=0):
        """Send one mouse event; `clicks` counts the presses in a row, 0 = no button."""
        button = {"button": "left", "buttons": 1} if clicks else {"button": "none"}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, clickCount=clicks, **button)

    def point(self, selector, x=0.5, y=0.5):
        """Move the mouse over a point of an element, in shares of its width and height."""
        self.mouse("mouseMoved", *self.place_of(selector, x, y))

    def click(self, selector, x=0.5, y=0.5):
        """Move the mouse there, press and release its button."""
        place = self.place_of(selector, x, y)
        self.mouse("mouseMoved", *place)
        self.mouse("mousePressed", *place, clicks=1)
        self.mouse("mouseReleased", *place, clicks=1)

    def tap(self, selector, x=0.5, y=0.5):
        """Touch a point of an element, and let go."""
        left, top = self.place_of(selector, x, y)
        self.call(
            "Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": left, "y": top}]
        )
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def press(self, key):
        """Press and release a key where the focus is."""
        text = {"text": key} if len(key) == 1 else {}
        code = {"Enter": 13, "Tab": 9, " ": 32, "Escape": 27}.get(key, ord(key.upper()[0]))
        if key == "Enter":
            text = {"text": "\r"}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind, key=key, windowsVirtualKeyCode=ARROWS.get(key, code),
                **(text if kind == "keyDown" else {}),
            )  # fmt: skip

    def screenshot(self, path, *, full=False):
        """Write what is shown, or the whole page, as PNG."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=full)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _write(self, content):
        while content:
            content = content[os.write(self._commands, content) :]

    def _read(self):
        """Give the next message."""
        while b"\0" not in self._unread:
            if not select.select([self._answers], [], [], SECONDS)[0]:
                raise TimeoutError(f"the browser said nothing for {SECONDS} s")
            some = os.read(self._answers, 1 << 20)
            if not some:
                raise RuntimeError("the browser ended")
            self._unread += some
        message, self._unread = self._unread.split(b"\0", 1)
        return json.loads(message)

    def _note(self, event):
        parameters = event.get("params", {})
        match event.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Runtime.exceptionThrown":
                self.errors.append(parameters["exceptionDetails"]["exception"]["description"])
            case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "warning"):
                self.errors.append(str(parameters["args"]))
            case "Log.entryAdded" if parameters["entry"]["level"] in ("error", "warning"):
                self.errors.append(parameters["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"][:80])


ARROWS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
