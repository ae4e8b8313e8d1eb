"""Whether files are YAML in which no key stands twice: what is read last would count, and nobody would be told."""

import sys

import yaml


class Strict(yaml.SafeLoader):
    """Reads YAML, and refuses a key that stands twice."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            sys.exit(f"{node.start_mark.name}:{node.start_mark.line + 1}: twice: {', '.join(map(str, twice))}")
        return super().construct_mapping(node, deep=deep)


for name in sys.argv[1:]:
    with open(name) as file:
        list(yaml.load_all(file, Loader=Strict))
