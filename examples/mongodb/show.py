"""Prints collections of the database sluice_example, a document a line with the types of its fields; or empties them.

    MONGODB_URL=mongodb://user:password@127.0.0.1:27017/ python3 show.py readings:at rooms:_id     sorted by a field
    ... python3 show.py empty readings rooms

It speaks as much of the protocol as that takes (tests/harness/servers/mongo_wire.py), to a server on this machine.
"""
import os
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
from harness.servers.mongo_wire import Mongo  # noqa: E402


def shown(kind, value):
    if kind == "document":
        return "{" + ", ".join(f"{name}: {shown(*inner)}" for name, inner in value.items()) + "}"
    if kind == "array":
        return "[" + ", ".join(shown(*inner) for inner in value) + "]"
    return f"{kind} {value.ms if kind == 'date' else value}"


def main(words):
    url = urlsplit(os.environ["MONGODB_URL"])
    with Mongo(url.port or 27017, unquote(url.username or ""), unquote(url.password or "")) as server:
        if words[0] == "empty":
            for name in words[1:]:
                server.drop("sluice_example", name)
            return
        for word in words:
            name, field = word.split(":")
            for document in server.find("sluice_example", name, sort={field: 1}, typed=True):
                if len(str(document["_id"][1])) > 20:
                    document.pop("_id")  # of msgid(): another one in every run
                print(name, shown("document", document))


main(sys.argv[1:])
