"""`sluice import`: rules of AWS IoT Core and EMQX become a configuration that passes the check and gives the same rows."""
import json
import re
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tests/cli"))
from harness.broker import run_program  # noqa: E402
from import_case import Folder  # noqa: E402

FACTORY = ("SELECT deviceId, timestamp, get(measurements, 0).value as temperature\nFROM 'factory/+/+/+/+/telemetry'\n"
           "WHERE get(measurements, 0).name = 'temperature' AND get(measurements, 0).value > 85.0")
PAYLOAD = {"sql": FACTORY, "description": 'hot "ones" – größer', "ruleDisabled": False, "awsIotSqlVersion": "2016-03-23",
           "actions": [{"republish": {"topic": "alerts/${topic(2)}/${deviceId}", "qos": 1, "roleArn": "arn:x"}}]}

TEMPLATE = {
    "Parameters": {"Site": {"Type": "String", "Default": "berlin"}, "Stage": {"Type": "String"}},
    "Resources": {
        "Hot": {"Type": "AWS::IoT::TopicRule", "Properties": {"RuleName": {"Fn::Sub": "hot_${Site}"}, "TopicRulePayload": {
            "Sql": {"Fn::Sub": "SELECT *, topic(2) AS dev FROM 'plants/${Site}/+/data' WHERE t > 30"},
            "AwsIotSqlVersion": "2016-03-23", "RuleDisabled": "false",
            "Actions": [
                {"Republish": {"Topic": {"Fn::Sub": ["alerts/${Kind}/${!topic(3)}", {"Kind": {"Ref": "Site"}}]}, "Qos": 1,
                               "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
                               "Headers": {"ContentType": "application/json", "MessageExpiry": "60", "PayloadFormatIndicator": "UTF8_DATA",
                                           "ResponseTopic": "answers/${topic(3)}", "CorrelationData": "b3JkZXI3",
                                           "UserProperties": [{"Key": "dev", "Value": "${topic(3)}"}]}}},
                {"DynamoDBv2": {"PutItem": {"TableName": {"Ref": "Table"}}}}],
            "ErrorAction": {"Sqs": {"QueueUrl": "https://q"}}}}},
        "Acct": {"Type": "AWS::IoT::TopicRule", "Properties": {"RuleName": {"Fn::Sub": "${AWS::StackName}_x"},
                                                               "TopicRulePayload": {
            "Sql": {"Fn::Join": ["", ["SELECT 'arn:", {"Ref": "AWS::AccountId"}, "' AS arn FROM 'x/", {"Ref": "Stage"}, "/#'"]]},
            "Actions": [{"Republish": {"Topic": {"Fn::Sub": "${AWS::Region}/${!clientid()}"}}}], "RuleDisabled": True}}},
        "Fn": {"Type": "AWS::Serverless::Function", "Properties": {"Events": {
            "Msgs": {"Type": "IoTRule", "Properties": {"Sql": "SELECT * FROM 'fn/#'", "AwsIotSqlVersion": "beta"}},
            "Web": {"Type": "Api"}}}},
        "If": {"Type": "AWS::IoT::TopicRule", "Properties": {"TopicRulePayload": {
            "Sql": {"Fn::If": ["c", "SELECT 1", "SELECT 2"]}, "Actions": []}}},
        "Bucket": {"Type": "AWS::S3::Bucket"}}}

