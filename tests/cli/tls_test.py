"""TLS on the command line: what `sluice check` says of a listener's files, and what `pub` and `sub` say of their options."""
import json
import unittest

from harness.broker import Broker, free_port, run_program, temp_folder
from harness.pki import Pki


def setUpModule():
    global pki
    pki = Pki(temp_folder())
    pki.make("other")
    pki.make("late", days=(-20, -2))
    pki.make("soon", days=(-20, 5))
    pki.make("locked", password="secret")


class CheckTls(unittest.TestCase):
    def check(self, **tls):
        path = temp_folder() / "a.yaml"
        path.write_text('listeners:\n  - name: mqtts\n    type: tls\n    bind: "127.0.0.1:8883"\n'
                        f"    tls: {json.dumps(tls)}\n")
        return run_program("check", "-c", str(path), cwd=pki.folder)

    def refused(self, *words, **tls):
        done = self.check(**{"cert": "server.pem", "key": "server.key", **tls})
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        for word in ("a.yaml:5:", "listeners[0].tls", *words):
            self.assertIn(word, done.stderr)

    def test_check__good_files_are_fine(self):
        done = self.check(cert="server.pem", key="server.key", ca="ca.pem", verify_peer="optional",
                          certificates=[{"cert": "other.pem", "key": "other.key"}])
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_check__names_files_that_are_missing_or_do_not_fit(self):
        self.refused("`tls.cert`: cannot read nowhere.pem", cert="nowhere.pem")
        self.refused("`tls.key`: the key in other.key does not belong to the certificate in server.pem", key="other.key")
        self.refused("`tls.key`: locked.key is encrypted; give its password as `tls.key_password`", cert="locked.pem",
                     key="locked.key")
        self.refused("`tls.key_password` does not open the key", cert="locked.pem", key="locked.key", key_password="wrong")
        self.refused("`tls.certificates[1].key`: the key in server.key does not belong", certificates=[
            {"cert": "other.pem", "key": "other.key"}, {"cert": "other.pem", "key": "server.key"}])
        self.refused("`tls.ca`: server.key holds no certificate", ca="server.key", verify_peer="required")
        self.refused("verify_peer: to check client certificates takes `ca`", verify_peer="required")
        self.refused("min_version", "'tls1.1'", min_version="tls1.1")

    def test_check__is_not_content_with_a_certificate_that_has_expired(self):
        self.refused("a certificate has expired", cert="late.pem", key="late.key")
        self.assertEqual(self.check(cert="locked.pem", key="locked.key", key_password="secret").returncode, 0)

    def test_run__starts_with_one_and_says_so(self):
        for cert, said in (("late", "a certificate has expired"), ("soon", "a certificate ends soon")):
            broker = Broker(start=False)
            broker.write_config({"listeners": broker.config["listeners"] + [
                {"name": "mqtts", "type": "tls", "bind": f"127.0.0.1:{free_port()}",
                 "tls": {"cert": pki.path(f"{cert}.pem"), "key": pki.path(f"{cert}.key")}}]})
            with broker.start():
                broker.wait_log(f"WARN .*{said}.*listener=mqtts")


class ClientTls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker, cls.port = Broker(start=False), free_port()
        cls.broker.write_config({"listeners": cls.broker.config["listeners"] + [
            {"name": "mqtts", "type": "tls", "bind": f"0.0.0.0:{cls.port}",
             "tls": {"cert": pki.path("server.pem"), "key": pki.path("server.key"), "ca": pki.path("ca.pem"),
                     "verify_peer": "optional", "alpn_required": True}}]})
        cls.broker.start()

    @classmethod
    def tearDownClass(cls):
        cls.broker.stop()

    def pub(self, *args, port=None, host="localhost"):
        return run_program("pub", "-h", host, "-p", str(port or self.port), "-q", "1", "-t", "t", "-m", "x", *args, cwd=pki.folder)

    def test_pub__speaks_tls(self):
        for args in (["--cafile", "ca.pem"], ["--insecure"], ["--cafile", "ca.pem", "--cert", "other.pem", "--key", "other.key"],
                     ["--cafile", "ca.pem", "--tls-version", "tlsv1.2"], ["--cafile", "ca.pem", "--alpn", "mqtt"]):
            with self.subTest(args=args):
                done = self.pub(*args)
                self.assertEqual(done.returncode, 0, done.stderr)

    def test_pub__says_what_is_wrong_in_words_of_the_command_line(self):
        for args, said in ((["--tls"], "is not among the authorities"),
                           (["--cafile", "nowhere.pem"], "--cafile: cannot read nowhere.pem"),
                           (["--cert", "other.pem"], "--cert needs --key"),
                           (["--cafile", "ca.pem", "--cert", "other.pem", "--key", "server.key"], "--key: the key in server.key"),
                           (["--psk", "00"], "--psk and --psk-identity belong together"),
                           (["--psk", "0", "--psk-identity", "a"], "--psk is the key in hexadecimal"),
                           (["--psk", "00", "--psk-identity", "a"], "the broker does not know the identity 'a'")):
            with self.subTest(args=args):
                done = self.pub(*args)
                self.assertIn(done.returncode, (1, 3))
                self.assertIn(said, done.stderr)
                self.assertNotIn("`tls.", done.stderr)
        done = self.pub("--cafile", "ca.pem", host="127.0.0.2")
        self.assertIn("not for '127.0.0.2'; is this the right server? If so, give -h localhost\n", done.stderr)
        self.assertIn("does the broker speak TLS on this port?", self.pub("--insecure", port=self.broker.port).stderr)
        self.assertNotEqual(self.pub("--insecure", "--alpn", "h2").returncode, 0)
