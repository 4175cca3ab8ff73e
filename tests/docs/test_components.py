"""The page of components lists every setting of emonet's own components, with its default."""

import json
import re
from pathlib import Path

from emonet.registry.catalog import get_catalog
from emonet.registry.discovery import Kind

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "components.md"


def test_every_setting_and_default_is_listed() -> None:
    catalog = get_catalog()
    own = [
        component
        for kind in Kind
        for name in catalog.names(kind)
        if (component := catalog.get(kind, name)).plugin.distribution == "emonet"
    ]
    listed: dict[str, dict[str, str]] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"\| `(\w+)` \| default \|", line):
            settings = listed.setdefault(heading[1], {})
        elif row := re.match(r"\| `(\w+)` \| `([^`]+)` \|", line):
            settings[row[1]] = row[2]
    assert listed == {
        component.spec.name: {
            name: json.dumps(value) for name, value in component.spec.defaults.items()
        }
        for component in own
        if component.spec.defaults
    }
