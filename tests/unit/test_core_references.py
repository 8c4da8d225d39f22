"""Image references are parsed strictly, and never guess a registry."""

import pytest

from stella_pipelines.core.digest import Digest
from stella_pipelines.core.references import ImageReference, InvalidReference

ZERO = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "host", "path", "tag", "digest"),
    [
        ("registry.example/shop/web:1.0", "registry.example", "shop/web", "1.0", None),
        (f"127.0.0.1:5000/web@{ZERO}", "127.0.0.1:5000", "web", None, ZERO),
        (f"localhost/a/b/c:v1@{ZERO}", "localhost", "a/b/c", "v1", ZERO),
        ("[::1]:5000/web", "[::1]:5000", "web", None, None),
    ],
)
def test_a_reference_is_taken_apart_and_put_together_again(text: str, host: str, path: str, tag: str | None, digest: str | None) -> None:
    reference = ImageReference.parse(text)
    assert (reference.host, reference.path, reference.tag, reference.digest) == (host, path, tag, digest)
    assert str(reference) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nginx",
        "library/nginx:1",
        "registry.example/Upper",
        "registry.example/web:",
        "registry.example/web@sha256:12",
        "https://registry.example/web",
        "registry.example//web",
        "registry.example/web:a b",
        "a" * 600,
    ],
)
def test_what_is_not_a_reference_with_a_registry_is_refused(text: str) -> None:
    with pytest.raises(InvalidReference) as refused:
        ImageReference.parse(text)
    assert "host" in refused.value.next_step


def test_a_reference_is_pinned_without_its_tag() -> None:
    assert str(ImageReference.parse("registry.example/web:1").at(Digest(ZERO))) == f"registry.example/web@{ZERO}"
