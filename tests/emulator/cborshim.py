"""CloudWatch for the Rust SDK in front of an emulator: rpc-v2-cbor in, awsJson1.0 out.

    python cborshim.py LISTEN_PORT TARGET_PORT

aws-sdk-cloudwatch speaks only rpc-v2-cbor. moto answers that with 404, and what MiniStack answers cannot be decoded;
both understand awsJson1.0. Everything that is not rpc-v2-cbor is passed on unchanged. Listens on 127.0.0.1 only.
"""
import datetime
import http.client
import http.server
import json
import re
import sys

import cbor2

LISTEN, TARGET = int(sys.argv[1]), int(sys.argv[2])
RPC = re.compile(r"/service/(\w+)/operation/(\w+)")
TIME = re.compile(r"(Timestamp|StartTime|EndTime|LastModified|Date)$")
HOP_BY_HOP = ("connection", "content-length", "transfer-encoding", "host")


def to_json(value):
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    if isinstance(value, dict):
        return {k: to_json(v) for k, v in value.items()}
    if isinstance(value, list):
        return [to_json(v) for v in value]
    return value


def to_cbor(value, key=""):
    """JSON has no time: a number or an ISO date under a name that ends like one of TIME becomes a CBOR time."""
    if isinstance(value, dict):
        return {k: to_cbor(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [to_cbor(v, "Timestamp" if key == "Timestamps" else key) for v in value]
    if TIME.search(key) and isinstance(value, (int, float)):
        return cbor2.CBORTag(1, value)
    if TIME.search(key) and isinstance(value, str) and value[:4].isdigit():
        when = datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
        return cbor2.CBORTag(1, when.timestamp())
    return value


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b"ok\n"
        self.send_response(200 if self.path == "/_shim/health" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}
        headers["Host"] = self.headers.get("Host", "localhost")
        path, rpc = self.path, None
        if self.headers.get("smithy-protocol") == "rpc-v2-cbor":
            rpc = RPC.fullmatch(self.path)
        if rpc:
            body = json.dumps(to_json(cbor2.loads(body)) if body else {}).encode()
            path = "/"
            for name in [n for n in headers if n.lower() in ("content-type", "smithy-protocol", "accept")]:
                del headers[name]
            headers["Content-Type"] = "application/x-amz-json-1.0"
            headers["X-Amz-Target"] = f"{rpc[1]}.{rpc[2]}"
        headers["Content-Length"] = str(len(body))
        upstream = http.client.HTTPConnection("127.0.0.1", TARGET, timeout=60)
        upstream.request("POST", path, body, headers)
        answer = upstream.getresponse()
        data, content_type = answer.read(), answer.getheader("Content-Type") or ""
        upstream.close()
        self.send_response(answer.status)
        if rpc:
            try:
                data = cbor2.dumps(to_cbor(json.loads(data or b"{}")))
            except ValueError:
                data = cbor2.dumps({"__type": "InternalFailure", "message": "the emulator did not answer with JSON"})
            content_type = "application/cbor"
            self.send_header("smithy-protocol", "rpc-v2-cbor")
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", LISTEN), Handler).serve_forever()
