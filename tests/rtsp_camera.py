"""RTSP camera (RFC 2326) with a password: one interleaved stream of MPEG-2 TS over RTP (RFC 2250)."""

from __future__ import annotations

import base64
import socketserver
import struct
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

_TS_PACKET = 188
_CHUNK = 7 * _TS_PACKET
_CLOCK = 90_000
_SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=door\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 33\r\na=control:track1\r\n"
)


class RtspCamera:
    """Sends all frames to each connection, then closes it.

    Parameters
    ----------
    frames
        BGR, ``uint8`` of shape ``(height, width, 3)``, all of one size.
    rate
        Frames per second.
    folder
        Folder of the stream's file.
    """

    user, password = "mallory", "hunter2"

    def __init__(self, frames: Sequence[np.ndarray], rate: float, folder: Path) -> None:
        self.stream = _transport_stream(frames, rate, folder / "camera.ts")
        self.seconds = len(frames) / rate
        self.plays = 0
        camera = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                try:
                    camera._serve(self)
                except OSError:
                    return  # the client has disconnected

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"rtsp://{self.user}:{self.password}@127.0.0.1:{self.server.server_address[1]}/door?key=abc123"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def _serve(self, connection: socketserver.StreamRequestHandler) -> None:
        expected = "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        while (request := _request(connection)) is not None:
            verb, headers = request
            if verb == "OPTIONS":
                _respond(connection, headers, "200 OK", "Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n")
            elif headers.get("authorization") != expected:
                _respond(connection, headers, "401 Unauthorized", 'WWW-Authenticate: Basic realm="door"\r\n')
            elif verb == "DESCRIBE":
                _respond(connection, headers, "200 OK", "Content-Type: application/sdp\r\n", _SDP)
            elif verb == "SETUP" and "interleaved" not in headers.get("transport", ""):
                _respond(connection, headers, "461 Unsupported Transport")
            elif verb == "SETUP":
                _respond(connection, headers, "200 OK", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n")
            elif verb == "PLAY":
                _respond(connection, headers, "200 OK")
                self.plays += 1
                self._play(connection)
                return
            else:
                return

    def _play(self, connection: socketserver.StreamRequestHandler) -> None:
        start_time = time.monotonic()
        for number, start in enumerate(range(0, len(self.stream), _CHUNK)):
            due = self.seconds * start / len(self.stream)
            time.sleep(max(0.0, start_time + due - time.monotonic()))
            header = struct.pack(">BBHII", 0x80, 33, number & 0xFFFF, int(due * _CLOCK), 7)
            packet = header + self.stream[start : start + _CHUNK]
            connection.wfile.write(struct.pack(">cBH", b"$", 0, len(packet)) + packet)


def _request(connection: socketserver.StreamRequestHandler) -> tuple[str, dict[str, str]] | None:
    line = connection.rfile.readline().decode("ascii", "replace").split()
    if not line:
        return None
    headers: dict[str, str] = {}
    while (header := connection.rfile.readline().decode("utf-8", "replace").strip()) != "":
        name, _, value = header.partition(":")
        headers[name.lower()] = value.strip()
    return line[0], headers


def _respond(
    connection: socketserver.StreamRequestHandler,
    request_headers: dict[str, str],
    status: str,
    headers: str = "",
    body: str = "",
) -> None:
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    head = f"RTSP/1.0 {status}\r\nCSeq: {request_headers.get('cseq', '0')}\r\nSession: 1\r\n{headers}{length}\r\n"
    connection.wfile.write((head + body).encode())


def _transport_stream(frames: Sequence[np.ndarray], rate: float, path: Path) -> bytes:
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), rate, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path.read_bytes()
