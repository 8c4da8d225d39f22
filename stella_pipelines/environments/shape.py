"""Where in a model a validation error happened, in the words of the file: which path, and which keys are allowed there.

pydantic's own locations also name the branch of a union (`strategy.rolling.batch.str`); a person who wrote `strategy.batch` does not know it.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from stella_pipelines.environments.problems import Path


def place_of(model: type[BaseModel], location: Sequence[str | int]) -> tuple[Path, type[BaseModel]]:
    """The file's path for pydantic's `location` inside `model`, and the model whose keys stand at its end (or around its end)."""
    annotation: Any = model
    owner, path = model, []
    for part in location:
        branches = _branches(annotation)
        models = [branch for branch in branches if isinstance(branch, type) and issubclass(branch, BaseModel)]
        if len(models) > 1:
            annotation = next((branch for branch in models if tag_of(branch) == part), None)
            owner = annotation or owner
            continue  # the part names a branch, not a key
        if models:
            owner = models[0]
            found = owner.model_fields.get(str(part))
            annotation = found.annotation if found else None
        elif any(get_origin(branch) in (tuple, list, dict) for branch in branches):
            annotation = _item(branches)
        else:
            break  # inside a plain value: the rest names branches of its type
        path.append(part)
    return tuple(path), owner


def tag_of(model: type[BaseModel]) -> str:
    """What `kind` says in this branch of a union."""
    found = model.model_fields.get("kind")
    return str(found.default) if found else ""


def _branches(annotation: Any) -> tuple[Any, ...]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _branches(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return tuple(inner for branch in get_args(annotation) if branch is not type(None) for inner in _branches(branch))
    return (annotation,)


def _item(branches: tuple[Any, ...]) -> Any:
    container = next(branch for branch in branches if get_origin(branch) in (tuple, list, dict))
    arguments = get_args(container)
    return arguments[1] if get_origin(container) is dict else arguments[0]
