"""A small HTTP agent for the demo: it answers a question with the best matching sentence of the context.

`python -m evaltasks.demo.small_agent` prints one JSON line, `{"endpoint": …}`, and serves until its standard input
closes. It is not a language model: it looks for shared words, is quick, and is often wrong.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY_BYTES_MAX = 1_000_000
_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def answer(question: str, context: str) -> str:
    """Return the sentence of the context that shares most words with the question; the first of several equal ones."""
    wanted = {word.lower() for word in _WORD.findall(question)}
    sentences = [part.strip() for part in _SENTENCE_END.split(context) if part.strip()]
    return max(sentences, key=lambda s: len(wanted & {w.lower() for w in _WORD.findall(s)}), default="")


class _Listener(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        asked = json.loads(self.rfile.read(min(length, BODY_BYTES_MAX)))
        body = json.dumps({"output": answer(str(asked.get("question")), str(asked.get("context")))}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing: the screen belongs to the demo."""


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"endpoint": f"http://127.0.0.1:{server.server_address[1]}/answer"}), flush=True)
    sys.stdin.buffer.read()
    server.shutdown()


if __name__ == "__main__":
    main()
