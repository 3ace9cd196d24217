"""A web server whose answers a test chooses, and that remembers what it was asked."""
import http.server
import json
import threading


class Web:
    """answer(request) -> (code, body), body a dict (sent as JSON) or bytes; None: hangs until the end. request has .path, .method,
    .headers, .body (bytes) and .json()."""

    def __init__(self, answer, port=0, tls=None):
        web = self
        self.answer, self.requests, self.over = answer, [], threading.Event()

        class Request:
            def __init__(self, handler, body):
                self.path, self.method, self.headers, self.body = handler.path, handler.command, handler.headers, body

            def json(self):
                return json.loads(self.body)

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                request = Request(self, self.rfile.read(int(self.headers.get("Content-Length") or 0)))
                web.requests.append(request)
                answer = web.answer(request)
                if answer is None:
                    web.over.wait()
                    self.close_connection = True
                    return
                code, body = answer
                data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
                self.send_response(code)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = handle_any

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # the client left

        self.server = Server(("127.0.0.1", port), Handler)
        if tls:  # an ssl.SSLContext
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
