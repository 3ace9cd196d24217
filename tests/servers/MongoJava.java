/*
 * MongoJava: mongo-java-server on one port, with its data in an H2 file.
 *
 *     java -cp 'JARS/*' MongoJava.java PORT FILE [KEY CERTIFICATE]
 *
 * Says "ready" when it listens. Every command is committed before its answer, so that what was acknowledged survives a
 * SIGKILL; the backend by itself commits now and then. With a key and a certificate (PEM) it speaks TLS.
 */
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import java.io.FileInputStream;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;

public class MongoJava {
	static class Durable extends H2Backend {
		Durable(String file) {
			super(file);
		}

		@Override
		public Document handleMessage(MongoMessage message) {
			try {
				return super.handleMessage(message);
			} finally {
				commit();
			}
		}
	}

	/* An elliptic curve key in PKCS#8, as the CA of the tests makes them. */
	static PrivateKey key(String path) throws Exception {
		String text = Files.readString(Path.of(path)).replaceAll("-----[A-Z ]+-----", "").replaceAll("\\s", "");
		return KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(text)));
	}

	static X509Certificate certificate(String path) throws Exception {
		try (InputStream in = new FileInputStream(path)) {
			return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(in);
		}
	}

	public static void main(String[] args) throws Exception {
		MongoServer server = new MongoServer(new Durable(args[1]));
		if (args.length == 4) {
			server.enableSsl(key(args[2]), null, certificate(args[3]));
		}
		server.bind("127.0.0.1", Integer.parseInt(args[0]));
		System.out.println("ready");
		System.out.flush();
		Thread.currentThread().join();
	}
}
