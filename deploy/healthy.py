"""`healthy.py WHERE…`: exit 0 if every WHERE answers: a URL with 200, a Unix socket by taking the connection. The standard library only: it runs often."""

import socket
import sys
import urllib.request

TIMEOUT_S = 5.0


def answers(where: str) -> bool:
    """Whether somebody is there."""
    try:
        if where.startswith("http://"):
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(where, timeout=TIMEOUT_S) as answer:
                return bool(answer.status == 200)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(TIMEOUT_S)
            probe.connect(where)
            return True
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(not (sys.argv[1:] and all(answers(where) for where in sys.argv[1:])))
