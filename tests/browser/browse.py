"""Draws one page in a headless browser at one width: browse.py BROWSER PROFILE URL WIDTH HEIGHT WAIT_S PNG HTML.

Speaks the DevTools protocol over a pipe, since a window cannot be as narrow as a phone. Standard library only.
"""

import base64
import json
import os
import select
import subprocess
import sys
import time


class Browser:
    def __init__(self, program, profile):
        to_browser, self.write_end = os.pipe()
        self.read_end, from_browser = os.pipe()
        # The browser takes commands on descriptor 3 and answers on 4; both ends may lie there now.
        to_browser, from_browser = (os.dup(fd) for fd in (to_browser, from_browser))

        def place():
            os.dup2(to_browser, 103)
            os.dup2(from_browser, 104)
            os.dup2(103, 3)
            os.dup2(104, 4)
            os.set_inheritable(3, True)
            os.set_inheritable(4, True)

        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--hide-scrollbars", "--remote-debugging-pipe", "--user-data-dir=" + profile, "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False, preexec_fn=place)
        self.buffer = b""
        self.last = 0

    def _next(self, deadline):
        while b"\0" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.read_end], [], [], left)[0]:
                raise TimeoutError("the browser does not answer")
            piece = os.read(self.read_end, 1 << 20)
            if not piece:
                raise EOFError("the browser has ended")
            self.buffer += piece
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, session=None, **parameters):
        self.last += 1
        message = {"id": self.last, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 90
        while True:
            answer = self._next(deadline)
            if answer.get("id") == self.last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def close(self):
        try:
            self.call("Browser.close")
        except (OSError, EOFError, TimeoutError):
            pass
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def main():
    program, profile, url, width, height, wait, picture, page = sys.argv[1:]
    browser = Browser(program, profile)
    try:
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        browser.call("Emulation.setDeviceMetricsOverride", session, width=int(width), height=int(height),
                     deviceScaleFactor=1, mobile=int(width) < 600)
        browser.call("Page.navigate", session, url=url)
        time.sleep(float(wait))
        html = browser.call("Runtime.evaluate", session,
                            expression="document.documentElement.outerHTML")["result"]["value"]
        image = browser.call("Page.captureScreenshot", session, format="png")["data"]
    finally:
        browser.close()
    with open(page, "w", encoding="utf-8") as file:
        file.write(html)
    with open(picture, "wb") as file:
        file.write(base64.b64decode(image))


main()
