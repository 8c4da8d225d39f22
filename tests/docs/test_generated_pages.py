"""The reference pages say what the code says."""

from pathlib import Path

import pytest

from scripts.generate_docs import pages
from stella_pipelines.core.errors import all_error_classes

PAGES = pages()


@pytest.mark.parametrize("path", sorted(PAGES), ids=lambda path: path.name)
def test_a_generated_page_is_up_to_date(path: Path) -> None:
    assert path.read_text() == PAGES[path], "run `make docs`"


def test_every_error_says_what_it_means_and_has_a_known_prefix() -> None:
    prefixes = ("AUTH_", "PERM_", "VAL_", "RES_", "ENV_", "REL_", "PROM_", "DEPLOY_", "GATE_", "AGT_", "INT_", "WF_", "EVID_", "SYS_")
    classes = [cls for cls in all_error_classes() if cls.__module__.startswith("stella_pipelines")]
    assert len(classes) > 20
    assert [cls.code for cls in classes if not cls.code.startswith(prefixes)] == []
    assert [cls.code for cls in classes if len((cls.__doc__ or "").split()) < 4] == []