EMQX = r'''
## what people write by hand
node { name = "emqx@127.0.0.1", cookie = "c" }
base.dir = "/var/log"
listeners.tcp.default { bind = 0.0.0.0:1883 } // the usual
connectors.pgsql.main { server = "db1:5432", username = "emqx", password = "hunter2", pool_size = 8 }
connectors.disk_log.lines {
  filepath = ${base.dir}"/emqx/rows.log", max_file_size = 10MB, max_file_number = 7, rotation { period = day }
}
connectors.redis.cache { server = "r:6379", password = "secret8" }
actions.pgsql.store {
  connector = main
  parameters.sql = "INSERT INTO m(dev, v) VALUES (${dev}, ${v})"
  resource_opts { batch_size = 200, batch_time = 50ms }
  fallback_actions = [ { kind = republish, args { topic = "dead/${dev}", payload = "${.}" } } ]
}
actions.redis.hset { connector = cache, parameters { command_template = [HSET, "room:${dev}", t, "${v}"] } }
actions.disk_log.rows { connector = lines, parameters { template = "${dev};${v}" } }
rule_engine.rules.hot_rooms {
  sql = "SELECT clientid AS dev, payload.v AS v, timestamp AS ts FROM \"room/+/temp\" WHERE payload.v > 28"
  actions = [ "pgsql:store", "redis:hset", { function = republish, args { topic = "alert/${dev}", payload = "${v}", qos = 1 } } ]
  enable = true
  description = "store and alert: größer"
}
rule_engine.rules {
  lines {
    sql = """~
      SELECT
        clientid as dev,
        payload.v as v
      FROM
        "room/#"~"""
    actions = ["disk_log:rows", {function = console}]
  }
  templates {
    sql = "SELECT 'größe' as g, payload.a as a, qos FROM \"t/#\""
    enable = false
    actions = [{ function = republish, args {
      topic = "out/${g}", qos = "${qos}", retain = true, payload = """{"a":${a.b c},"b":"${.a.when}","c":"${$}{x} $${g}"}"""
      user_properties = { a = "${a}", n = 5 }, mqtt_properties = { "Content-Type" = "text/plain", "Response-Topic" = "r/${g}",
        "Message-Expiry-Interval" = "${qos}", "Payload-Format-Indicator" = "yes", "Correlation-Data" = "c", "Reason" = "x" }
    }}]
  }
  defaults { sql = "SELECT payload FROM \"d/#\"", actions = [{ function = republish, args { topic = "d2/${nix}/${clientid}" }}] }
  bad { sql = "SELECT nosuch(payload.x) as x FROM \"t/#\"", actions = [{function = console}] }
  quiet { sql = "SELECT * FROM \"q\"", actions = [] }
  web { sql = "SELECT * FROM \"w\"", actions = ["http:hook", "mod:fun", { function = "my_mod:fun", args {} }] }
}
'''


