"""`sluice import`: connectors of other brokers become ours: kafka, postgres, redis, mongodb, and sources that read Kafka."""
import json
import re
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests/cli"))
from import_case import Folder  # noqa: E402

RULE = 'rule_engine.rules.r { sql = "SELECT clientid AS dev, payload.v AS v, timestamp, pub_props AS p FROM \\"t/#\\"", actions = [%s] }\n'


class Emqx(Folder):
    def both(self, conf, *actions, code=0, rule=RULE):
        """The part of the YAML that is no rule, the actions, and the report's notes, the secrets' left out."""
        self.write("c.conf", conf + rule % ", ".join(f'"{a}"' for a in actions))
        text, rules = self.take("emqx", "c.conf", code=code)
        head, tail = text.split("rules:\n", 1)
        notes = [f'{n["what"]}: {n["text"]}' for n in rules["r"]["notes"]]
        yaml = tail.split("    actions:\n")[1]
        return (head.split("\n", 1)[1], yaml, [n for n in notes if "secrets are not copied" not in n],
                [n for n in notes if "secrets are not copied" in n])

    def test_kafka__all_that_has_a_like(self):
        head, actions, notes, secrets = self.both("""
            connectors.kafka_producer.lake { bootstrap_hosts = "k1:9093, k2", connect_timeout = 7s, request_timeout = 20s
              authentication { mechanism = scram_sha_512, username = "u${X}", password = hunter2 }
              ssl { enable = true, verify = verify_peer, cacertfile = "certs/ca.pem" }, allow_auto_topic_creation = true
              socket_opts { sndbuf = 2MB, recbuf = 1024KB, nodelay = true, tcp_keepalive = "60,60,5" }
              min_metadata_refresh_interval = 3s, metadata_request_timeout = 5s, resource_opts { health_check_interval = 20s } }
            actions.kafka_producer.hot { connector = lake, parameters {
              topic = "hot.${dev}", message { key = "${.dev}", value = "${v}", timestamp = "${.timestamp}" }
              compression = snappy, required_acks = leader_only, partition_strategy = random, max_batch_bytes = 500KB
              max_linger_time = 20ms, max_batch_age = 1h, max_retries = 9, reconnect_delay = 4s
              kafka_ext_headers = [{kafka_ext_header_key = dev, kafka_ext_header_value = "${dev}"}, {kafka_ext_header_key = c, kafka_ext_header_value = x}]
              buffer { mode = disk, per_partition_limit = 1GB, segment_bytes = 20MB, memory_overload_protection = true } } }
            """, "kafka_producer:hot")
        self.assertEqual(head, """connectors:
  lake:
    type: kafka
    brokers:
      - "k1:9093"
      - "k2:9092"
    sasl:
      mechanism: scram-sha-512
      username: "u$${X}"
      password: "${KAFKA_PRODUCER_LAKE_AUTHENTICATION_PASSWORD}"
    tls:
      ca: "certs/ca.pem"
    connect_timeout: "7s"
    request_timeout: "20s"
    allow_auto_topic_creation: true
    properties:
      "socket.send.buffer.bytes": "2097152"
      "socket.keepalive.enable": "true"
    probe: "20s"
    acks: leader
    idempotence: false
    partitioner: random
    batch_bytes: "500KB"
    linger: "20ms"
    reconnect:
      first: "4s"
""")
        self.assertEqual(actions, """      - connector: lake
        topic: "hot.${dev}"
        key: "${dev}"
        value: "${v}"
        timestamp: "${timestamp}"
        headers:
          dev: "${dev}"
          c: x
        compression: snappy
        buffer:
          durability: disk
          disk: "1GB"
          segment: "20MB"
        retry:
          ttl: "1h"
          attempts: 9
""")
        self.assertEqual(notes, ["connector kafka_producer:lake: ssl.cacertfile: copy the file, and name where it is in `tls.ca` "
                                 "here: certs/ca.pem"])
        self.assertEqual(len(secrets), 1)
        self.assertNotIn("hunter2", head + actions + secrets[0])

    def test_kafka__defaults_are_written_where_ours_differ(self):
        head, actions, notes, _ = self.both("""
            connectors.kafka_producer.lake { bootstrap_hosts = "k1" }
            actions.kafka_producer.hot { connector = lake, parameters { topic = hot } }
            """, "kafka_producer:hot", rule='rule_engine.rules.r { sql = "SELECT payload.v AS v FROM \\"t\\"", actions = [%s] }')
        self.assertEqual(head, 'connectors:\n  lake:\n    type: kafka\n    brokers:\n      - "k1:9092"\n    partitioner: random\n')
        self.assertEqual(actions, '      - connector: lake\n        topic: hot\n        key: "${clientid}"\n        value: "${.}"\n')
        self.assertEqual(notes, ["action kafka_producer:hot: ${clientid} is not selected: EMQX writes nothing, here it is the "
                                 "message's; select it, or take it out"])

    def test_kafka__a_hybrid_buffer_is_a_log_on_disk_and_is_named(self):
        _, actions, notes, _ = self.both("""
            connectors.kafka_producer.lake { bootstrap_hosts = "k1" }
            actions.kafka_producer.hot { connector = lake, parameters { topic = hot, message.key = "${dev}"
              buffer { mode = hybrid, per_partition_limit = 2GB } } }
            """, "kafka_producer:hot")
        self.assertIn('        buffer:\n          disk: "2GB"\n', actions)
        self.assertEqual(notes, ["action kafka_producer:hot: buffer.mode is left out: rows that wait are in memory and then in "
                                 "a log on disk; see `buffer`"])

    def test_kafka__producers_that_differ_are_two_connectors(self):
        head, actions, _, _ = self.both("""
            connectors.kafka_producer.k { bootstrap_hosts = "k1" }
            actions.kafka_producer.a { connector = k, parameters { topic = a, message.key = "${dev}", partition_strategy = key_dispatch } }
            actions.kafka_producer.b { connector = k, parameters { topic = b, message.key = "${dev}", required_acks = none } }
            actions.kafka_producer.c { connector = k, parameters { topic = c, message.key = "${dev}", partition_strategy = key_dispatch } }
            """, "kafka_producer:a", "kafka_producer:b", "kafka_producer:c")
        self.assertEqual(re.findall(r"connector: (\w+)", actions), ["k", "k_2", "k"])
        self.assertIn("  k_2:\n    type: kafka\n    brokers:\n      - \"k1:9092\"\n    acks: none\n    idempotence: false\n    partitioner: random\n", head)

    def test_kafka__clouds_and_logins(self):
        for conf, expected in [
                ("azure_event_hub_producer.k { bootstrap_hosts = \"n.servicebus.windows.net:9093\", authentication.password = \"Endpoint=sb\" }",
                 ["mechanism: plain", 'username: "$ConnectionString"', "verify: false", "idempotence: false"]),
                ("confluent_producer.k { bootstrap_hosts = \"p.confluent.cloud:9092\", authentication { username = K, password = S }, ssl.verify = verify_peer }",
                 ["mechanism: plain", "username: K", "tls: {}"]),
                ("kafka_producer.k { bootstrap_hosts = b, authentication = msk_iam, ssl { enable = true, verify = verify_peer, server_name_indication = x } }",
                 ["mechanism: aws-msk-iam", 'region: "${KAFKA_PRODUCER_K_REGION}"', 'secret_key: "${KAFKA_PRODUCER_K_SECRET_KEY}"', "tls: {}"]),
                ("kafka_producer.k { bootstrap_hosts = b, authentication { kerberos_principal = \"m@R\", kerberos_keytab_file = \"/k.tab\" } }",
                 ["mechanism: gssapi", 'principal: "m@R"', 'keytab: "/k.tab"']),
                ("kafka_producer.k { bootstrap_hosts = b, authentication = none, ssl { enable = false, verify = verify_peer, cacertfile = x } }",
                 ["partitioner: random"])]:
            kind = conf.split(".")[0]
            with self.subTest(conf[:60]):
                head, _, _, _ = self.both(f"connectors.{conf}\nactions.{kind}.a {{ connector = k, parameters {{ topic = a }} }}\n", f"{kind}:a")
                for part in expected:
                    self.assertIn(f" {part}\n", head)
                self.assertNotIn("Endpoint", head)

    def test_postgres__and_its_kin(self):
        head, actions, notes, _ = self.both("""
            connectors.pgsql.main { server = "db1", database = iot, username = emqx, password = "file://secrets/pw", pool_size = 99
              disable_prepared_statements = true, application_name = plant
              ssl { enable = true, verify = verify_none, server_name_indication = db.example, versions = [tlsv1.3], depth = 3 } }
            actions.pgsql.store { connector = main, parameters { sql = "INSERT INTO m(dev, v, x) VALUES (${dev}, \\"${v}\\", ${nix})" }
              resource_opts { batch_size = 200, batch_time = 50ms, request_ttl = 10m, max_buffer_bytes = 32mb, worker_pool_size = 4,
                              dispatch_strategy = random, query_mode = async, health_check_interval = 15s } }
            connectors.cockroachdb.roach { server = "c1", database = iot, username = root }
            actions.cockroachdb.d { connector = roach }
            """, "pgsql:store", "cockroachdb:d")
        self.assertEqual(head, """connectors:
  main:
    type: postgres
    hosts:
      - db1
    database: iot
    user: emqx
    password: "${file:secrets/pw}"
    pool: 64
    tls:
      server_name: "db.example"
      min_version: "tls1.3"
      verify: false
    application_name: plant
    prepared: off
  roach:
    type: postgres
    hosts:
      - "c1:26257"
    database: iot
    user: root
""".replace("prepared: off", 'prepared: "off"'))
        self.assertEqual(actions.split("      - connector: roach")[0], """      - connector: main
        sql: "INSERT INTO m(dev, v, x) VALUES (${dev}, ${v}, ${null})"
        batch:
          rows: 200
          linger: "50ms"
        retry:
          ttl: "10m"
        buffer:
          memory: "32MB"
        order: none
""")
        self.assertIn("insert into t_mqtt_msg(msgid, topic, qos, payload, arrived) values (${id}, ${topic}", actions)
        told = " | ".join(notes)
        for part in ("`pool` is 64 here, which is as much as it can be", "ssl.verify: EMQX does not check", "ssl.depth is left out",
                     "resource_opts.worker_pool_size is left out", "nothing is called ${nix}: EMQX writes NULL",
                     "password stands in the file secrets/pw, as there: copy it, or change the path"):
            self.assertIn(part, told)

    def test_redis__single_sentinel_cluster(self):
        for conf, expected in [
                ('redis_type = single, server = "r", password = p, database = 3, pool_size = 8', """    servers:
      - "r:6379"
    password: "${REDIS_C_PASSWORD}"
    database: 3
    pool: 8
"""),
                ('redis_type = sentinel, servers = "s1,s2:26380", sentinel = mine, username = bob, password = p, sentinel_username = sam, sentinel_password = q', """    mode: sentinel
    servers:
      - "s1:6379"
      - "s2:26380"
    master: mine
    sentinel_username: sam
    sentinel_password: "${REDIS_C_SENTINEL_PASSWORD}"
    username: bob
    password: "${REDIS_C_PASSWORD}"
"""),
                ('redis_type = cluster, servers = "n1,n2:7001", pool_size = 8, username = bob', """    mode: cluster
    servers:
      - "n1:6379"
      - "n2:7001"
""")]:
            with self.subTest(conf[:20]):
                head, actions, _, _ = self.both("connectors.redis.c { parameters { " + conf + " } }\n" + """
                    actions.redis.h { connector = c, parameters { command_template = [HSET, "room:${dev}", t, "${v}", n, 5, "${nix}"] } }
                    """, "redis:h")
                self.assertEqual(head, "connectors:\n  c:\n    type: redis\n" + expected)
                self.assertEqual(actions, '      - connector: c\n        command:\n          - HSET\n          - "room:${dev}"\n          - t\n'
                                 '          - "${v}"\n          - "n"\n          - "5"\n          - undefined\n')

    def test_mongodb__single_replica_set_srv(self):
        for conf, url in [
                ('mongo_type = single, server = "m1"', "mongodb://m1/"),
                ('mongo_type = rs, servers = "m1:27017, m2", replica_set_name = rs0, r_mode = slave_ok, username = "a@b", password = x, auth_source = admin',
                 "mongodb://a%40b:${MONGODB_M_PASSWORD}@m1:27017,m2/?replicaSet=rs0&authSource=admin"),
                ('mongo_type = sharded, servers = "s1,s2", username = u, password = x, topology { heartbeat_frequency_ms = 10s, max_overflow = 2 }',
                 "mongodb://u:${MONGODB_M_PASSWORD}@s1,s2/?authSource=iot&heartbeatFrequencyMS=10000")]:
            with self.subTest(url):
                head, actions, notes, _ = self.both("connectors.mongodb.m { database = iot, pool_size = 4, parameters { " + conf + " } }\n" + '''
                    actions.mongodb.d { connector = m, parameters { collection = "c_${dev}", payload_template = """{"d": "${dev}", "v": ${v}}""" } }
                    actions.mongodb.all { connector = m }
                    ''', "mongodb:d", "mongodb:all")
                self.assertEqual(head, f'connectors:\n  m:\n    type: mongodb\n    url: "{url}"\n    database: iot\n    pool: 4\n    write_concern:\n      w: 1\n')
                self.assertEqual(actions, '      - connector: m\n        collection: "c_${dev}"\n        document: "{\\"d\\": \\"${dev}\\", \\"v\\": ${v}}"\n'
                                 "      - connector: m\n        collection: mqtt\n")
                self.assertEqual("topology.max_overflow is left out" in " ".join(notes), "max_overflow" in conf)
                self.assertIn("w_mode", " ".join(notes))

    def test_bridges__of_older_files_hold_both_halves(self):
        head, actions, notes, _ = self.both("""
            bridges.kafka.lake { bootstrap_hosts = "k1", authentication = none, kafka { topic = old, message.key = "${dev}", max_inflight = 3 } }
            bridges.pgsql.db { server = "p:5433", database = d, username = u, sql = "INSERT INTO a VALUES (${v})", resource_opts.batch_size = 7 }
            bridges.redis_cluster.r { servers = "n1", command_template = [SET, a, "${v}"], strange = 1 }
            """, "kafka:lake", "pgsql:db", "redis_cluster:r")
        self.assertIn("mode: cluster", head)
        self.assertIn('topic: old\n        key: "${dev}"', actions)
        self.assertIn("rows: 7", actions)
        self.assertEqual([n for n in notes if "left out" in n], [
            "action kafka:lake: kafka.max_inflight is left out: order is kept by `idempotence`, however many requests are out",
            "action redis_cluster:r: strange is left out: this import does not know it"])

    def test_actions__that_cannot_work_are_told(self):
        _, actions, notes, _ = self.both("""
            connectors.redis.c { parameters { redis_type = single, server = "r" } }
            actions.redis.off { connector = c, enable = false, parameters { command_template = [SET, a, b] } }
            actions.redis.lost { connector = elsewhere, parameters { command_template = [SET, a, b] } }
            """, "redis:off", "redis:lost", "pgsql:none")
        self.assertRegex(actions, r"enabled: false\b")
        self.assertEqual(notes, [
            "action redis:lost: its connector 'elsewhere' is in none of these files; import them together (a connector of type redis does this)",
            "action pgsql:none: its settings are in none of these files; a connector of type postgres does this"])

    def test_actions__that_fail_the_check_are_shown(self):
        self.write("c.conf", """
            connectors.redis.c { parameters { redis_type = single, server = "r" } }
            actions.redis.h { connector = c, parameters { command_template = [KEYS, "*"] } }
            """ + RULE % '"redis:h"')
        text, rules = self.take("emqx", "c.conf", code=1)
        self.assertEqual(self.status(rules), {"r": "refused"})
        self.assertIn("# Here it would be:", text)
        self.assertNotIn("connectors:", text)

    def test_connectors__are_told_of_once(self):
        self.write("c.conf", """
            connectors.redis.c { parameters { redis_type = single, server = "r", password = p } }
            actions.redis.h { connector = c, parameters { command_template = [SET, a, "${v}"] } }
            """ + RULE % '"redis:h"' + (RULE % '"redis:h"').replace("rules.r", "rules.second"))
        _, rules = self.take("emqx", "c.conf")
        self.assertIn("REDIS_C_PASSWORD", self.notes(rules["r"]))
        self.assertEqual(self.notes(rules["second"]), "connector redis:c: what it needs is said at the rule 'r'")

    def test_sources__of_kafka(self):
        self.write("c.conf", """
            connectors.kafka_consumer.k { bootstrap_hosts = "k1" }
            sources.kafka_consumer.orders { connector = k, parameters { topic = o, offset_reset_policy = earliest, max_wait_time = 2s,
              offset_commit_interval_seconds = 9s, max_batch_bytes = 1MB, value_encoding_mode = base64, max_rejoin_attempts = 5 } }
            sources.kafka_consumer.off { connector = k, enable = false, parameters { topic = o } }
            sources.mqtt.m { connector = x, parameters { topic = "a/#" } }
            rule_engine.rules.r { sql = "SELECT value FROM \\"$sources/kafka_consumer:orders\\"", actions = [{function = console}] }
            """)
        done = self.do("import", "emqx", "c.conf", "--report", "json")
        self.write("out.yaml", done.stdout)
        self.do("check", "-c", "out.yaml")
        self.assertIn("""sources:
  orders:
    connector: k
    topics:
      - o
    group: emqx-kafka-consumer-orders
    start: earliest
    commit_interval: "9s"
    properties:
      "fetch.wait.max.ms": "2000"
      "fetch.message.max.bytes": "1048576"
""", done.stdout)
        report = json.loads(done.stderr)
        self.assertIn("source kafka_consumer:orders: value_encoding_mode is left out", self.notes(report["rules"][0]))
        self.assertEqual([n["what"] for n in report["notes"]], ["source kafka_consumer:off", "source mqtt:m"])

    def test_sources__that_rules_call_bridges_are_found(self):
        rule = '''
            rule_engine.rules.r { sql = "SELECT value FROM \\"$bridges/kafka_consumer:orders\\"", actions = [{function = console}] }'''
        for conf in ("sources.kafka_consumer.orders { connector = k, parameters { topic = o } }\nconnectors.kafka_consumer.k { bootstrap_hosts = k1 }",
                     "bridges.kafka_consumer.orders { bootstrap_hosts = k1, kafka { topic = o } }"):
            with self.subTest(conf[:8]):
                self.write("c.conf", conf + rule)
                text, rules = self.take("emqx", "c.conf")
                self.assertIn('FROM "$sources/kafka_consumer:orders"', text)
                self.assertIn("$bridges/kafka_consumer: is written $sources/kafka_consumer: here", self.notes(rules["r"]))
        self.write("c.conf", rule)
        _, rules = self.take("emqx", "c.conf", code=1)
        self.assertEqual(self.status(rules), {"r": "refused"})

    def test_kafka__a_login_that_is_not_known_needs_a_mapping(self):
        for login, words in (('{ grant_type = client_credentials, endpoint_uri = "https://h/t", client_id = us, client_secret = hunter2 }',
                              "grant_type, endpoint_uri, client_id, client_secret"), ("msk_roles_anywhere", "msk_roles_anywhere")):
            head, _, notes, _ = self.both("""
                connectors.kafka_producer.k { bootstrap_hosts = "h", authentication = """ + login + """ }
                actions.kafka_producer.a { connector = k, parameters { topic = t } }
                """, "kafka_producer:a")
            self.assertNotIn("sasl", head)
            (note,) = [n for n in notes if "authentication" in n]
            self.assertIn(f"authentication ({words}) is left out: this import does not know it; write it as `sasl`", note)
            self.assertNotIn("hunter2", head + note)

    def test_sources__that_have_not_come_along_refuse_the_rule(self):
        for conf in ("", """sources.kafka_consumer.orders { connector = k, enable = false, parameters { topic = o } }
                     connectors.kafka_consumer.k { bootstrap_hosts = "k1" }""",
                     """sources.kafka_consumer.other { connector = k, parameters { topic = o } }
                     connectors.kafka_consumer.k { bootstrap_hosts = "k1" }"""):
            with self.subTest(conf[:40]):
                self.write("c.conf", conf + '''
                    rule_engine.rules.r { sql = "SELECT value FROM \\"$sources/kafka_consumer:orders\\"", actions = [{function = console}] }
                    rule_engine.rules.fine { sql = "SELECT * FROM \\"t\\"", actions = [{function = console}] }''')
                _, rules = self.take("emqx", "c.conf", code=1)
                self.assertEqual(self.status(rules), {"r": "refused", "fine": "unchanged"})
                self.assertIn("there is no such source", self.notes(rules["r"]))

    def test_api__pages_with_all_defaults_say_little(self):
        options = {"health_check_interval": "15s", "start_after_created": True, "start_timeout": "5s", "health_check_timeout": "60s"}
        ssl = {"enable": False, "verify": "verify_none", "ciphers": [], "depth": 10, "reuse_sessions": True, "versions": ["tlsv1.3", "tlsv1.2"],
               "secure_renegotiate": True, "hibernate_after": "5s", "log_level": "notice", "user_lookup_fun": "emqx_tls_psk:lookup"}
        self.write("connectors.json", [{"type": "pgsql", "name": "p", "server": "h:5432", "database": "d", "username": "u", "password": "******",
                                        "pool_size": 8, "ssl": ssl, "resource_opts": options, "status": "connected", "actions": ["a"],
                                        "node_status": [{"node": "n", "status": "connected"}], "enable": True, "description": ""},
                                       {"type": "redis", "name": "c", "parameters": {"redis_type": "single", "server": "r:6379", "pool_size": 8,
                                                                                     "database": 0}, "ssl": ssl, "resource_opts": options}])
        action = {"query_mode": "async", "batch_size": 100, "batch_time": "100ms", "request_ttl": "45s", "inflight_window": 100,
                  "worker_pool_size": 16, "max_buffer_bytes": "256MB", "health_check_interval": "15s"}
        self.write("actions.json", [{"type": "pgsql", "name": "a", "connector": "p", "parameters": {"sql": "INSERT INTO x VALUES (${v})"},
                                     "resource_opts": action, "enable": True, "tags": [], "fallback_actions": []}])
        self.write("rules.json", {"data": [{"id": "r", "sql": 'SELECT payload.v AS v FROM "t"', "enable": True, "actions": ["pgsql:a"]}]})
        text, rules = self.take("emqx", "connectors.json", "actions.json", "rules.json")
        self.assertEqual(len(rules["r"]["notes"]), 1, rules["r"]["notes"])
        self.assertIn("rows: 100", text)


