"""SUBSCRIBE, UNSUBSCRIBE, wildcards, shared subscriptions: sections 3.8 to 3.11, 4.7, 4.8."""
import time

from cases import Case, both, v5
from harness import packet as m
from harness.broker import PATIENCE_S

# 4.7: filter, topics it takes, topics it leaves; {t} is the test's own first level.
WILDCARDS = [
    ("{t}/+", ["{t}/a", "{t}/"], ["{t}", "{t}/a/b"]),
    ("{t}/#", ["{t}", "{t}/", "{t}/a", "{t}/a/b/c"], ["{t}x", "{t}x/a"]),
    ("{t}/+/c", ["{t}/a/c", "{t}//c"], ["{t}/c", "{t}/a/b/c", "{t}/a/c/d"]),
    ("{t}/+/#", ["{t}/a", "{t}/a/b", "{t}/"], ["{t}"]),
    ("{t}/+/+/e", ["{t}/a/b/e"], ["{t}/a/e", "{t}/a/b/c/e"]),
    ("+/{t}", ["a/{t}", "/{t}"], ["{t}", "a/b/{t}"]),
    ("/{t}", ["/{t}"], ["{t}", "a/{t}"]),
    ("{t}/a", ["{t}/a"], ["{t}/A", "{t}/a/", "{t}/ab"]),
    ("{t} /a b", ["{t} /a b"], ["{t}/a b"]),
]


