"""What answers over HTTP where an emulator has nothing that runs: the services, and the edge before the files."""
import http.server
import threading

from common import PORTS, STRANGER, fault, seen


def make(shop):
    shop.down, shop.open = set(), False

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(503 if self.path in shop.down else 200)
            origin = self.headers.get("Origin")
            if self.path.startswith("/fonts/") and (shop.open or origin == shop.origin):
                self.send_header("Access-Control-Allow-Origin", "*" if shop.open else origin)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    shop.port = server.server_address[1]
    for service in PORTS:
        for path in ("live", "ready"):
            shop.facts["answers"][f"GET {base(shop, service)}/health/{path}"] = seen({"status": 200})


def base(shop, service):
    return f"http://127.0.0.1:{shop.port}/{service}"


def font(shop):
    """How a page loads a font from the distribution, by its name: who asks must have it lead here."""
    return {"url": f"http://assets.{shop.domain}:{shop.port}/fonts/shop.woff2", "origin": shop.origin, "method": "GET"}


def down(shop, path):
    shop.down.add(f"/backend{path}")
    yield {"answers": {f"GET {base(shop, 'backend')}{path}": seen({"status": 503})}}
    shop.down.clear()


@fault("ecs_service_live_failing")
def does_not_live(shop):
    yield from down(shop, "/health/live")


@fault("ecs_service_ready_failing")
def is_not_ready(shop):
    yield from down(shop, "/health/ready")


@fault("cloudfront_cors_wrong")
def every_page_reads_fonts(shop):
    shop.open = True
    asked = [f"GET {font(shop)['url']} origin={origin}" for origin in (shop.origin, STRANGER)]
    yield {"answers": {one: seen({"headers": {"access-control-allow-origin": "*"}}) for one in asked}}
    shop.open = False