class Aws(Folder):
    def test_kafka__client_properties(self):
        self.write("r.json", {"sql": "SELECT * FROM 'a/#'", "awsIotSqlVersion": "2016-03-23", "actions": [
            {"kafka": {"destinationArn": "arn:x", "topic": "t_${topic(2)}", "key": "${clientid()}", "partition": "${x}",
                       "headers": [{"key": "a", "value": "${b}"}, {"key": "${c}", "value": "d"}], "clientProperties": {
                           "bootstrap.servers": "b-1:9094,b-2:9094", "security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512",
                           "sasl.scram.username": "${get_secret('arn','SecretString','username','role')}",
                           "sasl.scram.password": "${get_secret('arn','SecretString','password','role')}",
                           "ssl.truststore": "${get_secret('t','SecretBinary','role')}", "ssl.truststore.password": "hunter2", "acks": "1",
                           "compression.type": "lz4", "linger.ms": "20", "batch.size": "65536", "buffer.memory": "67108864",
                           "key.serializer": "org.apache.kafka.common.serialization.StringSerializer", "foo": "bar"}}}]})
        text, rules = self.take("aws", "r.json")
        self.assertEqual(text.split("rules:\n")[0].split("\n", 1)[1], """connectors:
  kafka:
    type: kafka
    brokers:
      - "b-1:9094"
      - "b-2:9094"
    sasl:
      mechanism: scram-sha-512
      username: "${KAFKA_SASL_SCRAM_USERNAME}"
      password: "${KAFKA_SASL_SCRAM_PASSWORD}"
    tls:
      ca: "kafka_ca.pem"
    acks: leader
    idempotence: false
    compression: lz4
    linger: "20ms"
    batch_bytes: "64KB"
    queue:
      bytes: "64MB"
""")
        self.assertEqual(text.split("    actions:\n")[1], """      - connector: kafka
        topic: "t_${topic(2)}"
        key: "${clientid()}"
        value: "${.}"
        partition: "${x}"
        headers:
          a: "${b}"
""")
        told = self.notes(rules["r"])
        for part in ("Secrets Manager", "tls.ca", "headers[1] is left out", "foo is left out", "no VPC destination"):
            self.assertIn(part, told)
        self.assertNotIn("hunter2", text + told)

    def test_kafka__logins_and_protocols(self):
        for properties, expected in [
                ({"security.protocol": "PLAINTEXT"}, ""),
                ({}, "    tls: {}\n"),
                ({"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.plain.username": "u", "sasl.plain.password": "p"},
                 '    sasl:\n      mechanism: plain\n      username: u\n      password: "${KAFKA_SASL_PLAIN_PASSWORD}"\n')]:
            with self.subTest(properties):
                self.write("r.json", {"sql": "SELECT * FROM 'a'", "actions": [
                    {"kafka": {"topic": "t", "clientProperties": dict(properties, **{"bootstrap.servers": "b:1"})}}]})
                text, _ = self.take("aws", "r.json")
                self.assertEqual(text.split("rules:\n")[0].split("\n", 1)[1],
                                 'connectors:\n  kafka:\n    type: kafka\n    brokers:\n      - "b:1"\n' + expected)

    def test_kafka__two_clusters_are_two_connectors(self):
        actions = [{"Kafka": {"Topic": "t", "ClientProperties": {"bootstrap.servers": b, "security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN",
                                                                 "sasl.plain.username": "u", "sasl.plain.password": p}}}
                   for b, p in (("a:1", "x"), ("b:1", "y"), ("a:1", "x"))]
        self.write("r.json", {"sql": "SELECT * FROM 'a'", "actions": actions})
        text, _ = self.take("aws", "r.json")
        self.assertEqual(re.findall(r"- connector: (\w+)", text), ["kafka", "kafka_2", "kafka"])
        self.assertIn("${KAFKA_SASL_PLAIN_PASSWORD_2}", text)


if __name__ == "__main__":
    unittest.main()
