"""Nonsense of the right length, from a broker in the middle of good answers. librdkafka 2.0 died of it, and the whole program
with it; now the answer is refused, the connection is made anew, and nothing is lost."""
import json
import random
import socket
import struct
import time
import unittest

import kafka_source_test
import kafka_test
from harness.broker import Broker, wait_until
from harness.kafka_proxy import (FETCH, FIND_COORDINATOR, JOIN_GROUP, METADATA, PRODUCE, SYNC_GROUP, KafkaProxy, Metadata,
                                 array, spoil_fetch, spoil_metadata)
from harness.proxy import Proxy

HURRIED = {"reconnect.backoff.ms": "1", "reconnect.backoff.max.ms": "20", "retry.backoff.ms": "1"}


def first(change):
    def on_metadata(metadata):
        change(metadata.topics[0])
    return on_metadata


def named(name):
    return first(lambda topic: setattr(topic, "name", name))


def counted(count):
    return first(lambda topic: setattr(topic, "count", count))


def with_topics(m, count):
    return m.start + array(m.brokers) + m.middle + array([t.bytes() for t in m.topics], count) + m.end


def numbered(*numbers):
    """The first topic's partitions, with these numbers instead of their own."""
    def change(topic):
        topic.partitions = [p[:2] + struct.pack(">i", n) + p[6:] for p, n in zip(topic.partitions, numbers)]
    return first(change)


# What must be said of it -> what is done to the list of topics.
METADATA_NONSENSE = (
    ("missing, or of negative length", named(struct.pack(">h", -1))),
    ("missing, or of negative length", named(struct.pack(">h", -300))),
    ("1 to 249 characters", named(struct.pack(">h", 0))),
    ("1 to 249 characters", named(struct.pack(">h", 250) + b"x" * 250)),
    ("holds a NUL", named(struct.pack(">h", 2) + b"a\0")),
    ("longer than all that follows", named(struct.pack(">h", 32767))),
    ("longer than all that follows", counted(1 << 30)),
    ("missing, or of negative length", counted(-1)),
    ("missing, or of negative length", counted(-(1 << 31))),
    ("comes twice", lambda m: m.topics.append(m.topics[0])),
    ("comes twice", lambda m: m.topics.extend(m.topics * 500)),
    ("comes twice", numbered(0, 1, 1, 2)),
    ("not numbered from 0 on", numbered(1, 2, 3, 4)),
    ("not numbered from 0 on", numbered(0, 1, 2, -1)),
    ("not numbered from 0 on", numbered(0, 1, 2, 99999)),
    ("not numbered from 0 on", first(lambda topic: topic.partitions.pop(0))),
    ("missing, or of negative length", lambda m: with_topics(m, -1)),
    ("missing, or of negative length", lambda m: with_topics(m, -5)),
    ("missing, or of negative length", lambda m: m.start + array(m.brokers, -3) + m.body[len(m.start) + 4:]),
    ("missing, or of negative length", lambda m: m.start + array([struct.pack(">ihi", 1, -1, 9092) + b"\xff\xff"]) + m.middle + m.end),
)


def flips(seed):
    """Some bytes of an answer become others; the generator decides which answers. Addresses stay: one that is wrong and looks
    right is believed, by every client."""
    rng = random.Random(seed)

    def spoil(api, version, body):
        if rng.random() < 0.5 or not body or api == FIND_COORDINATOR:
            return body
        first_byte = len(Metadata(version, body).addresses()) if api == METADATA else 0
        body = bytearray(body)
        for _ in range(rng.randrange(1, 4)):
            at, n = rng.randrange(first_byte, len(body)), rng.choice((1, 1, 2, 4, 8))
            body[at:at + n] = rng.choice((b"\xff" * n, b"\0" * n, b"\x7f" * n, rng.randbytes(n)))[:len(body) - at]
        return bytes(body)
    return spoil


class Nonsense:
    """For the producer and for the source alike."""

    def alive(self, b):
        code = b.process.poll()
        self.assertIsNone(code, f"the broker has ended with {code}: {b.log()[-6000:]}")

    def some_spoiled(self, b, proxy):
        """Until three answers were, but not for long: an address that is wrong and looks right keeps the client away."""
        until = time.monotonic() + 2
        while proxy.spoiled < 3 and time.monotonic() < until:
            time.sleep(0.01)
        self.alive(b)

    def refusals(self, b, part):
        self.alive(b)
        return sum("kafka answer refused" in line and part in line for line in b.log().splitlines())

    def each_is_refused(self, b, proxy, go_on):
        """go_on() makes work, so that somebody waits for the brokers."""
        for part, change in METADATA_NONSENSE:
            with self.subTest(nonsense=part):
                before, proxy.spoiled, proxy.spoil = self.refusals(b, part), 0, spoil_metadata(change)
                proxy.end_connections()
                go_on()
                wait_until(lambda: proxy.spoiled > 0, 60, "no topics were asked for")
                wait_until(lambda: self.refusals(b, part) > before, 60, lambda: f"not refused: {part}\n{b.log()[-3000:]}")
                proxy.spoil = None
                proxy.end_connections()
        self.assertIn(f"answered Metadata v{proxy.versions[METADATA]} with nonsense at byte", b.log())


