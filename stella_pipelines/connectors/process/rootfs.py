"""Paths inside an unpacked root file system, as the image means them: `/` is the image's root, and no link leads out of it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Final

LINKS_MAX: Final = 40
"""Symbolic links on the way to one file; the kernel's own limit."""


class LinkLoop(ValueError):
    """A path leads through more symbolic links than the kernel would follow."""


def inside(root: Path, path: str) -> Path:
    """Where `path` leads when `root` is `/`. The answer is below `root` and has no links in it; whether something is there is not asked."""
    pending = list(reversed(PurePosixPath(path).parts))
    here, links = root, 0
    while pending:
        part = pending.pop()
        if part in ("/", "."):
            here = root if part == "/" else here
        elif part == "..":
            here = here if here == root else here.parent
        elif (here / part).is_symlink():
            links += 1
            if links > LINKS_MAX:
                raise LinkLoop(f"{path} leads through more than {LINKS_MAX} links")
            pending.extend(reversed(PurePosixPath((here / part).readlink()).parts))
        else:
            here = here / part
    return here
