"""Whether files are YAML in which no key stands twice: what is read last would count, and nobody would be told."""

import sys

import yaml


class Strict(yaml.SafeLoader):
    """Reads YAML, and refuses a key that stands twice."""

    def construct_mapping(self, node, deep=False):
        # `<<` takes in what stands elsewhere, which may be written over.
        own = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        keys = [self.construct_object(key, deep=deep) for key in own]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            sys.exit(f"{node.start_mark.name}:{node.start_mark.line + 1}: twice: {', '.join(map(str, twice))}")
        return super().construct_mapping(node, deep=deep)


for name in sys.argv[1:]:
    with open(name) as file:
        list(yaml.load_all(file, Loader=Strict))
