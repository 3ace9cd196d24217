"""Retained messages, wills, sessions that outlive connections: 3.1.2.4 to 3.1.2.5, 3.3.1.3, 4.1, 4.4."""
import time

from cases import Case, both, ours_only, v5
from harness import packet as m


class RetainedCases(Case):
    def keep(self, payload, topic=None, qos=1):
        self.client().publish(topic or self.t, payload, qos=qos, retain=True)

    def test_retained__comes_at_subscribe_with_the_flag(self):
        self.keep(b"x")
        self.subscriber(qos=1).receive(self.t, b"x", qos=1, retain=True)

    def test_retained__live_delivery_has_no_flag(self):
        s = self.subscriber()
        self.keep(b"x")
        s.receive(self.t, b"x", retain=False)

    def test_retained__last_one_wins(self):
        self.keep(b"1")
        self.keep(b"2")
        s = self.subscriber()
        s.receive(self.t, b"2")
        s.expect_silence()

    def test_retained__empty_payload_removes_it(self):
        self.keep(b"x")
        self.keep(b"")
        self.subscriber().expect_silence()

    def test_retained__empty_payload_still_reaches_subscribers(self):
        self.keep(b"x")
        s = self.subscriber()
        s.receive(self.t, b"x")
        self.keep(b"")
        s.receive(self.t, b"", retain=False)

    def test_retained__message_without_flag_leaves_it(self):
        self.keep(b"kept")
        self.client().publish(self.t, b"passing", qos=1)
        self.subscriber().receive(self.t, b"kept")

    def test_retained__qos0_and_qos2_are_kept(self):
        for qos in (0, 2):
            with self.subTest(qos=qos):
                topic = f"{self.t}/{qos}"
                p = self.client()
                p.publish(topic, b"x", qos=qos, retain=True)
                p.disconnect()
                s = self.client()
                s.subscribe(topic, qos=2)
                s.receive(topic, b"x", qos=qos, retain=True)

    def test_retained__wildcard_subscription_gets_all(self):
        for name in ("a", "b/c", "b/d"):
            self.keep(name.encode(), f"{self.t}/{name}")
        s = self.subscriber(self.t + "/#")
        self.assertEqual({s.expect(m.PUBLISH, retain=True).payload for _ in range(3)}, {b"a", b"b/c", b"b/d"})
        s.expect_silence()
        s = self.subscriber(self.t + "/b/+")
        self.assertEqual({s.expect(m.PUBLISH, retain=True).payload for _ in range(2)}, {b"b/c", b"b/d"})

    def test_retained__dollar_topic_is_hidden_from_wildcards(self):
        self.keep(b"x", "$own/" + self.t)
        s = self.subscriber("+/" + self.t)
        s.expect_silence()

    def test_retained__comes_again_at_each_subscribe(self):
        self.keep(b"x")  # [MQTT-3.8.4-3] with retain handling 0
        s = self.subscriber()
        s.receive(self.t, b"x")
        s.subscribe(self.t)
        s.receive(self.t, b"x")

    def test_retained__many_reach_a_late_subscriber(self):
        p = self.client()
        for i in range(500):
            p.publish(f"{self.t}/{i}", str(i), retain=True)
        p.publish(self.t, b"end", qos=1)
        s = self.subscriber(self.t + "/+")
        self.assertEqual({int(s.expect(m.PUBLISH).payload) for _ in range(500)}, set(range(500)))

    def test_retained__nothing_older_comes_behind_what_is_newer(self):
        """They change while they wait for the subscriber to read."""
        p, n = self.client(), 200
        for i in range(n):
            p.publish(f"{self.t}/{i}", b"1" * 65536, qos=1, retain=True)
        s = self.client()
        s.subscribe(self.t + "/+", qos=1)
        for i in range(n):
            p.publish(f"{self.t}/{i}", b"2", qos=1, retain=True)
        got = {i: b"" for i in range(n)}
        while any(value != b"2" for value in got.values()):
            q = s.expect(m.PUBLISH)
            s.send(m.ack(m.PUBACK, q.pid, self.version))
            i = int(q.topic.rpartition("/")[2])
            self.assertLessEqual(got[i][:1], q.payload[:1])
            got[i] = q.payload
        for i in range(n):
            p.publish(f"{self.t}/{i}", b"", qos=1, retain=True)

    def test_retained__properties_are_kept(self):
        if self.version != m.V5:
            return
        self.client().publish(self.t, b"x", qos=1, retain=True, properties={"user": [("a", "b")]})
        self.assertEqual(self.subscriber().receive(self.t, b"x").props, {"user": [("a", "b")]})


