"""What the shop's versions say and need. Data, and no doing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NEEDED_SETTING: Final = "CATALOG_URL"
REPOSITORY_PATH: Final = "shop/web"
PORT_INSIDE: Final = 8080


@dataclass(frozen=True)
class Version:
    """One version of the shop."""

    name: str
    colour: str
    news: str
    needs_setting: bool = False

    @property
    def page(self) -> str:
        """The page at `/`."""
        return (
            f"<!doctype html><html lang=en><meta charset=utf-8><title>shop {self.name}</title>"
            f"<body style='font:1.2rem system-ui;margin:4rem;border-left:.6rem solid {self.colour};padding-left:1rem'>"
            f"<h1>The shop, {self.name}</h1><p>{self.news}</p></html>\n"
        )


VERSIONS: Final = (
    Version("v1", "#2563eb", "Open for business."),
    Version("v2", "#16a34a", "Now with compressed pictures."),
    Version("v3", "#dc2626", "Now with a catalogue service.", needs_setting=True),
)