class SubscribeCases(Case):
    def test_wildcards__take_and_leave_what_the_standard_says(self):
        p = self.client()
        for number, (pattern, takes, leaves) in enumerate(WILDCARDS):
            own = f"{self.t}n{number}"
            with self.subTest(filter=pattern):
                s = self.subscriber(pattern.format(t=own))
                for topic in leaves:
                    p.publish(topic.format(t=own), b"no", qos=1)
                for topic in takes:
                    p.publish(topic.format(t=own), b"yes", qos=1)
                for topic in takes:
                    s.receive(topic.format(t=own), b"yes")
                s.expect_silence(0.02)

    def test_dollar_topics__are_not_taken_by_wildcards_at_the_first_level(self):
        s = self.subscriber("#", "+/" + self.t)  # [MQTT-4.7.2-1]
        p = self.client()
        p.publish("$own/" + self.t, b"hidden", qos=1)
        p.publish(self.t, b"seen", qos=1)
        while True:
            got = s.expect(m.PUBLISH)
            self.assertFalse(got.topic.startswith("$"))
            if got.topic == self.t:
                break

    def test_dollar_topics__are_taken_by_their_name(self):
        s = self.subscriber("$own/#")
        self.client().publish("$own/" + self.t, b"x", qos=1)
        s.receive("$own/" + self.t, b"x")

    def test_suback__is_byte_exact(self):
        c = self.client()
        c.send(m.subscribe(0x1234, (self.t + "/a", 0), (self.t + "/b", 1), (self.t + "/c", 2), version=self.version))
        middle = b"\x00" if self.version == m.V5 else b""
        c.expect_bytes(b"\x90" + bytes([5 + len(middle)]) + b"\x12\x34" + middle + b"\x00\x01\x02")

    def test_subscribe__again_replaces_the_qos_and_does_not_double(self):
        s = self.subscriber(qos=0)  # [MQTT-3.8.4-3]
        s.subscribe(self.t, qos=1)
        self.client().publish(self.t, b"x", qos=1)
        s.receive(self.t, b"x", qos=1)
        s.expect_silence()

    def test_subscribe__overlapping_filters_deliver_with_the_highest_qos(self):
        s = self.client()
        s.subscribe(self.t + "/#", qos=0)
        s.subscribe(self.t + "/+", qos=2)
        self.client().publish(self.t + "/a", b"x", qos=2)
        got = [s.expect(m.PUBLISH)]
        try:  # one copy with the highest QoS, or one per subscription (3.3.4)
            got.append(s.recv(0.3))
        except TimeoutError:
            pass
        self.assertEqual(max(p.qos for p in got), 2)

    def test_unsubscribe__ends_the_delivery(self):
        s = self.subscriber()
        s.send(m.unsubscribe(77, self.t, version=self.version))
        s.expect(m.UNSUBACK, pid=77, codes=[0] if self.version == m.V5 else [])
        self.client().publish(self.t, b"x", qos=1)
        s.expect_silence()

    def test_unsubscribe__of_a_filter_never_subscribed_is_answered(self):
        c = self.client()
        c.send(m.unsubscribe(78, self.t, version=self.version))
        c.expect(m.UNSUBACK, pid=78, codes=[0x11] if self.version == m.V5 else [])

    def test_unsubscribe__leaves_the_other_filters(self):
        s = self.subscriber(self.t + "/a", self.t + "/+", self.t + "/#")
        s.send(m.unsubscribe(79, self.t + "/+", self.t + "/#", version=self.version))
        s.expect(m.UNSUBACK, pid=79)
        p = self.client()
        p.publish(self.t + "/b", b"no", qos=1)
        p.publish(self.t + "/a", b"yes", qos=1)
        s.receive(self.t + "/a", b"yes")
        s.expect_silence()

    def test_subscribe__a_thousand_filters_in_one_packet(self):
        c = self.client()
        c.send(m.subscribe(1, *[(f"{self.t}/{i}", 0) for i in range(1000)], version=self.version))
        c.expect(m.SUBACK, pid=1, codes=[0] * 1000)
        self.client().publish(self.t + "/777", b"x")
        c.receive(self.t + "/777", b"x")

    def test_publish__reaches_many_subscribers(self):
        all_of_them = [self.subscriber(qos=1) for _ in range(20)]
        self.client().publish(self.t, b"x", qos=1)
        for s in all_of_them:
            s.receive(self.t, b"x", qos=1)

    def refusal(self, data, *codes):
        c = self.client()
        c.send(data)
        c.expect_refusal(*codes)

    def test_subscribe__without_filters_ends_the_connection(self):
        self.refusal(m.subscribe(1, version=self.version), 0x81, 0x82)  # [MQTT-3.8.3-2]

    def test_unsubscribe__without_filters_ends_the_connection(self):
        self.refusal(m.unsubscribe(1, version=self.version), 0x81, 0x82)

    def test_subscribe__with_wrong_flags_ends_the_connection(self):
        self.refusal(m.subscribe(1, (self.t, 0), version=self.version, flags=0), 0x81)  # [MQTT-3.8.1-1]

    def test_unsubscribe__with_wrong_flags_ends_the_connection(self):
        self.refusal(m.unsubscribe(1, self.t, version=self.version, flags=0), 0x81)

    def test_subscribe__with_qos_3_ends_the_connection(self):
        self.refusal(m.subscribe(1, (self.t, 3), version=self.version), 0x81, 0x82)

    def test_subscribe__with_packet_id_zero_ends_the_connection(self):
        self.refusal(m.subscribe(0, (self.t, 0), version=self.version), 0x81, 0x82)

    def test_subscribe__invalid_filters_are_refused(self):
        for bad in ("a/#/b", "a#", "a/+b", "+a", "##", ""):
            with self.subTest(filter=bad):
                c = self.client()
                c.send(m.subscribe(1, (bad, 0), version=self.version))
                try:
                    answer = c.recv()
                except Exception as e:  # pylint: disable=broad-except
                    self.assertEqual((type(e).__name__, self.version), ("Closed", m.V311))
                    continue
                if answer.kind == m.SUBACK:
                    self.assertEqual(answer.codes, [0x8F if self.version == m.V5 else 0x80])
                else:
                    self.assertEqual(answer.kind, m.DISCONNECT)
                    self.assertIn(answer.code, (0x81, 0x8F))


SubscribeV311, SubscribeV5 = both(SubscribeCases)