RetainedV311, RetainedV5 = both(RetainedCases)


class WillCases(Case):
    def with_will(self, **options):
        return self.client(self.me, will=m.Will(self.t, b"gone", **options))

    def test_will__is_sent_when_the_connection_drops(self):
        s = self.subscriber(qos=1)
        self.with_will(qos=1).close()
        s.receive(self.t, b"gone", qos=1)

    def test_will__of_qos2_is_sent_with_qos2(self):
        s = self.subscriber(qos=2)
        self.with_will(qos=2).close()
        s.receive(self.t, b"gone", qos=2)

    def test_will__is_not_sent_after_disconnect(self):
        s = self.subscriber()
        self.with_will().disconnect()
        s.expect_silence(0.4)

    def test_will__is_sent_after_a_protocol_error(self):
        s = self.subscriber()
        c = self.with_will()
        c.send(b"\x00\x00")
        s.receive(self.t, b"gone")

    def test_will__is_sent_when_the_keep_alive_runs_out(self):
        s = self.subscriber()
        c = self.client(self.me, keepalive=1, will=m.Will(self.t))
        s.receive(self.t, b"gone", timeout=5)
        c.close()

    def test_will__is_sent_at_take_over(self):
        s = self.subscriber()
        old = self.with_will()
        self.client(self.me)
        s.receive(self.t, b"gone")
        old.close()

    def test_will__without_the_flag_is_not_kept(self):
        s = self.subscriber()  # [MQTT-3.1.2-14]
        self.client(will=m.Will(self.t)).close()
        s.receive(self.t, b"gone")
        self.subscriber().expect_silence(0.02)

    def test_will__retained_is_kept(self):
        watcher = self.subscriber()
        self.with_will(retain=True).close()
        watcher.receive(self.t, b"gone")
        self.subscriber().receive(self.t, b"gone", retain=True)

    def test_will__empty_payload_is_allowed(self):
        s = self.subscriber()
        self.client(self.me, will=m.Will(self.t, b"")).close()
        s.receive(self.t, b"")

    def test_will__is_sent_only_once(self):
        s = self.subscriber()
        self.with_will().close()
        s.receive(self.t, b"gone")
        self.client(self.me).close()
        s.expect_silence()


WillV311, WillV5 = both(WillCases)


class WillNewCases(Case):
    def test_will__is_sent_after_disconnect_with_any_other_code_than_0(self):
        s = self.subscriber()  # [MQTT-3.14.4-3]
        for code in (0x80, 0x81, 0x98):
            self.client(will=m.Will(self.t, b"%d" % code)).disconnect(code=code)
            s.receive(self.t, b"%d" % code)

    def test_will__user_properties_keep_their_order(self):
        s, pairs = self.subscriber(), [("b", "1"), ("a", "2"), ("b", "3"), ("b", "1")]  # [MQTT-3.1.3-10]
        self.client(will=m.Will(self.t, properties={"user": pairs})).close()
        s.receive(self.t, b"gone", props={"user": pairs})

    def test_will_delay__end_of_the_session_by_clean_start_sends_it(self):
        s = self.subscriber()
        will = m.Will(self.t, properties={"will_delay": 60})
        self.client(self.me, will=will, properties={"session_expiry": 60}).close()
        self.client(self.me, clean=True)
        s.receive(self.t, b"gone")

    def test_will_delay__passes_before_the_session_ends(self):
        s = self.subscriber()
        will = m.Will(self.t, properties={"will_delay": 1})
        self.client(self.me, will=will, properties={"session_expiry": 60}).close()
        s.receive(self.t, b"gone")
        self.raw().connect(self.me, clean=False, session_present=True)

    def test_will__is_sent_after_disconnect_with_will(self):
        s = self.subscriber()
        self.client(self.me, will=m.Will(self.t)).disconnect(code=0x04)
        s.receive(self.t, b"gone")

    def test_will__properties_reach_the_subscriber(self):
        s = self.subscriber()
        sent = {"content_type": "text/plain", "user": [("a", "1")], "response_topic": "r", "correlation_data": b"c"}
        self.client(self.me, will=m.Will(self.t, properties=sent)).close()
        self.assertEqual(s.receive(self.t, b"gone").props, sent)

    def test_will_delay__waits_as_long_as_the_session_lives(self):
        s = self.subscriber()
        self.keeping(will=m.Will(self.t, properties={"will_delay": 4})).close()
        s.expect_silence(0.5)
        s.receive(self.t, b"gone", timeout=4)

    def test_will_delay__new_connection_in_time_cancels_the_will(self):
        s = self.subscriber()
        self.keeping(will=m.Will(self.t, properties={"will_delay": 4})).close()
        time.sleep(0.2)
        self.keeping()
        s.expect_silence(4.6)

    def test_will_delay__end_of_the_session_sends_it_at_once(self):
        s = self.subscriber()  # session expiry 0: the session ends with the connection
        self.client(self.me, will=m.Will(self.t, properties={"will_delay": 60})).close()
        s.receive(self.t, b"gone", timeout=3)


