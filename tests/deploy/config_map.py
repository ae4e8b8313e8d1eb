"""Writes the files of every ConfigMap in a Kubernetes manifest into a directory.

    python config_map.py MANIFEST DIRECTORY
"""

import sys
from pathlib import Path

import yaml

manifest, directory = sys.argv[1:]
for document in yaml.safe_load_all(Path(manifest).read_text()):
    if document["kind"] == "ConfigMap":
        for name, text in document["data"].items():
            (Path(directory) / name).write_text(text)
