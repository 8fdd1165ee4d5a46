"""A port on loopback at which somebody answers, whoever comes."""

import socket
import threading
from contextlib import contextmanager


@contextmanager
def answering(answer):
    """The port of one that does `answer(connection)` with each in turn, and keeps the connections open."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        kept = []

        def serve():
            try:
                while True:
                    kept.append(listener.accept()[0])
                    answer(kept[-1])
            except OSError:
                return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            for one in kept:
                one.close()
