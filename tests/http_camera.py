"""An HTTP camera on this machine that drops connections."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
from numpy.typing import NDArray


class HttpCamera:
    """An HTTP camera that repeats frames as JPEG pictures and drops each connection.

    Parameters
    ----------
    frames
        BGR, ``uint8`` of shape ``(height, width, 3)``.
    frames_per_connection
        Frames sent before the connection is dropped; can be changed meanwhile.
    """

    def __init__(self, frames: Sequence[NDArray[np.uint8]], frames_per_connection: int) -> None:
        self.pictures = [cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames]
        self.frames_per_connection = frames_per_connection
        self.connections: list[float] = []
        self.refused = 0  # number of the next requests to refuse
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if camera.refused > 0:
                    camera.refused -= 1
                    self.send_error(503)
                    return
                camera.connections.append(time.monotonic())
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
                self.end_headers()
                try:
                    for number in range(camera.frames_per_connection):
                        picture = camera.pictures[number % len(camera.pictures)]
                        self.wfile.write(b"--next\r\nContent-Type: image/jpeg\r\n")
                        self.wfile.write(f"Content-Length: {len(picture)}\r\n\r\n".encode() + picture + b"\r\n")
                        time.sleep(1 / 30)
                except OSError:
                    return  # the client is gone

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://mallory:hunter2@127.0.0.1:{self.server.server_address[1]}/door?key=abc123"