class Producer(Nonsense, kafka_test.KafkaTest):
    def serve(self, proxy):
        self.kafka.fresh_topic(self.topic, 4)
        return self.broker({"timeout": "2s", "key": "k"}, brokers=f"127.0.0.1:{proxy.port}", connect_timeout="5s",
                           properties={**HURRIED, "topic.metadata.refresh.interval.ms": "100"})

    def arrived(self):
        return list(dict.fromkeys(json.loads(json.loads(r.value)["payload"]) for r in self.kafka.records(self.topic)))

    def test_nonsense__in_the_list_of_topics(self):
        published = []
        with KafkaProxy(self.kafka.behind_proxy_port, self.kafka.proxied_port) as proxy, self.serve(proxy) as b:
            def go_on():
                published.append(len(published))
                self.publish(b, published[-1])
            self.each_is_refused(b, proxy, go_on)
            n = b.wait_settled("r", timeout=120)
            self.assertEqual((n["rejected"], n["queued"]), (0, 0))
        self.assertEqual(self.arrived(), published)

    def test_nonsense__is_the_reason_why_a_connection_is_down(self):
        with KafkaProxy(self.kafka.behind_proxy_port, self.kafka.proxied_port) as proxy:
            proxy.spoil = lambda api, version, body: struct.pack(">ii", 0, -9) + body[8:] if api == METADATA else body
            with self.serve(proxy) as b:
                self.publish(b, 1)
                reason = self.wait_state(b, "down", 60)
                self.assertRegex(reason, r"127\.0\.0\.1:\d+\S* answered Metadata v\d+ with nonsense at byte 4: ")
                proxy.spoil = None
                self.wait_state(b, "up", 60)
                b.wait_settled("r", timeout=60)
        self.assertEqual(self.arrived(), [1])

    def test_nonsense__confirmations_of_nothing(self):
        """A Produce answer without a topic: well made, and says nothing of the rows that it answers."""
        with KafkaProxy(self.kafka.behind_proxy_port, self.kafka.proxied_port) as proxy, self.serve(proxy) as b:
            self.publish(b, 0)
            b.wait_settled("r")
            proxy.spoil = lambda api, version, body: bytes(8) if api == PRODUCE else body
            self.publish(b, 1, 2, 3)
            wait_until(lambda: proxy.spoiled > 0, 60, "nothing was produced")
            proxy.spoil = None
            self.publish(b, 4)
            n = b.wait_settled("r", timeout=120)
            self.assertEqual((n["rejected"], n["delivered"]), (0, 5), b.log()[-3000:])
        self.assertEqual(self.arrived(), [0, 1, 2, 3, 4])

    def test_metadata__that_takes_longer_than_most_tells_what_is_missing(self):
        """Of brokers with very many topics: longer than the first question waits for it."""
        self.kafka.fresh_topic(self.topic, 4)
        self.kafka.delete_topic(self.topic + ".no")
        with KafkaProxy(self.kafka.behind_proxy_port, self.kafka.proxied_port) as proxy:
            with self.broker({"topic": "${d}", "topic_timeout": "2s"}, sql='SELECT payload.d AS d FROM "in/#"', brokers=f"127.0.0.1:{proxy.port}") as b:
                self.publish(b, {"d": self.topic})
                b.wait_settled("r")
                proxy.late = 1.5
                self.publish(b, {"d": self.topic + ".no"}, {"d": self.topic})
                n = b.wait_settled("r", timeout=150)
                self.assertEqual((n["delivered"], n["rejected"]), (2, 1))

    def test_nonsense__in_any_answer(self):
        """Some of it looks like sense, so rows may come to nobody knows where; but the program lives and goes on."""
        with KafkaProxy(self.kafka.behind_proxy_port, self.kafka.proxied_port) as proxy, self.serve(proxy) as b:
            for seed in range(30):
                proxy.spoiled, proxy.spoil = 0, flips(seed)
                proxy.end_connections()
                self.publish(b, seed)
                self.some_spoiled(b, proxy)
            proxy.spoil = None
            proxy.end_connections()
            self.publish(b, "last")
            b.wait_settled("r", timeout=120)
            self.alive(b)
        self.assertIn("last", self.arrived())


