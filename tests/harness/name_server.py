"""A name server of the test: inside tests/servers/inside.sh the address that /etc/resolv.conf names is ours to have.

    with NameServer({("_mongodb._tcp.db.example", "SRV"): [(27017, "a.db.example")],
                     ("db.example", "TXT"): ["replicaSet=rs0"], ("a.db.example", "A"): ["127.0.0.1"]}) as names:
        names.asked                        # [(name, type)]; `names.records` may change at any time
"""
import re
import socket
import struct
import subprocess
import threading

TYPES = {1: "A", 16: "TXT", 28: "AAAA", 33: "SRV"}


def first_name_server():
    with open("/etc/resolv.conf", encoding="utf-8") as f:
        found = re.search(r"^nameserver\s+(\S+)", f.read(), re.MULTILINE)
    return found[1] if found else "127.0.0.1"


class NameServer:
    def __init__(self, records):
        self.records, self.asked = records, []
        self.address = first_name_server()
        if not self.address.startswith("127.") and self.address != "::1":
            subprocess.run(["ip", "addr", "replace", self.address, "dev", "lo"], check=True)
        self.sock = socket.socket(socket.AF_INET6 if ":" in self.address else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((self.address, 53))
        self.sock.settimeout(0.2)
        self.over = False
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.over = True
        self.thread.join()
        self.sock.close()

    def _serve(self):
        while not self.over:
            try:
                query, peer = self.sock.recvfrom(4096)
            except TimeoutError:
                continue
            self.sock.sendto(self._answer(query), peer)

    def _answer(self, query):
        at, labels = 12, []
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        question = query[12:at + 5]
        key = (".".join(labels).lower(), TYPES.get(struct.unpack_from(">H", query, at + 1)[0], "other"))
        self.asked.append(key)
        known = any(name == key[0] for name, _ in self.records)
        answers = [self._record(key[1], value) for value in self.records.get(key, ())]
        return query[:2] + struct.pack(">HHHHH", 0x8180 | (0 if known else 3), 1, len(answers), 0, 0) + question + b"".join(answers)

    def _record(self, kind, value):
        number = next(n for n, name in TYPES.items() if name == kind)
        if kind == "A":
            data = socket.inet_aton(value)
        elif kind == "TXT":
            data = bytes([len(value)]) + value.encode()
        else:
            data = struct.pack(">HHH", 0, 0, value[0]) + b"".join(bytes([len(p)]) + p.encode() for p in value[1].split(".")) + b"\0"
        return b"\xc0\x0c" + struct.pack(">HHIH", number, 1, 0, len(data)) + data