class SharedCases(Case):
    """$share groups, which we also give to 3.1.1 clients: 4.8.2."""

    def group(self, count, name="g", qos=1):
        return [self.subscriber(f"$share/{name}/{self.t}/#", qos=qos) for _ in range(count)]

    def drain(self, clients, total):
        """What each of them gets until all together have `total`; every packet is acknowledged. Nothing more comes."""
        got = [[] for _ in clients]
        deadline = time.monotonic() + PATIENCE_S
        while sum(map(len, got)) < total and time.monotonic() < deadline:
            self.take(clients, got)
        time.sleep(0.05)
        self.take(clients, got)
        self.assertEqual(sum(map(len, got)), total)
        return got

    def take(self, clients, got):
        for c, mine in zip(clients, got):
            c.send(m.PING)
            while (p := c.recv()).kind != m.PINGRESP:
                mine.append(p.payload)
                if p.qos == 1:
                    c.send(m.ack(m.PUBACK, p.pid, self.version))

    def test_shared__each_message_goes_to_one_of_the_group(self):
        members = self.group(3)
        p = self.client()
        for i in range(30):
            p.publish(f"{self.t}/x", str(i), qos=1)
        got = self.drain(members, 30)
        self.assertEqual(sorted(sum(got, []), key=int), [str(i).encode() for i in range(30)])
        self.assertTrue(all(got), f"one of the group got nothing: {[len(g) for g in got]}")

    def test_shared__two_groups_get_a_copy_each(self):
        one, two = self.group(2, "one"), self.group(2, "two")
        self.client().publish(f"{self.t}/x", b"x", qos=1)
        self.assertEqual(sum(self.drain(one, 1), []), [b"x"])
        self.assertEqual(sum(self.drain(two, 1), []), [b"x"])

    def test_shared__ordinary_subscriber_gets_its_own_copy(self):
        members = self.group(2)
        plain = self.subscriber(f"{self.t}/x", qos=1)
        self.client().publish(f"{self.t}/x", b"x", qos=1)
        plain.receive(f"{self.t}/x", b"x", qos=1)
        self.assertEqual(sum(self.drain(members, 1), []), [b"x"])

    def test_shared__member_that_leaves_gets_nothing_more(self):
        stays, leaves = self.group(2)
        leaves.disconnect()
        p = self.client()
        for i in range(6):
            p.publish(f"{self.t}/x", str(i), qos=1)
        self.drain([stays], 6)

    def test_shared__unsubscribe_leaves_the_group(self):
        stays, leaves = self.group(2)
        leaves.send(m.unsubscribe(5, f"$share/g/{self.t}/#", version=self.version))
        leaves.expect(m.UNSUBACK, pid=5)
        p = self.client()
        for i in range(6):
            p.publish(f"{self.t}/x", str(i), qos=1)
        self.drain([stays], 6)

    def test_shared__qos0_messages_are_shared_too(self):
        members = self.group(2, qos=0)
        p = self.client()
        for i in range(10):
            p.publish(f"{self.t}/x", str(i))
        p.send(m.PING)
        p.expect(m.PINGRESP)
        self.drain(members, 10)

    def test_shared__gets_no_retained_messages_at_subscribe(self):
        self.client().publish(f"{self.t}/x", b"kept", qos=1, retain=True)  # 4.8.2
        self.group(1)[0].expect_silence()

    def test_shared__names_without_group_or_filter_are_refused(self):
        for bad in ("$share/g", "$share//a", "$share/g/", "$share/g+/a", "$share/#/a"):
            with self.subTest(filter=bad):
                c = self.client()
                c.send(m.subscribe(1, (bad, 0), version=self.version))
                try:
                    answer = c.recv()
                except Exception as e:  # pylint: disable=broad-except
                    self.assertEqual((type(e).__name__, self.version), ("Closed", m.V311))
                    continue
                if answer.kind == m.SUBACK:
                    self.assertGreaterEqual(answer.codes[0], 0x80)
                else:
                    self.assertEqual(answer.kind, m.DISCONNECT)


SharedV311, SharedV5 = both(SharedCases)


