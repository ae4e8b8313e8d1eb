"""Whether Envoy's own definitions know every field of a configuration, and each has a value of its type."""

import importlib
import re
import sys
from pathlib import Path

import yaml
from envoy_data_plane.envoy.config.bootstrap.v3 import Bootstrap

text = Path(sys.argv[1]).read_text()
# What stands under `typed_config` is known once its package is loaded.
for package in sorted(set(re.findall(r"type\.googleapis\.com/([a-z0-9_.]+)\.[A-Z]", text))):
    importlib.import_module(f"envoy_data_plane.{package}")
Bootstrap.from_dict(yaml.safe_load(text))
