"""A broker that listens on every transport, for clients of others: Everywhere().urls["wss"]."""
from harness.broker import Broker, free_port, temp_folder, wait_until
from harness.client import dial
from harness.pki import Pki


class Everywhere:
    def __init__(self, **config):
        self.folder = temp_folder()
        self.pki = Pki(self.folder)
        self.broker = Broker(config, start=False)
        ports = {kind: free_port() for kind in ("tls", "ws", "wss")}
        self.socket = str(self.folder / "mqtt.sock")
        tls = {"cert": self.pki.path("server.pem"), "key": self.pki.path("server.key")}
        listeners = [{"name": kind, "type": kind, "bind": f"127.0.0.1:{port}", **({"tls": tls} if kind in ("tls", "wss") else {})}
                     for kind, port in ports.items()]
        listeners.append({"name": "unix", "type": "unix", "bind": self.socket})
        self.broker.write_config({"listeners": self.broker.config["listeners"] + listeners})
        self.broker.start()
        wait_until(lambda: dial(self.socket, "unix").close() is None)
        self.ports = {"tcp": self.broker.port, **ports}
        self.urls = {"tcp": f"mqtt://127.0.0.1:{self.broker.port}", "tls": f"mqtts://localhost:{ports['tls']}",
                     "ws": f"ws://127.0.0.1:{ports['ws']}/mqtt", "wss": f"wss://localhost:{ports['wss']}/mqtt",
                     "unix": f"unix:{self.socket}"}

    def stop(self):
        self.broker.stop()
