#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A page in a headless Chromium, driven step by step.

  browser.py URL [--dark] [--size 1400x1000] STEP…

Steps: `wait=EXPRESSION` until it is true, `eval=EXPRESSION` (its value is printed, as JSON), `click=SELECTOR`,
`sleep=SECONDS`, `shot=FILE.png` (what is in view). What the page logs as an error makes the exit status 1.
Needs Chromium and python3-websockets; exits 77 where one is missing.
"""
import asyncio
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile

try:
    import websockets
except ImportError:
    sys.exit(77)

LIMIT = 20  # seconds for anything to happen


class Page:
    def __init__(self, socket):
        self.socket, self.number, self.session, self.errors = socket, 0, None, []

    async def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        await self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(await asyncio.wait_for(self.socket.recv(), LIMIT))
            self.note(answer)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def note(self, event):
        if event.get("method") == "Runtime.exceptionThrown":
            details = event["params"]["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        if event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
            self.errors.append(event["params"]["entry"]["text"])

    async def evaluate(self, expression):
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    async def wait(self, expression):
        for _ in range(LIMIT * 10):
            if await self.evaluate(expression):
                return
            await asyncio.sleep(0.1)
        raise RuntimeError(f"not within {LIMIT} s: {expression}")

    async def step(self, step):
        kind, value = step.split("=", 1)
        if kind == "wait":
            await self.wait(value)
        elif kind == "eval":
            print(json.dumps(await self.evaluate(value), ensure_ascii=False), flush=True)
        elif kind == "click":
            await self.evaluate(f"document.querySelector({json.dumps(value)}).click()")
        elif kind == "sleep":
            await asyncio.sleep(float(value))
        elif kind == "shot":
            shot = await self.call("Page.captureScreenshot", format="png")
            with open(value, "wb") as file:
                file.write(base64.b64decode(shot["data"]))
        else:
            raise SystemExit(f"unknown step {step}")


async def drive(address, url, dark, size, steps):
    async with websockets.connect(address, max_size=None) as socket:
        page = Page(socket)
        target = await page.call("Target.createTarget", url="about:blank")
        page.session = (await page.call("Target.attachToTarget", targetId=target["targetId"], flatten=True))["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            await page.call(domain + ".enable")
        width, height = map(int, size.split("x"))
        await page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        await page.call("Emulation.setEmulatedMedia",
                        features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        await page.call("Page.navigate", url=url)
        for step in steps:
            await page.step(step)
        return page.errors


def main(words):
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        sys.exit(77)
    url, dark, size, steps = words[0], False, "1400x1000", []
    words = words[1:]
    while words:
        word = words.pop(0)
        if word == "--dark":
            dark = True
        elif word == "--size":
            size = words.pop(0)
        else:
            steps.append(word)
    with tempfile.TemporaryDirectory() as profile:
        browser = subprocess.Popen(
            [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True)
        try:
            address = next((line.split()[-1] for line in browser.stderr if line.startswith("DevTools listening")), None)
            if address is None:
                raise SystemExit("chromium did not start")
            errors = asyncio.run(drive(address, url, dark, size, steps))
        finally:
            os.killpg(browser.pid, 9)
            browser.wait()
    for error in errors:
        print("the page's error:", error, file=sys.stderr)
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