class OptionCases(Case):
    """Subscription options and identifiers: 3.8.2, 3.8.3."""

    NO_LOCAL, AS_PUBLISHED, ONLY_NEW, NEVER = 4, 8, 0x10, 0x20

    def with_options(self, options, qos=0):
        c = self.client()
        c.subscribe(self.t, qos=qos, options=options)
        return c

    def test_no_local__own_messages_do_not_come_back(self):
        c = self.with_options(self.NO_LOCAL)
        c.publish(self.t, b"own", qos=1)
        c.expect_silence()
        self.client().publish(self.t, b"other", qos=1)
        c.receive(self.t, b"other")

    def test_no_local__on_a_shared_subscription_is_a_protocol_error(self):
        c = self.client()  # [MQTT-3.8.3-4]
        c.send(m.subscribe(1, (f"$share/g/{self.t}", self.NO_LOCAL), version=m.V5))
        c.expect_refusal(0x82)

    def test_retain_as_published__keeps_the_flag(self):
        keeps, clears = self.with_options(self.AS_PUBLISHED), self.with_options(0)
        self.client().publish(self.t, b"x", qos=1, retain=True)
        keeps.receive(self.t, b"x", retain=True)
        clears.receive(self.t, b"x", retain=False)

    def test_retain_handling__1_sends_only_to_a_new_subscription(self):
        self.client().publish(self.t, b"kept", qos=1, retain=True)
        c = self.with_options(self.ONLY_NEW)
        c.receive(self.t, b"kept", retain=True)
        c.subscribe(self.t, options=self.ONLY_NEW)
        c.expect_silence()

    def test_retain_handling__2_sends_nothing(self):
        self.client().publish(self.t, b"kept", qos=1, retain=True)
        self.with_options(self.NEVER).expect_silence()

    def test_retain_handling__3_is_a_protocol_error(self):
        c = self.client()
        c.send(m.subscribe(1, (self.t, 0x30), version=m.V5))
        c.expect_refusal(0x81, 0x82)

    def test_options__reserved_bits_are_malformed(self):
        c = self.client()  # [MQTT-3.8.3-5]
        c.send(m.subscribe(1, (self.t, 0x40), version=m.V5))
        c.expect_refusal(0x81, 0x82)

    def test_subscription_id__comes_with_the_message(self):
        c = self.client()
        c.subscribe(self.t, properties={"subscription_id": 268435455})
        self.client().publish(self.t, b"x")
        self.assertEqual(c.receive(self.t, b"x").props, {"subscription_id": [268435455]})

    def test_subscription_id__all_ids_of_overlapping_subscriptions_come(self):
        c = self.client()
        c.subscribe(self.t + "/#", properties={"subscription_id": 1})
        c.subscribe(self.t + "/+", properties={"subscription_id": 2})
        c.subscribe(self.t + "/a")
        self.client().publish(self.t + "/a", b"x")
        ids = []
        while len(ids) < 2:  # in one packet or in one per subscription (3.3.4)
            ids += c.expect(m.PUBLISH).props.get("subscription_id", [])
        self.assertEqual(sorted(ids), [1, 2])

    def test_subscription_id__comes_with_a_retained_message(self):
        self.client().publish(self.t, b"kept", qos=1, retain=True)
        c = self.client()
        c.subscribe(self.t, properties={"subscription_id": 7})
        self.assertEqual(c.receive(self.t, b"kept").props, {"subscription_id": [7]})

    def test_subscription_id__goes_away_when_subscribed_again_without(self):
        c = self.client()
        c.subscribe(self.t, properties={"subscription_id": 7})
        c.subscribe(self.t)
        self.client().publish(self.t, b"x")
        self.assertEqual(c.receive(self.t, b"x").props, {})

    def test_subscription_id__of_zero_is_a_protocol_error(self):
        c = self.client()
        c.send(m.subscribe(1, (self.t, 0), version=m.V5, properties={"subscription_id": 0}))
        c.expect_refusal(0x82)

    def test_subscription_id__of_a_shared_subscription_comes_with_the_message(self):
        c = self.client()
        c.subscribe(f"$share/g/{self.t}", properties={"subscription_id": 9})
        self.client().publish(self.t, b"x")
        self.assertEqual(c.receive(self.t, b"x").props, {"subscription_id": [9]})


OptionV5 = v5(OptionCases)
