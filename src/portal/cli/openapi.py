"""`portal openapi`: the OpenAPI document, also if the portal does not run or does not serve it.

Comes in: nothing, not even settings. Leaves: JSON on standard output, for generators and linters.
"""

import json
import os
import secrets
import sys
from pathlib import Path

from portal import config


def openapi() -> None:
    """Print the OpenAPI document, for generators of SDKs; it needs no settings and no portal."""
    from portal.app import create_app, document_of  # noqa: PLC0415  # a slow import that no other command needs

    made_up = {f"PORTAL_{name}_KEY": secrets.token_hex(32) for name in ("MASTER", "SECRET")}
    app = create_app(*config.load(made_up | {"PORTAL_DOCS": "false"}, Path(os.devnull)))
    sys.stdout.write(json.dumps(document_of(app), ensure_ascii=False, indent=2) + "\n")