WillNewV5 = v5(WillNewCases)


class SessionCases(Case):
    def offline(self, *filters, qos=1):
        """A session with a subscription and no connection."""
        s = self.keeping()
        s.subscribe(*(filters or [self.t]), qos=qos)
        s.disconnect()

    def resume(self):
        c = self.raw()
        options = {"properties": {"session_expiry": 300}} if self.version == m.V5 else {}
        c.connect(self.me, clean=False, session_present=True, **options)
        return c

    def test_session__is_present_at_the_second_connect(self):
        first = self.raw()
        options = {"properties": {"session_expiry": 300}} if self.version == m.V5 else {}
        first.connect(self.me, clean=False, session_present=False, **options)
        first.disconnect()
        self.resume()

    def test_session__keeps_subscriptions(self):
        self.offline()
        c = self.resume()
        self.client().publish(self.t, b"x", qos=1)
        c.receive(self.t, b"x", qos=1)

    def test_session__queues_qos1_and_qos2_in_order(self):
        self.offline(qos=2)
        p = self.client()
        for i in range(20):
            p.publish(self.t, str(i), qos=1 + i % 2)
        c = self.resume()
        got = []
        while len(got) < 20:
            q = c.expect(m.PUBLISH)
            got.append((int(q.payload), q.qos))
            c.send(m.ack(m.PUBACK if q.qos == 1 else m.PUBREC, q.pid, self.version))
            if q.qos == 2:
                # Only the release of this id counts here; the next publishes may come before it.
                c.buffer, kept = c.buffer, b""
                while (r := c.recv()).kind != m.PUBREL:
                    kept += r.raw
                c.send(m.ack(m.PUBCOMP, r.pid, self.version))
                c.buffer = kept + c.buffer
        self.assertEqual(got, [(i, 1 + i % 2) for i in range(20)])

    def test_session__unacknowledged_qos1_comes_again_with_dup(self):
        s = self.keeping()
        s.subscribe(self.t, qos=1)
        self.client().publish(self.t, b"x", qos=1)
        first = s.expect(m.PUBLISH, dup=False)
        s.close()
        again = self.resume().expect(m.PUBLISH, payload=b"x", qos=1, dup=True)  # [MQTT-4.4.0-1]
        self.assertEqual(again.pid, first.pid)

    def test_session__unacknowledged_messages_come_again_in_order(self):
        s = self.keeping()
        s.subscribe(self.t, qos=1)
        p = self.client()
        for i in range(5):
            p.publish(self.t, str(i), qos=1)
        pids = [s.expect(m.PUBLISH).pid for _ in range(5)]
        s.close()
        c = self.resume()
        for i in range(5):
            c.expect(m.PUBLISH, payload=str(i).encode(), pid=pids[i], dup=True)

    def test_session__acknowledged_qos1_does_not_come_again(self):
        s = self.keeping()
        s.subscribe(self.t, qos=1)
        self.client().publish(self.t, b"x", qos=1)
        s.receive(self.t, b"x", qos=1)
        s.disconnect()
        self.resume().expect_silence()

    def test_session__qos2_before_pubrec_comes_again_as_publish(self):
        s = self.keeping()
        s.subscribe(self.t, qos=2)
        self.client().publish(self.t, b"x", qos=2)
        pid = s.expect(m.PUBLISH).pid
        s.close()
        c = self.resume()
        c.expect(m.PUBLISH, pid=pid, dup=True, qos=2)
        c.send(m.ack(m.PUBREC, pid, self.version))
        c.expect(m.PUBREL, pid=pid)
        c.send(m.ack(m.PUBCOMP, pid, self.version))
        c.expect_silence()

    def test_session__qos2_after_pubrec_goes_on_with_pubrel(self):
        s = self.keeping()
        s.subscribe(self.t, qos=2)
        self.client().publish(self.t, b"x", qos=2)
        pid = s.expect(m.PUBLISH).pid
        s.send(m.ack(m.PUBREC, pid, self.version))
        s.expect(m.PUBREL, pid=pid)
        s.close()
        c = self.resume()
        c.expect(m.PUBREL, pid=pid, flags=2)
        c.send(m.ack(m.PUBCOMP, pid, self.version))
        c.expect_silence()

    def test_session__incoming_qos2_survives_the_connection(self):
        watcher = self.subscriber(qos=2)
        c = self.keeping()
        c.send(m.publish(self.t, b"x", 2, 9, self.version))
        c.expect(m.PUBREC, pid=9)
        c.close()
        c = self.resume()
        c.send(m.publish(self.t, b"x", 2, 9, self.version, dup=True))
        c.expect(m.PUBREC, pid=9)
        c.send(m.ack(m.PUBREL, 9, self.version))
        c.expect(m.PUBCOMP, pid=9, code=0)
        watcher.receive(self.t, b"x", qos=2)
        watcher.expect_silence()

    def test_session__clean_start_throws_it_away(self):
        self.offline()
        self.client().publish(self.t, b"x", qos=1)
        c = self.raw()
        c.connect(self.me, clean=True, session_present=False)
        c.expect_silence()

    def test_session__take_over_resumes_it(self):
        old = self.keeping()
        old.subscribe(self.t, qos=1)
        self.client().publish(self.t, b"x", qos=1)
        old.expect(m.PUBLISH)
        self.resume().expect(m.PUBLISH, payload=b"x", dup=True)

    def test_session__ends_with_the_connection_when_clean(self):
        c = self.client(self.me, clean=True)
        c.subscribe(self.t, qos=1)
        c.disconnect()
        options = {"properties": {"session_expiry": 300}} if self.version == m.V5 else {}
        self.raw().connect(self.me, clean=False, session_present=False, **options)


