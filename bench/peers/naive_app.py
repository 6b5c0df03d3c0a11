"""The whole-file design as a program: `python -m bench.peers.naive_app FOLDER PORT`. Flask is here because people write
just this.
"""

import logging
import os
import sys
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flask import Flask, Response, request

_NONCE = 12


def make(folder: Path) -> Flask:
    app, aead = Flask(__name__), AESGCM(AESGCM.generate_key(256))

    @app.put("/<name>")
    def upload(name: str) -> Response:
        nonce = os.urandom(_NONCE)
        (folder / name).write_bytes(nonce + aead.encrypt(nonce, request.get_data(), None))
        return Response(status=201)

    @app.get("/<name>")
    def download(name: str) -> Response:
        sealed = (folder / name).read_bytes()
        return Response(aead.decrypt(sealed[:_NONCE], sealed[_NONCE:], None), mimetype="application/octet-stream")

    @app.delete("/<name>")
    def delete(name: str) -> Response:
        (folder / name).unlink()
        return Response(status=204)

    return app


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # no line for each request: the others have none either
    make(Path(sys.argv[1])).run(port=int(sys.argv[2]), threaded=True)
