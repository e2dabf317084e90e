"""Owns a mapping as YAML that people edit. Refuses to judge it: the server does."""

import io

from ruamel.yaml import YAML


def as_yaml(rule: dict[str, object]) -> str:
    """A mapping as a document of YAML 1.2, its fields in the order they are given."""
    text, yaml = io.StringIO(), YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]  typed as None there
    yaml.width = 120
    yaml.dump(rule, text)  # pyright: ignore[reportUnknownMemberType]  it is not typed
    return text.getvalue()
