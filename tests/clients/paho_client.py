"""Python's paho-mqtt against the broker: paho_client.py TRANSPORT ADDRESS VERSION CA-FILE. Exits 0 when all holds. Of version 1.6 and 2.x.

Fifty messages of each QoS there and back, one of 300 KB, a retained one, a will."""
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.properties import PacketTypes, Properties

transport, address, version, ca = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
TOPIC = f"paho/{transport}/{version}"


class Client:
    def __init__(self, name, will=None):
        kind = {"ws": "websockets", "wss": "websockets", "unix": "unix"}.get(transport, "tcp")
        options = {"client_id": f"{name}-{transport}-{version}", "protocol": version, "transport": kind}
        if version == 4:
            options["clean_session"] = True
        if hasattr(mqtt, "CallbackAPIVersion"):
            options["callback_api_version"] = mqtt.CallbackAPIVersion.VERSION1
        self.c = mqtt.Client(**options)
        self.seen, self.changed = [], threading.Condition()
        self.c.on_message = lambda c, arg, m: self.tell((m.topic, m.payload, m.qos, m.retain))
        self.c.on_connect = lambda *args: self.tell(("connected", int(getattr(args[3], "value", args[3]))))
        self.c.on_subscribe = lambda *args: self.tell("subscribed")
        if will:
            self.c.will_set(TOPIC, will, qos=1)
        if transport in ("tls", "wss"):
            self.c.tls_set(ca)
        if transport in ("ws", "wss"):
            self.c.ws_set_options(path="/mqtt")
        if transport == "unix":
            self.c.connect(address)
        else:
            self.c.connect("localhost" if transport in ("tls", "wss") else "127.0.0.1", int(address))
        self.c.loop_start()
        self.wait(lambda: ("connected", 0) in self.seen)

    def tell(self, what):
        with self.changed:
            self.seen.append(what)
            self.changed.notify_all()

    def wait(self, condition):
        with self.changed:
            assert self.changed.wait_for(condition, 60), self.seen[-3:]

    def subscribe(self, qos):
        before = self.seen.count("subscribed")
        self.c.subscribe(TOPIC, qos)
        self.wait(lambda: self.seen.count("subscribed") > before)

    def messages(self):
        return [s for s in self.seen if isinstance(s, tuple) and s[0] == TOPIC]

    def publish(self, payload, qos, retain=False):
        self.c.publish(TOPIC, payload, qos, retain).wait_for_publish()

    def end(self):
        self.c.disconnect()
        self.c.loop_stop()


def main():
    s, p = Client("sub"), Client("pub")
    for qos in (0, 1, 2):
        s.seen.clear()
        s.subscribe(qos)
        for i in range(50):
            p.c.publish(TOPIC, b"%d" % i, qos)
        s.wait(lambda: len(s.messages()) == 50)
        assert s.messages() == [(TOPIC, b"%d" % i, qos, 0) for i in range(50)], s.messages()
    s.seen.clear()
    p.publish(b"x" * 300000, 1)
    s.wait(s.messages)
    assert s.messages()[0][1] == b"x" * 300000
    p.publish(b"kept", 1, True)
    late = Client("late")
    late.subscribe(1)
    late.wait(late.messages)
    assert late.messages() == [(TOPIC, b"kept", 1, 1)], late.messages()
    p.publish(b"", 1, True)
    s.seen.clear()
    victim = Client("victim", will=b"gone")
    victim.c.loop_stop()
    if version == 5:
        victim.c.disconnect(reasoncode=mqtt.ReasonCodes(PacketTypes.DISCONNECT, identifier=4), properties=Properties(PacketTypes.DISCONNECT))
        for _ in range(20):
            victim.c.loop(0.01)
    else:
        victim.c._sock_close()
    s.wait(lambda: (TOPIC, b"gone", 1, 0) in s.seen)
    for c in (s, p, late):
        c.end()


main()
