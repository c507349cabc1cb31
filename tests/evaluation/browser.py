"""A headless Chromium, where there is one: what a page shows after its scripts ran, and what its console says."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_CONSOLE = re.compile(r":CONSOLE[:(]\d+[)\]]+ (.*)")


def open_page(path: Path, profile: Path) -> tuple[str, list[str]]:
    """Open a local page and return its document after its scripts ran, and the lines of its console.

    Skips the test, with the reason, where no Chromium is installed.
    """
    found = next((command for name in NAMES if (command := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no Chromium to open the page with; looked for {', '.join(NAMES)}")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr"]
    options += [f"--user-data-dir={profile}", "--virtual-time-budget=5000", "--dump-dom", path.as_uri()]
    ran = subprocess.run([found, *options], capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return ran.stdout, _CONSOLE.findall(ran.stderr)
