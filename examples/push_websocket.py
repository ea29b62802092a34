"""Push a file to `cavsync serve` as a live stream, and print what it answers.

python push_websocket.py video.mp4 ws://127.0.0.1:8000/v1/streams/NAME
"""

import json
import sys
import threading

import av
from websockets.sync.client import ClientConnection, connect


def chunk(frame: av.VideoFrame | av.AudioFrame) -> bytes:
    """A frame or audio as a line of JSON and the bytes."""
    if isinstance(frame, av.VideoFrame):
        data = frame.to_ndarray(format="rgb24")
        header = {"type": "video", "format": "rgb24", "width": frame.width, "height": frame.height}
    else:
        data = av.AudioResampler("s16", "stereo", frame.sample_rate).resample(frame)[0].to_ndarray()
        header = {"type": "audio", "format": "s16le", "channels": 2, "sample_rate_hz": frame.sample_rate}
    return json.dumps({**header, "pts_seconds": frame.time}).encode() + b"\n" + data.tobytes()


def show(socket: ClientConnection) -> None:
    """Print every answer; a sender that does not read its answers is made to wait."""
    for message in socket:
        print(message, flush=True)


with av.open(sys.argv[1]) as media, connect(sys.argv[2], max_size=None) as socket:
    reader = threading.Thread(target=show, args=[socket])
    reader.start()
    for frame in media.decode(media.streams.video[0], media.streams.audio[0]):
        socket.send(chunk(frame))
    socket.send('{"type": "flush"}')
    reader.join()