SessionV311, SessionV5 = both(SessionCases)


class SessionNewCases(Case):
    def test_session_expiry__session_is_gone_after_it(self):
        self.client(self.me, clean=False, properties={"session_expiry": 1}).disconnect()
        time.sleep(2.3)
        self.raw().connect(self.me, clean=False, session_present=False)

    def test_session_expiry__disconnect_can_shorten_it(self):
        self.client(self.me, clean=False, properties={"session_expiry": 300}).disconnect(
            properties={"session_expiry": 0})
        self.raw().connect(self.me, clean=False, session_present=False)

    def test_session_expiry__zero_ends_with_the_connection(self):
        self.client(self.me, clean=False).disconnect()
        self.raw().connect(self.me, clean=False, session_present=False)

    def test_session_expiry__clean_start_begins_a_session_that_is_kept(self):
        self.client(self.me, clean=True, properties={"session_expiry": 300}).disconnect()
        self.raw().connect(self.me, clean=False, session_present=True)


SessionNewV5 = v5(SessionNewCases)


class QueueLimitCases(Case):
    config = {"mqtt": {"max_queued": 10}}

    @ours_only("mosquitto's limit is not set here")
    def test_queue__no_more_than_max_queued_wait_for_an_absent_client(self):
        s = self.keeping()
        s.subscribe(self.t, qos=1)
        s.disconnect()
        p = self.client()
        for i in range(30):
            p.publish(self.t, str(i), qos=1)
        c = self.keeping()
        for _ in range(10):
            c.send(m.ack(m.PUBACK, c.expect(m.PUBLISH).pid, self.version))
        c.expect_silence(0.5)


QueueLimitV311, QueueLimitV5 = both(QueueLimitCases)