class Aws(Folder):
    HOT = '{"deviceId":"p7","timestamp":5,"measurements":[{"name":"temperature","value":91.20}]}'

    def test_payload__is_named_by_its_file_and_runs(self):
        text, rules = self.take("aws", self.write("hot-machines.json", PAYLOAD))
        self.assertEqual(self.status(rules), {"hot_machines": "unchanged"})
        self.assertIn("    sql: |-\n      SELECT deviceId", text)
        self.same_rows("hot_machines", FACTORY, "factory/a/b/c/d/telemetry", self.HOT, "--dialect", "aws")
        actions = self.rows("hot_machines", "factory/a/b/c/d/telemetry", self.HOT, "--actions")
        self.assertIn('"alerts/a/p7"', actions)

    def test_get_topic_rule__several_in_a_row_lists_and_versions(self):
        get = {"ruleArn": "arn:x", "rule": dict(PAYLOAD, ruleName="second", ruleDisabled=True)}
        get["rule"].pop("awsIotSqlVersion")
        created = {"ruleName": "third", "topicRulePayload": dict(PAYLOAD, sql="SELECT VALUE a.1 FROM 'x'")}
        self.write("all.json", json.dumps(get) + "\n" + json.dumps([created, {"ruleName": "fourth", "ruleArn": "arn"}]))
        text, rules = self.take("aws", "all.json", code=1)
        self.assertEqual(self.status(rules), {"second": "unchanged", "third": "refused", "fourth": "refused"})
        self.assertIn('sql_version: "2015-10-08"', text)
        self.assertIn("enabled: false", text)
        self.assertEqual(rules["third"]["notes"][0]["line"], 1)
        self.assertIn("get-topic-rule", self.notes(rules["fourth"]))

    def test_older_version__what_it_did_not_have_is_told(self):
        self.write("r.json", {"sql": "SELECT VALUE [a, b] FROM 'x'", "actions": []})
        _, rules = self.take("aws", "r.json")
        self.assertEqual(self.status(rules), {"r": "unchanged"})
        self.assertIn("version 2015-10-08 has no array literal", self.notes(rules["r"]))

    def test_cloudformation__is_resolved_as_far_as_it_is_known(self):
        text, rules = self.take("aws", self.write("stack.json", TEMPLATE), code=1)
        self.assertEqual(self.status(rules), {"hot_berlin": "needs_mapping", "Acct": "needs_mapping",
                                              "FnMsgs": "needs_mapping", "If": "refused"})
        self.assertIn("FROM 'plants/berlin/+/data'", text)
        self.assertIn('topic: "alerts/berlin/${topic(3)}"', text)
        self.assertNotIn("headers", self.notes(rules["hot_berlin"]))
        told = json.loads(self.rows("hot_berlin", "plants/berlin/d7/data", '{"t":31}', "--actions").splitlines()[1])
        self.assertEqual({k: v for k, v in told["republish"].items() if k not in ("topic", "payload", "qos", "retain")},
                         {"payload_format": 1, "message_expiry": 60, "content_type": "application/json",
                          "response_topic": "answers/d7", "correlation_data": "order7", "user_properties": {"dev": "d7"}})
        self.assertIn("errorAction", self.notes(rules["hot_berlin"]))
        self.assertIn("${AWS::AccountId}", self.notes(rules["Acct"]))
        self.assertIn("${Stage}", self.notes(rules["Acct"]))
        self.assertNotIn("${Site}", self.notes(rules["Acct"]))
        self.assertIn('topic: "$${AWS::Region}/${clientid()}"', text)
        self.assertIn("- console: {}", text)  # FnMsgs has no action that works
        self.same_rows("hot_berlin", "SELECT *, topic(2) AS dev FROM 'plants/berlin/+/data' WHERE t > 30",
                       "plants/berlin/d1/data", '{"t":30.50,"x":[1,{"y":"ü"}]}', "--dialect", "aws")
        told = self.rows("hot_berlin", "plants/berlin/d1/data", '{"t":31}', "--actions")
        self.assertIn("alerts/berlin/d1", told)

    def test_actions__without_a_like_stand_as_comments(self):
        keys = ["lambda", "http", "s3", "dynamoDB", "timestream", "sqs", "cloudwatchLogs", "unheardOf"]
        rule = dict(PAYLOAD, actions=[{k: {"field": f"${{topic()}} of {k}", "password": "hunter2"}} for k in keys])
        text, rules = self.take("aws", self.write("r.json", rule))
        self.assertEqual(self.status(rules), {"r": "needs_mapping"})
        for key in keys:
            self.assertIn(f"# {key}: ", text)
            self.assertIn(f"of {key}", text)
        self.assertIn("- console: {}", text)
        self.assertNotIn("hunter2", text)

    def test_services__are_refused_with_their_place(self):
        rule = dict(PAYLOAD, sql="SELECT *,\n  aws_lambda('arn:x', *) AS y FROM 'a'")
        text, rules = self.take("aws", self.write("r.json", rule), code=1)
        note = rules["r"]["notes"][0]
        self.assertEqual((note["line"], note["column"], note["status"]), (2, 3, "refused"))
        self.assertIn("rules: {}\n", text)
        self.assertIn("#   aws_lambda('arn:x', *) AS y FROM 'a'", text)

    def test_templates__that_do_not_compile_are_refused_alone(self):
        rule = dict(PAYLOAD, actions=[{"republish": {"topic": "a/${nosuch(1)}"}}, {"republish": {"topic": "b/${topic(1)}"}}])
        text, rules = self.take("aws", self.write("r.json", rule), code=1)
        self.assertEqual(self.status(rules), {"r": "refused"})
        self.assertIn("nosuch", self.notes(rules["r"]))
        self.assertIn('topic: "b/${topic(1)}"', text)
        self.assertNotIn("- console", text)

    def test_templates__that_name_what_select_makes_are_pointed_out(self):
        rule = {"ruleName": "r", "sql": "SELECT temp AS device, name AS name, upper(x) AS nm FROM 'a/+'", "awsIotSqlVersion": "2016-03-23",
                "actions": [{"republish": {"topic": "out/${device}/${nm}/${name}/${other}", "roleArn": "arn:x"}}]}
        (self.folder / "aliases.json").write_text(json.dumps(rule))
        said = run_program("import", "aws", "aliases.json", cwd=self.folder).stderr
        for name in ("device", "nm"):
            self.assertIn("${%s} is a member of the message, there and here: what SELECT calls %s does not reach templates" % (name, name), said)
        self.assertNotIn("${name}", said)
        self.assertNotIn("${other}", said)
        self.assertIn("1 rule: 1 unchanged", said)

    def test_sql__is_kept_to_the_byte(self):
        for i, sql in enumerate(["SELECT a\r\nFROM 'x'", " SELECT a FROM 'x'", "\tSELECT a\n\tFROM 'x'", "SELECT a \nFROM 'x'\n",
                                 "SELECT 'ü – \u2028 😀 \" # : %' AS b,\n\n  a FROM 'x'", "SELECT '\\d+ \\\\' AS re FROM 'x'"]):
            self.write("r.json", dict(PAYLOAD, sql=sql))
            with self.subTest(i):
                self.take("aws", "r.json")
                self.same_rows("r", sql, "x", '{"a":1.0}', "--dialect", "aws")

    def test_names__that_come_twice_get_a_number(self):
        self.write("r.json", [dict(PAYLOAD, ruleName="a")] * 3)
        _, rules = self.take("aws", "r.json")
        self.assertEqual(list(rules), ["a", "a_2", "a_3"])
        self.assertEqual(rules["a_3"]["status"], "needs_mapping")

    def test_mistakes__are_refused_with_their_place(self):
        for text, complaint in [("", "is empty"), (" \n", "is empty"), ("{\n  bad", "f.json:2: not JSON"),
                                ("Resources:\n  X: 1", "in YAML can be had as JSON"), ("{}", "there is no rule in it"),
                                ("[" * 100, "f.json:1:65: values stand more than 64 deep"), ('{"sql": "\\u0000"}', "not JSON")]:
            with self.subTest(text[:20]):
                self.write("f.json", text)
                done = self.do("import", "aws", "f.json", code=1)
                self.assertEqual(done.stdout, "")
                self.assertRegex(done.stderr, complaint.replace("f.json:2:", r"f.json:2:(\d+:)?"))