class Source(Nonsense, kafka_source_test.SourceTest):
    def serve(self, proxy):
        self.kafka.fresh_topic(self.name, 4)
        return Broker(self.config(connector={"brokers": f"127.0.0.1:{proxy.port}", "connect_timeout": "5s",
                                             "properties": {**HURRIED, "topic.metadata.refresh.interval.ms": "100"}}))

    def go_on(self):
        self.produced.append(len(self.produced))
        self.produce(self.produced[-1], partition=self.produced[-1] % 4)

    def setUp(self):
        super().setUp()
        self.produced = []

    def what_is_missing(self, b):
        rule = b.rule("r")
        return (f"missing: {sorted(set(self.produced) - set(self.numbers()))}, group at {self.kafka.committed(self.name, self.name)}, "
                f"rule: {rule['matched']} matched, {rule.get('failures')}, {self.source(b)}\n{b.log()[-6000:]}")

    def test_nonsense__in_the_list_of_topics(self):
        with KafkaProxy(self.kafka.behind_proxy_port, self.kafka.proxied_port) as proxy, self.serve(proxy) as b:
            self.go_on()
            self.wait_source(b, 60, state="up")
            self.each_is_refused(b, proxy, self.go_on)
            self.wait_numbers(len(self.produced), 120)
        self.assertEqual(sorted(set(self.numbers())), self.produced)

    def test_nonsense__an_address_where_nobody_is(self):
        """It is believed, for it looks like any other; the addresses of the configuration are asked again."""
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))

            def elsewhere(metadata):
                metadata.brokers = [broker.replace(struct.pack(">i", self.kafka.proxied_port), struct.pack(">i", nobody.getsockname()[1]))
                                    for broker in metadata.brokers]
            with KafkaProxy(self.kafka.behind_proxy_port, self.kafka.proxied_port) as proxy:
                proxy.spoil = spoil_metadata(elsewhere)
                with self.serve(proxy) as b:
                    self.go_on()
                    # It is down, unless the coordinator's answer, which tells the true address of the same broker, came later.
                    wait_until(lambda: proxy.spoiled >= 3, 60, "no topics were asked for")
                    proxy.spoil = None
                    self.wait_numbers(1, 120)

    def test_nonsense__a_message_that_was_changed_on_its_way_is_not_taken(self):
        def spoil(api, version, body):
            return body.replace(b'{"n": 0}', b'{"n": 7}') if api == FETCH else body
        with KafkaProxy(self.kafka.behind_proxy_port, self.kafka.proxied_port) as proxy, self.serve(proxy) as b:
            proxy.spoil = spoil
            self.wait_source(b, 60, state="up")
            self.go_on()
            wait_until(lambda: proxy.spoiled > 0, 60, "nothing was fetched")
            proxy.spoil = None
            self.wait_numbers(1, 120)
        self.assertEqual(set(self.numbers()), {0})

    def damaged(self, change, said, times=3):
        """change(records) of partition 0 so many times; then honest answers, and all of it arrives."""
        done = []

        def spoil(fetch):
            for p in fetch.partitions:
                if p.number == 0 and p.records and len(done) < times:
                    done.append(p.records)
                    p.records = change(p)
        with KafkaProxy(self.kafka.behind_proxy_port, self.kafka.proxied_port) as proxy:
            with self.serve(proxy) as b:
                self.wait_source(b, 60, state="up", parts=4)
                proxy.spoil = spoil_fetch(spoil)
                for n in range(12):
                    self.produced.append(n)
                for p in range(4):
                    self.produce(*range(p * 3, p * 3 + 3), partition=p)
                wait_until(lambda: len(done) == times, 60, lambda: f"fetched {len(done)} times\n{b.log()[-3000:]}")
                wait_until(lambda: set(self.numbers()) >= set(self.produced), 120, lambda: self.what_is_missing(b))
                self.assertIn(said, b.log())
        self.assertEqual(sorted(set(self.numbers())), self.produced)

    def test_nonsense__a_batch_of_a_version_that_nobody_knows(self):
        self.damaged(lambda p: p.records[:16] + b"\x09" + p.records[17:], "a batch has a version that nobody knows")

    def test_nonsense__a_checksum_that_is_wrong(self):
        self.damaged(lambda p: p.records[:-1] + bytes([p.records[-1] ^ 1]), "a checksum is wrong")

    def test_nonsense__a_partition_that_was_not_asked_for(self):
        """After an error librdkafka leaves a partition out for half a second."""
        named = []

        def spoil(fetch):
            for p in fetch.partitions:
                if p.number == 0:
                    p.error = 2
                    return
            if fetch.partitions:
                named.append(fetch.partitions[0].number)
                fetch.partitions[0].number = 0
        with KafkaProxy(self.kafka.behind_proxy_port, self.kafka.proxied_port) as proxy, self.serve(proxy) as b:
            self.go_on()
            self.wait_source(b, 60, state="up", parts=4)
            proxy.spoil = spoil_fetch(spoil)
            wait_until(lambda: len(named) >= 3 or self.alive(b), 60, "no partition was left out")
            self.alive(b)
            proxy.spoil = None
            self.go_on()
            self.wait_numbers(2, 120)
            self.assertIn("it has a partition that was not asked for", b.log())

    def test_nonsense__a_share_of_the_group_that_is_none(self):
        """The name of its topic is another one, once: in what the leader is told of its members, and in what a member is told of its
        partitions. Both look right."""
        for api in (JOIN_GROUP, SYNC_GROUP):
            with self.subTest(api=api), KafkaProxy(self.kafka.behind_proxy_port, self.kafka.proxied_port) as proxy:
                name = self.name.encode()

                def spoil(asked, version, body, proxy=proxy, api=api, name=name):
                    return body.replace(name, name[:-1] + b"?") if asked == api and not proxy.spoiled else body
                proxy.spoil = spoil
                with self.serve(proxy) as b:
                    self.go_on()
                    wait_until(lambda: set(self.numbers()) >= set(self.produced), 120, lambda: self.what_is_missing(b))
                    self.assertEqual(proxy.spoiled, 1)
                    self.assertIn("a source does not read what it should", b.log())

    def test_nonsense__an_error_of_records_where_there_are_none(self):
        """CORRUPT_MESSAGE, of the group instead of a partition."""
        for api in (FIND_COORDINATOR, JOIN_GROUP):
            with self.subTest(api=api), KafkaProxy(self.kafka.behind_proxy_port, self.kafka.proxied_port) as proxy:
                proxy.spoil = lambda asked, version, body, api=api: body[:4] + b"\0\2" + body[6:] if asked == api else body
                with self.serve(proxy) as b:
                    wait_until(lambda: proxy.spoiled >= 3 or self.alive(b), 60, "it was not asked for")
                    self.go_on()
                    proxy.spoil = None
                    wait_until(lambda: set(self.numbers()) >= set(self.produced), 120, lambda: self.what_is_missing(b))
                    self.alive(b)

    def test_nonsense__a_partition_that_is_never_answered(self):
        """Other answers come, so librdkafka sees nothing wrong."""
        with KafkaProxy(self.kafka.behind_proxy_port, self.kafka.proxied_port) as proxy, self.serve(proxy) as b:
            proxy.spoil = spoil_fetch(lambda fetch: "begins anew" in b.log() or fetch.leave_out(0))
            self.go_on()
            wait_until(lambda: set(self.numbers()) >= set(self.produced), 180, lambda: self.what_is_missing(b))
            self.assertIn("[0] has messages, and nothing comes of it", b.log())

    def test_nonsense__from_any_byte_on(self):
        with Proxy(self.kafka.behind_proxy_port, self.kafka.proxied_port) as proxy, self.serve(proxy) as b:
            self.go_on()
            self.wait_source(b, 60, state="up")
            for after in range(0, 5000, 311):
                for data in (b"\xff" * 64, b"\0" * 64, bytes(range(256))):
                    broken = proxy.broken
                    proxy.fault("garbage", after=after, data=data)
                    proxy.end_connections()
                    wait_until(lambda: proxy.broken > broken or self.alive(b), 60, "it does not come back")  # pylint: disable=cell-var-from-loop
                    self.alive(b)
                self.go_on()
            proxy.fault("forward")
            proxy.end_connections()
            wait_until(lambda: set(self.numbers()) >= set(self.produced), 120, lambda: self.what_is_missing(b))
        self.assertEqual(sorted(set(self.numbers())), self.produced)

    def test_nonsense__in_any_answer(self):
        with KafkaProxy(self.kafka.behind_proxy_port, self.kafka.proxied_port) as proxy, self.serve(proxy) as b:
            for seed in range(30):
                proxy.spoiled, proxy.spoil = 0, flips(1000 + seed)
                proxy.end_connections()
                self.go_on()
                self.some_spoiled(b, proxy)
            proxy.spoil = None
            proxy.end_connections()
            self.alive(b)
            self.wait_source(b, 300, state="up")  # it begins anew for what it finds wrong once a minute at most


if __name__ == "__main__":
    unittest.main()
