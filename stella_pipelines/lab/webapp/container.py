"""The shop as a container image for real engines: busybox's web server, and a HEALTHCHECK that asks `/health`.

The image is for this machine's own architecture; the index also names a second platform, whose image holds a note and does not run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from stella_pipelines.lab.errors import LabUnsupported
from stella_pipelines.lab.images import File, Image, Link, MultiArchImage, make_image
from stella_pipelines.lab.webapp.pages import NEEDED_SETTING, PORT_INSIDE, Version

_APPLETS: Final = ("httpd", "rm", "sh", "sleep", "wget")
_INTERPRETER_BYTES: Final = 4096
"""A dynamic program names its loader at its start."""
_SECOND_NS: Final = 1_000_000_000
# httpd does not stop by itself as process 1 of a container: the kernel gives process 1 no default signal actions. The shell's trap does.
_START: Final = """\
#!/bin/sh
set -eu
{check}trap 'kill "$server"; exit 0' TERM INT
httpd -f -p {port} -h /www &
server=$!
wait "$server"
"""
_CHECK: Final = '[ -n "${{{setting}:-}}" ] || {{ echo "{setting} is not set: /health will fail" >&2; rm /www/health; }}\n'


def container_image(version: Version, busybox: bytes, platform: str) -> MultiArchImage:
    """The image of one version. `busybox` is a static binary for `platform`."""
    other = "linux/arm64" if platform != "linux/arm64" else "linux/amd64"
    return MultiArchImage(tuple(sorted((_real(version, busybox, platform), _note(version, other)), key=lambda image: image.platform)))


def static_busybox(path: Path) -> bytes:
    """The machine's busybox, if a container without any library can run it."""
    content = path.read_bytes()
    if b"ld-linux" in content[:_INTERPRETER_BYTES] or b"ld-musl" in content[:_INTERPRETER_BYTES]:
        raise LabUnsupported(f"{path} is not a static program.", next_step="Install it: apt-get install busybox-static.")
    return content


def _real(version: Version, busybox: bytes, platform: str) -> Image:
    base: list[File | Link] = [File("bin/busybox", busybox, 0o755), *(Link(f"bin/{applet}", "busybox") for applet in _APPLETS)]
    site = [
        File("start.sh", _start_script(version).encode(), 0o755),
        File("www/index.html", version.page.encode()),
        File("www/version", f"{version.name}\n".encode()),
        File("www/health", b"ok\n"),
    ]
    return make_image(platform, [base, site], _settings(version))


def _note(version: Version, platform: str) -> Image:
    return make_image(platform, [[File("README", b"The lab's image for this platform holds only this note.\n")]], {"Labels": _labels(version)})


def _start_script(version: Version) -> str:
    return _START.format(port=PORT_INSIDE, check=_CHECK.format(setting=NEEDED_SETTING) if version.needs_setting else "")


def _settings(version: Version) -> dict[str, object]:
    return {
        "Entrypoint": ["/start.sh"],
        "Env": ["PATH=/bin"],
        "ExposedPorts": {f"{PORT_INSIDE}/tcp": {}},
        "Labels": _labels(version),
        # Engines before 25 ignore StartInterval and wait a whole Interval before they look for the first time.
        "Healthcheck": {
            "Test": ["CMD", "/bin/wget", "-q", "-O", "/dev/null", f"http://127.0.0.1:{PORT_INSIDE}/health"],
            "Interval": _SECOND_NS // 2,
            "StartInterval": _SECOND_NS // 10,
            "StartPeriod": _SECOND_NS,
            "Timeout": _SECOND_NS,
            "Retries": 2,
        },
    }


def _labels(version: Version) -> dict[str, str]:
    return {"org.opencontainers.image.title": "shop", "org.opencontainers.image.version": version.name}
