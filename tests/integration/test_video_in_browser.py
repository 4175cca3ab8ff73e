"""The annotated film plays in a browser."""

import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image
from tests.films import write_film

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

#: The page waits for an image, which the server sends after the page's report.
PAGE = """
<body style="margin: 0; background: white">
<video id="film" src="annotated.webm" muted></video>
<script>
const report = text => fetch("http://127.0.0.1:%(port)d/report?text=" + text, {mode: "no-cors"});
film.onerror = () => report("error " + film.error.message);
film.onseeked = () => report([film.currentTime, film.duration, film.videoWidth].join(" "));
film.onloadedmetadata = () => film.currentTime = 1;
</script>
<img src="http://127.0.0.1:%(port)d/wait">
"""


class Handler(BaseHTTPRequestHandler):
    reports: list[str]
    reported: threading.Event

    def do_GET(self):
        address = urlsplit(self.path)
        if address.path == "/report":
            self.reports.append(parse_qs(address.query)["text"][0])
            self.reported.set()
        else:
            self.reported.wait(30)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        """Say nothing about every request."""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_annotated_film_plays_in_chromium(run, astronaut, tmp_path):
    photo = np.asarray(Image.open(astronaut).convert("RGB"))
    clip = write_film(tmp_path / "clip.mp4", ((i / 10, photo) for i in range(20)))
    film = tmp_path / "annotated.webm"
    assert run("video", clip, "--model", "tiny", "--annotated", film).status == 0

    handler = type("Own", (Handler,), {"reports": [], "reported": threading.Event()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (tmp_path / "page.html").write_text(PAGE % {"port": server.server_port})
    picture = tmp_path / "screenshot.png"
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=400,500"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={picture}"]
    try:
        subprocess.run(
            [*command, (tmp_path / "page.html").as_uri()],
            check=True,
            capture_output=True,
            timeout=120,
        )
    finally:
        server.shutdown()
        server.server_close()
    (report,) = handler.reports
    time, duration, width = map(float, report.split())
    assert (time, width) == (1, 400)
    assert duration == pytest.approx(2, abs=0.1)
    shown = np.asarray(Image.open(picture).convert("RGB"))[:400, :400].astype(int)
    # The photo, with marks on a part of it.
    assert np.median(np.abs(shown - photo)) < 12
    assert (np.abs(shown - photo).max(axis=2) > 100).mean() > 0.01
