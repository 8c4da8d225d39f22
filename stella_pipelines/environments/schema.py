"""The published JSON Schema (draft 2020-12) of the file form, for editors and other people's tools. `docs/estate.schema.json` is its committed copy.

It is made from the models, so that it cannot fall behind them, and then turned into the file form: names are keys, and a target's kind is its section.
A schema cannot say everything: cross-references, cycles, time zones and CEL are checked by `parse_estate` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stella_pipelines.environments.model import Estate
from stella_pipelines.environments.reading import OWN_KEYS_PREFIX, TARGET_KINDS

Schema = dict[str, Any]

SCHEMA_ID: Final = "https://stella-pipelines.dev/schemas/estate/v1"
_NAMED: Final[Mapping[str, str]] = {
    "Registry": "host",
    "Component": "name",
    "Environment": "name",
    "Target": "name",
    "Policy": "name",
    "FreezeWindow": "name",
    "ApprovalGroup": "name",
}
"""Models whose name is a key in the file."""
_SECTIONS: Final[Mapping[str, str]] = {
    "registries": "Registry",
    "components": "Component",
    "environments": "Environment",
    "targets": "Target",
    "policies": "Policy",
    "freeze_windows": "FreezeWindow",
}


def json_schema() -> Schema:
    """The schema of `estate.yaml`."""
    made = Estate.model_json_schema()
    models: dict[str, Schema] = made["$defs"]
    gate_config = models.pop("Gate")["properties"]["config"]
    keys = {model: models[model]["properties"].pop(field) for model, field in _NAMED.items()}
    for model, field in _NAMED.items():
        models[model]["required"] = [name for name in models[model].get("required", []) if name != field]
    models["Environment"]["properties"]["gates"] = _gates(gate_config, keys["Environment"])
    models["ApprovalGateConfig"]["properties"]["groups"] = {**_mapping(models, keys, "ApprovalGroup"), "minProperties": 1}
    _require_kinds(models, gate_config)
    _add_conditions(models)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "estate.yaml",
        "description": made["description"],
        "type": "object",
        "properties": {section: _mapping(models, keys, model) for section, model in _SECTIONS.items()},
        "patternProperties": {f"^{OWN_KEYS_PREFIX}": {"description": "Yours: a home for anchors."}},
        "additionalProperties": False,
        "required": ["environments"],
        "$defs": {name: _polished(models[name]) for name in sorted(models)},
    }


def _mapping(models: Mapping[str, Schema], keys: Mapping[str, Schema], model: str) -> Schema:
    pattern = keys[model].get("pattern")
    return {
        "description": models[model]["description"],
        "type": "object",
        **({"propertyNames": {"pattern": pattern}} if pattern else {}),
        "additionalProperties": {"$ref": f"#/$defs/{model}"},
    }


def _gates(gate_config: Schema, name: Schema) -> Schema:
    config = {key: value for key, value in gate_config.items() if key != "title"}
    return {
        "description": "Gates by name, asked in this order; or the word none.",
        "oneOf": [{"const": "none"}, {"type": "object", "minProperties": 1, "propertyNames": {"pattern": name["pattern"]}, "additionalProperties": config}],
    }


def _require_kinds(models: Mapping[str, Schema], gate_config: Schema) -> None:
    """`kind` tells the branches of a union apart, so it is required although the model has a default."""
    strategy = models["Environment"]["properties"]["strategy"]
    for union in (gate_config, strategy):
        for branch in union["oneOf"]:
            model = models[branch["$ref"].removeprefix("#/$defs/")]
            model["required"] = ["kind", *(name for name in model.get("required", []) if name != "kind")]


def _add_conditions(models: Mapping[str, Schema]) -> None:
    """What the models' own validators demand between fields."""
    target = models["Target"]
    target["properties"].pop("kind")
    target["required"] = ["environment"]
    for kind in TARGET_KINDS:
        target["properties"][kind] = {"$ref": f"#/$defs/{kind.capitalize()}Access"}
    target["oneOf"] = [{"required": [kind]} for kind in TARGET_KINDS]
    models["HealthCheck"]["if"] = {"properties": {"kind": {"enum": ["http", "tcp"]}}, "required": ["kind"]}
    models["HealthCheck"]["then"] = {"required": ["port"], "properties": {"port": {"type": "integer"}}}
    models["DockerAccess"]["oneOf"] = [
        {"properties": {"endpoint": {"pattern": "^tcp://"}, "tls": {"type": "object"}, "ssh": {"type": "null"}}, "required": ["tls"]},
        {"properties": {"endpoint": {"pattern": "^unix:///"}, "tls": {"type": "null"}}},
    ]
    one_off = {"properties": {"rrule": {"type": "null"}, "lasts_s": {"type": "null"}, "ends_at": {"type": "string"}}, "required": ["ends_at"]}
    recurring = {"properties": {"rrule": {"type": "string"}, "lasts_s": {"type": "number"}, "ends_at": {"type": "null"}}, "required": ["rrule", "lasts_s"]}
    models["FreezeWindow"]["oneOf"] = [one_off, recurring]


def _polished(schema: Any) -> Any:
    """Without pydantic's titles, which only repeat each field's name; and a time needs its zone (`format` alone is a note that validators skip)."""
    if isinstance(schema, list):
        return [_polished(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    zone = {"pattern": "(Z|[+-][0-9]{2}:[0-9]{2})$"} if schema.get("format") == "date-time" else {}
    kept = {key: value for key, value in schema.items() if key != "title" or not isinstance(value, str)}
    return {key: _polished(value) for key, value in kept.items()} | zone
