"""MQTT packets, byte for byte, for tests of both versions.

Builders return bytes and check nothing, so a test can also build what a client must never send. `parse` turns
what a broker sent into a Packet; it is strict, for a broker has no excuse. Numbers in comments are sections of
the MQTT 5.0 standard.
"""

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = 8, 9, 10, 11, 12, 13, 14, 15
V31, V311, V5 = 3, 4, 5

# 2.2.2.2: identifier -> (name, kind)
PROPERTIES = {
    0x01: ("payload_format", "byte"), 0x02: ("message_expiry", "u32"), 0x03: ("content_type", "text"),
    0x08: ("response_topic", "text"), 0x09: ("correlation_data", "bin"), 0x0B: ("subscription_id", "varint"),
    0x11: ("session_expiry", "u32"), 0x12: ("assigned_client_id", "text"), 0x13: ("server_keep_alive", "u16"),
    0x15: ("auth_method", "text"), 0x16: ("auth_data", "bin"), 0x17: ("request_problem_info", "byte"),
    0x18: ("will_delay", "u32"), 0x19: ("request_response_info", "byte"), 0x1A: ("response_info", "text"),
    0x1C: ("server_reference", "text"), 0x1F: ("reason_string", "text"), 0x21: ("receive_maximum", "u16"),
    0x22: ("topic_alias_maximum", "u16"), 0x23: ("topic_alias", "u16"), 0x24: ("maximum_qos", "byte"),
    0x25: ("retain_available", "byte"), 0x26: ("user", "pair"), 0x27: ("maximum_packet_size", "u32"),
    0x28: ("wildcard_available", "byte"), 0x29: ("subscription_ids_available", "byte"),
    0x2A: ("shared_available", "byte"),
}
IDENTIFIERS = {name: (number, kind) for number, (name, kind) in PROPERTIES.items()}


# ---- Building ------------------------------------------------------------------------------------------------

def varint(n):
    out = bytearray()
    while True:
        n, digit = n >> 7, n & 0x7F
        out.append(digit | (0x80 if n else 0))
        if not n:
            return bytes(out)


def u16(n):
    return n.to_bytes(2, "big")


def binary(b):
    return u16(len(b)) + b


def text(s):
    return binary(s if isinstance(s, bytes) else s.encode())


def frame(kind, flags, body):
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


def property_bytes(name, value):
    number, kind = IDENTIFIERS[name]
    head = bytes([number])
    if kind == "byte":
        return head + bytes([value])
    if kind == "u16":
        return head + u16(value)
    if kind == "u32":
        return head + value.to_bytes(4, "big")
    if kind == "varint":
        return head + varint(value)
    if kind == "text":
        return head + text(value)
    if kind == "bin":
        return head + binary(value)
    return head + text(value[0]) + text(value[1])


def props(**values):
    """A property block with its length. `user` takes a list of pairs, `subscription_id` a number or a list."""
    out = b""
    for name, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            out += property_bytes(name, one)
    return varint(len(out)) + out


def _props(version, values):
    return props(**(values or {})) if version == V5 else b""


class Will:
    def __init__(self, topic, payload=b"gone", qos=0, retain=False, properties=None):
        self.topic, self.payload, self.qos, self.retain, self.properties = topic, payload, qos, retain, properties


def connect(client_id="", version=V311, clean=True, keepalive=60, username=None, password=None, will=None,
            properties=None, flags=None, name=None, level=None):
    bits = 0x02 if clean else 0
    tail = text(client_id)
    if will:
        bits |= 0x04 | will.qos << 3 | (0x20 if will.retain else 0)
        tail += _props(version, will.properties) + text(will.topic) + binary(will.payload)
    if username is not None:
        bits |= 0x80
        tail += text(username)
    if password is not None:
        bits |= 0x40
        tail += text(password)
    body = text(name or ("MQIsdp" if version == V31 else "MQTT")) + bytes([version if level is None else level])
    body += bytes([bits if flags is None else flags]) + u16(keepalive) + _props(version, properties) + tail
    return frame(CONNECT, 0, body)


def publish(topic, payload=b"", qos=0, pid=None, version=V311, retain=False, dup=False, properties=None):
    body = text(topic) + (u16(pid) if pid is not None else b"") + _props(version, properties)
    payload = payload.encode() if isinstance(payload, str) else payload
    return frame(PUBLISH, (8 if dup else 0) | qos << 1 | (1 if retain else 0), body + payload)


