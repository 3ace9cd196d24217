"""MQTT brokers of others: Debian's mosquitto, and RabbitMQ with its MQTT plugin."""
import os

from ..broker import free_port
from .base import Server, TestCa, run


class Mosquitto(Server):
    """mosquitto with a plain and a TLS listener; `settings` are lines for its configuration."""
    name = "mosquitto"

    def __init__(self, settings=(), folder=None):
        super().__init__(folder)
        self.port, self.tls_port = free_port(), free_port()
        self.settings = list(settings)

    def prepare(self):
        tls = TestCa.shared().folder
        lines = [*(["user root"] if os.getuid() == 0 else []), "persistence true", f"persistence_location {self.folder}/",
                 "max_queued_messages 0", "max_inflight_messages 0", *self.settings,
                 f"listener {self.port} 127.0.0.1", "allow_anonymous true",
                 f"listener {self.tls_port} 127.0.0.1", "allow_anonymous true",
                 f"certfile {tls}/server.pem", f"keyfile {tls}/server.key"]
        (self.folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    def command(self):
        return ["mosquitto", "-c", str(self.folder / "mosquitto.conf")]

    def url(self):
        return f"mqtt://127.0.0.1:{self.port}"


class RabbitMq(Server):
    """RabbitMQ with rabbitmq_mqtt: MQTT 3.1.1 only, no QoS 2."""
    name = "rabbitmq"

    def __init__(self, folder=None):
        super().__init__(folder)
        self.port, self.amqp_port, self.dist_port, self.epmd_port = (free_port() for _ in range(4))

    def prepare(self):
        (self.folder / "enabled_plugins").write_text("[rabbitmq_mqtt].\n")
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.amqp_port}\nmqtt.listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "mqtt.allow_anonymous = true\nmqtt.prefetch = 1000\nlog.console = true\nlog.file = false\n")

    def environment(self):
        return {"HOME": str(self.folder), "RABBITMQ_NODENAME": "sluice@localhost", "RABBITMQ_DIST_PORT": str(self.dist_port),
                "ERL_EPMD_PORT": str(self.epmd_port), "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
                "RABBITMQ_LOG_BASE": str(self.folder), "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
                "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins")}

    def command(self):
        return ["env", *(f"{k}={v}" for k, v in self.environment().items()), "/usr/lib/rabbitmq/bin/rabbitmq-server"]

    def stop(self, *args, **kwargs):
        super().stop(*args, **kwargs)
        # Erlang's port mapper outlives its nodes.
        run("env", f"ERL_EPMD_PORT={self.epmd_port}", "epmd", "-kill", check=False)

    def url(self):
        return f"mqtt://127.0.0.1:{self.port}"