class Emqx(Folder):
    def test_configuration__of_several_rules(self):
        text, rules = self.take("emqx", self.write("emqx.conf", EMQX), code=1)
        self.assertEqual(self.status(rules), {
            "hot_rooms": "needs_mapping", "lines": "unchanged", "templates": "needs_mapping", "defaults": "needs_mapping",
            "bad": "refused", "quiet": "unchanged", "web": "needs_mapping"})
        self.assertNotIn("hunter2", text)
        self.assertNotIn("secret8", text)
        self.assertEqual([(n["line"], n["column"]) for n in rules["bad"]["notes"]], [(1, 8)])
        hot = self.notes(rules["hot_rooms"])
        for part in ("PGSQL_MAIN_PASSWORD", "REDIS_CACHE_PASSWORD", "action pgsql:store: fallback_actions"):
            self.assertIn(part, hot)
        self.assertIn('        sql: "INSERT INTO m(dev, v) VALUES (${dev}, ${v})"', text)
        self.assertIn("my_mod:fun", text)

    def test_rows__are_those_of_the_sql(self):
        self.take("emqx", self.write("emqx.conf", EMQX), code=1)
        self.same_rows("hot_rooms", "SELECT clientid AS dev, payload.v AS v, timestamp AS ts FROM \"room/+/temp\" "
                       "WHERE payload.v > 28", "room/1/temp", '{"v":28.50}')
        self.same_rows("lines", 'SELECT\n  clientid as dev,\n  payload.v as v\nFROM\n  "room/#"', "room/1", '{"v":"ü"}')

    def test_disk_log__becomes_a_file(self):
        text, _ = self.take("emqx", self.write("emqx.conf", EMQX), code=1)
        self.assertIn('    type: file\n    dir: "/var/log/emqx"\n', text)
        told = self.rows("lines", "room/1", '{"v":3}', "--clientid", "d1", "--actions")
        self.assertIn('file: "rows.log"', text)
        self.assertIn("d1;3", told)

    def test_templates__say_the_same(self):
        _, rules = self.take("emqx", self.write("emqx.conf", EMQX), code=1)
        told = json.loads(self.rows("templates", "t/1", '{"a":{"when":"now"}}', "--qos", "2", "--actions").splitlines()[1])
        message = told.get("republish", told)
        self.assertEqual(message["topic"], "out/größe")
        self.assertEqual(message["payload"], '{"a":${a.b c},"b":"now","c":"${x} $größe"}')
        self.assertEqual((message["qos"], message["retain"], message["content_type"]), (2, True, "text/plain"))
        self.assertEqual((message["response_topic"], message["message_expiry"], message["correlation_data"]), ("r/größe", 2, "c"))
        self.assertNotIn("payload_format", message)
        self.assertIn("mqtt_properties.Payload-Format-Indicator ('yes') is left out", self.notes(rules["templates"]))
        self.assertIn("mqtt_properties.Reason is left out", self.notes(rules["templates"]))

    def test_properties__all_that_a_message_has_are_passed_on(self):
        self.write("e.conf", """rule_engine.rules.r { sql = "SELECT payload FROM \\"t\\"", actions = [{ function = republish, args {
            topic = "o", payload = "${payload}", qos = 0, retain = false, user_properties = "${pub_props.'User-Property'}",
            mqtt_properties = { "Correlation-Data" = "${pub_props.'Correlation-Data'}" } } }] }""")
        _, rules = self.take("emqx", "e.conf")
        self.assertEqual(self.status(rules), {"r": "unchanged"})
        told = json.loads(self.rows("r", "t", "x", "--user-property", "k=v", "--actions").splitlines()[1])
        self.assertEqual(told["republish"]["user_properties"], {"k": "v"})
        self.assertNotIn("correlation_data", told["republish"])

    def test_defaults__are_those_of_the_other_broker(self):
        text, rules = self.take("emqx", self.write("emqx.conf", EMQX), code=1)
        self.assertIn('topic: "d2/undefined/${clientid}"\n          payload: "${payload}"\n          qos: 0\n', text)
        self.assertIn("${nix}", self.notes(rules["defaults"]))
        self.assertIn("${clientid} is not selected", self.notes(rules["defaults"]))

    def test_api__pages_of_rules_actions_and_connectors(self):
        self.write("rules.json", {"meta": {"count": 1}, "data": [
            {"id": "rule_x1", "name": "My rule", "sql": "SELECT\n  *\nFROM\n  \"t/#\"", "enable": True, "description": "",
             "actions": ["kafka_producer:lake", {"function": "republish", "args": {
                 "topic": "o/${topic}", "qos": 0, "retain": False, "payload": "", "mqtt_properties": {}, "user_properties": "",
                 "direct_dispatch": True}}]}]})
        self.write("actions.json", [{"type": "kafka_producer", "name": "lake", "connector": "k", "parameters": {
            "topic": "hot.${clientid}", "message": {"key": "${.clientid}", "value": "${.}"}}}])
        self.write("connectors.json", [{"type": "kafka_producer", "name": "k", "bootstrap_hosts": "127.0.0.1:9092"}])
        text, rules = self.take("emqx", "rules.json", "actions.json", "connectors.json")
        self.assertEqual(self.status(rules), {"rule_x1": "needs_mapping"})
        self.assertIn("description: \"My rule\"", text)
        self.assertIn('topic: "hot.${clientid}"', text)
        self.assertIn("127.0.0.1:9092", text)
        self.assertIn("direct_dispatch", self.notes(rules["rule_x1"]))
        self.assertIn('payload: "${.}"', text)

    def test_rule__alone_and_old_bridges(self):
        self.write("r.json", {"id": "a b", "sql": 'SELECT * FROM "t"', "actions": ["webhook:w"]})
        self.write("b.conf", "bridges.webhook.w { url = \"http://h/x\", u2 = \"amqp://joe:hunter2@h/x\", enable = false }")
        text, rules = self.take("emqx", "r.json", "b.conf")
        self.assertEqual(self.status(rules), {"a b": "needs_mapping"})
        self.assertIn("switched off", text)
        self.assertIn("http://h/x", text)
        self.assertIn("joe", text)
        self.assertNotIn("hunter2", text)

    def test_comments__nothing_gets_out_of_them(self):
        self.write("e.conf", r'rule_engine.rules { "x y: 1" { sql = "SELECT nosuch(\n\nrules: {}\u2028a: 1\u0085b: 2) FROM" }, ok { sql = "SELECT * FROM \"t\"", actions = ["http:a\nb: c\r\nd: e"] } }')
        text, rules = self.take("emqx", "e.conf", code=1)
        self.assertEqual(rules["ok"]["status"], "needs_mapping")
        self.assertEqual([line for line in re.split("[\n\x85\u2028]", text) if re.match("(y|a|b|d|rules: .)", line)], [])

    def test_mistakes__are_refused_with_their_place(self):
        for text, complaint in [("", "is empty"), ("a = 1\n", "there is no rule in it"), ("a {\n  b = \"x\n", "e.conf:2:7: this quote"),
                                ("\ninclude \"x.conf\"", "e.conf:2:1: include is not followed"),
                                ("a = ${b}\nb = ${a}", "leads back to itself"), ("a{" * 100, "more than 64 deep")]:
            with self.subTest(text[:20]):
                self.write("e.conf", text)
                done = self.do("import", "emqx", "e.conf", code=1)
                self.assertEqual(done.stdout, "")
                self.assertIn(complaint, done.stderr)

    def test_references__to_nothing_are_told(self):
        self.write("e.conf", 'a = ${HOME}\nrule_engine.rules.r { sql = "SELECT * FROM \\"t\\"" }')
        done = self.do("import", "emqx", "e.conf")
        self.assertIn("1:5: ${HOME} is not said in this file", done.stderr)