def ack(kind, pid, version=V311, code=0, flags=None):
    """PUBACK, PUBREC, PUBREL, PUBCOMP; a zero code is left out, as 3.4.2.1 allows."""
    body = u16(pid) + (bytes([code]) if version == V5 and code else b"")
    return frame(kind, (2 if kind == PUBREL else 0) if flags is None else flags, body)


def subscribe(pid, *filters, version=V311, properties=None, flags=2):
    """filters: (filter, options byte) pairs."""
    body = u16(pid) + _props(version, properties)
    return frame(SUBSCRIBE, flags, body + b"".join(text(f) + bytes([o]) for f, o in filters))


def unsubscribe(pid, *filters, version=V311, flags=2):
    return frame(UNSUBSCRIBE, flags, u16(pid) + _props(version, None) + b"".join(text(f) for f in filters))


def disconnect(version=V311, code=0, properties=None):
    if version != V5 or (code == 0 and not properties):
        return frame(DISCONNECT, 0, b"")
    return frame(DISCONNECT, 0, bytes([code]) + props(**(properties or {})))


def auth(code=0, **properties):
    """AUTH with a reason code and properties; nothing at all for a bare success."""
    return frame(AUTH, 0, bytes([code]) + props(**properties) if code or properties else b"")


PING = frame(PINGREQ, 0, b"")
PONG = frame(PINGRESP, 0, b"")


# ---- Parsing -------------------------------------------------------------------------------------------------

class Packet:
    """One packet of the broker: kind, flags, and what its kind has: topic, payload, qos, pid, code, codes, props."""

    def __init__(self, kind, flags, raw):
        self.kind, self.flags, self.raw = kind, flags, raw
        self.topic = self.payload = self.pid = self.code = None
        self.qos, self.retain, self.dup = flags >> 1 & 3, bool(flags & 1), bool(flags & 8)
        self.session_present, self.codes, self.props = None, [], {}

    def __repr__(self):
        names = "? CONNECT CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK " \
                "PINGREQ PINGRESP DISCONNECT AUTH"
        shown = {k: v for k, v in vars(self).items() if v not in (None, [], {}) and k not in ("kind", "raw", "flags")}
        return f"{names.split()[self.kind]}{shown}"


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if self.at + n > len(self.data):
            raise ValueError(f"packet ends early: {self.data!r}")
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, n):
        return int.from_bytes(self.take(n), "big")

    def varint(self):
        value = shift = 0
        while True:
            digit = self.number(1)
            value |= (digit & 0x7F) << shift
            shift += 7
            if not digit & 0x80:
                return value

    def text(self):
        return self.take(self.number(2)).decode()

    def rest(self):
        return self.take(len(self.data) - self.at)

    def properties(self):
        end = self.varint() + self.at
        found = {}
        while self.at < end:
            name, kind = PROPERTIES[self.number(1)]
            if kind == "pair":
                found.setdefault(name, []).append((self.text(), self.text()))
                continue
            value = {"byte": lambda: self.number(1), "u16": lambda: self.number(2), "u32": lambda: self.number(4),
                     "varint": self.varint, "text": self.text, "bin": lambda: self.take(self.number(2))}[kind]()
            if name == "subscription_id":
                found.setdefault(name, []).append(value)
            elif name in found:
                raise ValueError(f"property {name} twice")
            else:
                found[name] = value
        if self.at != end:
            raise ValueError("property length does not fit its properties")
        return found


def _code_and_props(p, r, v5):
    if v5 and r.at < len(r.data):
        p.code = r.number(1)
        if r.at < len(r.data):
            p.props = r.properties()
    else:
        p.code = 0


def parse(head, body, version):
    p = Packet(head >> 4, head & 15, bytes([head]) + varint(len(body)) + body)
    r, v5 = Reader(body), version == V5
    if p.kind == CONNACK:
        p.session_present, p.code = bool(r.number(1) & 1), r.number(1)
        p.props = r.properties() if v5 else {}
    elif p.kind == PUBLISH:
        p.topic = r.text()
        p.pid = r.number(2) if p.qos else None
        p.props = r.properties() if v5 else {}
        p.payload = r.rest()
    elif p.kind in (PUBACK, PUBREC, PUBREL, PUBCOMP):
        p.pid = r.number(2)
        _code_and_props(p, r, v5)
    elif p.kind in (SUBACK, UNSUBACK):
        p.pid = r.number(2)
        p.props = r.properties() if v5 else {}
        p.codes = list(r.rest())
    elif p.kind in (DISCONNECT, AUTH):
        _code_and_props(p, r, v5)
    if r.at != len(body):
        raise ValueError(f"bytes left over in {p}: {body!r}")
    return p
