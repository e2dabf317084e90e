"""Takes the pictures of the console that README and docs show: `python docs/screenshots.py`, with Debian's Chromium.

They are of what `wr demo` leaves: the example github-triage, after its webhooks, with pull requests that wait. Written
to `docs/images` as WebP, which Chromium makes itself; take them again when the console has another face.
"""

import asyncio
import base64
import shutil
import tempfile
from pathlib import Path
from typing import cast

from playwright.async_api import Browser, Page, async_playwright

from workflow_router.cli.demo.run import Stage, leave_questions, perform, staged
from workflow_router.utils.clock import SystemClock

IMAGES = Path(__file__).parent / "images"
SEED, EVENTS = 7, 120
DESK, PHONE, LOW = (1440, 900), (390, 980), 400
QUALITY = 82


async def _take(page: Page, name: str) -> None:
    """Keep what the page shows, once it has settled."""
    await page.locator(".skeleton").first.wait_for(state="detached")
    await page.wait_for_timeout(700)
    session = await page.context.new_cdp_session(page)
    wanted = {"format": "webp", "quality": QUALITY}
    answer = await session.send("Page.captureScreenshot", wanted)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]  it says only "dict"
    taken = cast("dict[str, str]", answer)
    (IMAGES / f"{name}.webp").write_bytes(base64.b64decode(taken["data"]))


async def _page(browser: Browser, *, dark: bool = False, phone: bool = False) -> Page:
    width, height = PHONE if phone else DESK
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        locale="en-GB",
    )
    return await context.new_page()


async def _all(browser: Browser, stage: Stage) -> None:
    url = stage.router.address
    desk, night, phone = await _page(browser), await _page(browser, dark=True), await _page(browser, phone=True)
    asked = (await (await desk.request.get(f"{url}/api/approvals?status=open")).json())[0]
    run, approval = str(asked["run"]), str(asked["id"])
    await desk.goto(f"{url}/#/home")
    await _take(desk, "home")
    await desk.goto(f"{url}/#/trace/{run}?view=graph")
    await desk.locator(".graph .node", has=desk.locator(".kind[title=dispatch]")).first.click()
    await _take(desk, "trace")
    await desk.goto(f"{url}/#/routes")
    await _take(desk, "routes")
    await desk.set_viewport_size({"width": DESK[0], "height": LOW})
    await desk.goto(f"{url}/#/mappings")
    await desk.get_by_role("tab", name="What leads to what").click()
    await _take(desk, "mappings")
    await night.goto(f"{url}/#/runs/{run}")
    await night.locator(".waterfall .step").first.click()
    await _take(night, "run-dark")
    await phone.goto(f"{url}/#/approvals/{approval}")
    await phone.get_by_label("Your name").fill("ada")
    await phone.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    await _take(phone, "approval-phone")


async def main() -> None:
    """Play the demo, then take the pictures."""
    path = shutil.which("chromium")
    if path is None:
        raise SystemExit("There is no chromium here: apt-get install chromium.")
    IMAGES.mkdir(exist_ok=True)
    clock = SystemClock()
    with tempfile.TemporaryDirectory(prefix="wr-screenshots-") as folder:
        async with staged(Path(folder), seed=SEED, port=0, clock=clock) as stage:
            await perform(
                stage,
                count=EVENTS,
                seed=SEED,
                clock=clock,
                tell=print,
                on_sent=lambda _: None,
                on_ended=lambda _, __: None,
            )
            await leave_questions(stage, seed=SEED, clock=clock)
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
                await _all(browser, stage)
                await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
