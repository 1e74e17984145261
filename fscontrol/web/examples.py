"""What to send, made of an OpenAPI document: example bodies and curl lines; pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

_WIDEST = 70
_DEEPEST = 4
"""How far an example goes into objects in objects."""


def resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that a reference leads to, or itself."""
    if "$ref" not in schema:
        return schema
    found: Mapping[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def example_of(schema: Mapping[str, Any], document: Mapping[str, Any], depth: int = 0) -> Any:
    """A value of that schema: its own example, or the least that it asks for."""
    schema = resolved(schema, document)
    if examples := schema.get("examples"):
        return examples[0]
    for name in ("const", "default"):
        if name in schema:
            return schema[name]
    if several := schema.get("enum"):
        return several[0]
    if several := schema.get("anyOf") or schema.get("oneOf"):
        return example_of(several[0], document, depth)
    if schema.get("type") == "object" and depth < _DEEPEST:
        members = schema.get("properties", {})
        return {
            name: example_of(members.get(name, {}), document, depth + 1)
            for name in schema.get("required", ())
        }
    plain = {"integer": schema.get("minimum", 1), "number": 1.0, "boolean": True, "array": [], "object": {}}
    return plain.get(str(schema.get("type")), "…")


def curl(path: str, method: str, told: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """How to ask it from a shell."""
    lines = ["curl" if method == "GET" else f"curl -X {method}"]
    lines[0] += f' "$FSCONTROL{path.replace("{", "$").replace("}", "")}"'
    if told.get("x-role"):
        lines.append('-H "Authorization: Bearer $KEY"')
    lines += [f"-H '{one['name']}: …'" for one in told["parameters"] if one["in"] == "header"]
    contents = told.get("requestBody", {}).get("content", {})
    if "application/json" in contents:
        example = example_of(contents["application/json"]["schema"], document)
        body = json.dumps(example, ensure_ascii=False)
        if len(body) > _WIDEST:
            body = json.dumps(example, ensure_ascii=False, indent=2)
        lines += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(body)}"]
    return " \\\n  ".join(lines)
