"""The shop as an image for `process` targets: one Python script that needs nothing but the standard library."""

from __future__ import annotations

from typing import Final

from stella_pipelines.lab.images import File, MultiArchImage, make_image
from stella_pipelines.lab.webapp.pages import NEEDED_SETTING, PORT_INSIDE, Version

_PLATFORMS: Final = ("linux/amd64", "linux/arm64")
_SERVER: Final = '''\
#!/usr/bin/env python3
"""The shop, {version}: a web server that needs nothing but Python."""

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGES = {{"/": ({page!r}, "text/html"), "/version": ({version!r} + "\\n", "text/plain"), "/health": ("ok\\n", "text/plain")}}
if {needs_setting!r} and not os.environ.get({setting!r}):
    print("{setting} is not set: /health will fail", file=sys.stderr, flush=True)
    del PAGES["/health"]


class Shop(BaseHTTPRequestHandler):
    def do_GET(self):
        body, kind = PAGES.get(self.path, ("not found\\n", "text/plain"))
        self.send_response(200 if self.path in PAGES else 404)
        self.send_header("Content-Type", kind + "; charset=utf-8")
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *words):
        pass


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
ThreadingHTTPServer((os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "{port}"))), Shop).serve_forever()
'''


def script_image(version: Version) -> MultiArchImage:
    """The image of one version: the same script for every platform."""
    script = _SERVER.format(version=version.name, page=version.page, needs_setting=version.needs_setting, setting=NEEDED_SETTING, port=PORT_INSIDE)
    layers = [[File("app/server.py", script.encode(), 0o755)]]
    return MultiArchImage(tuple(make_image(platform, layers, _settings(version)) for platform in _PLATFORMS))


def _settings(version: Version) -> dict[str, object]:
    return {
        "Entrypoint": ["/app/server.py"],
        "ExposedPorts": {f"{PORT_INSIDE}/tcp": {}},
        "Labels": {"org.opencontainers.image.title": "shop", "org.opencontainers.image.version": version.name},
    }