class Command(Folder):
    def test_usage__of_the_command(self):
        for args in ([], ["aws"], ["azure", "x"], ["aws", "--nope", "x"], ["aws", "x", "--report"], ["aws", "x", "--report", "xml"]):
            with self.subTest(args):
                self.assertIn("sluice import", self.do("import", *args, code=2).stderr)
        self.assertIn("usage: sluice import", self.do("help", "import").stdout)
        self.assertIn("No such file", self.do("import", "aws", "none.json", code=1).stderr)

    def test_output__to_a_file_that_is_not_there(self):
        self.write("r.json", PAYLOAD)
        done = self.do("import", "aws", "r.json", "-o", "out.yaml")
        self.assertEqual(done.stdout, "")
        self.assertIn("r: unchanged\n1 rule: 1 unchanged, 0 need a mapping, 0 refused\n", done.stderr)
        self.do("check", "-c", "out.yaml")
        self.assertIn("not overwritten", self.do("import", "aws", "r.json", "-o", "out.yaml", code=1).stderr)
        self.do("import", "aws", "r.json", "-o", "no/such/folder.yaml", code=3)

    def test_input__from_standard_input_and_bounded(self):
        self.assertIn("unchanged", self.do("import", "aws", "-", stdin=json.dumps(dict(PAYLOAD, ruleName="x"))).stderr)
        self.write("large.json", " " * (16 * 1024 * 1024 + 1))
        self.assertIn("more than 16 MB", self.do("import", "aws", "large.json", code=1).stderr)


if __name__ == "__main__":
    unittest.main()
