"""The bound of `benchmarks.http`: a Flask application of one line in the server we use; prints its port."""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402  (only after patching)

import gevent  # noqa: E402
from flask import Flask  # noqa: E402

from fscontrol.http.server import HttpServer  # noqa: E402

if __name__ == "__main__":
    app = Flask("hello", static_folder=None)
    app.add_url_rule("/", "hello", lambda: "hello world\n")
    server = HttpServer("127.0.0.1", 0, app)
    server.start()
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    gevent.wait()
