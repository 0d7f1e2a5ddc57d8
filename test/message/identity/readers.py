"""Reads mailboxes as Python does: one field body a line, Base64, in; a JSON list of each reader's addresses, out."""

import base64
import email.policy
import email.utils
import json
import sys
from email.parser import BytesHeaderParser

POLICY = email.policy.default
PARSER = BytesHeaderParser(policy=POLICY)


def by_getaddresses(text):
    return [address for _, address in email.utils.getaddresses([text]) if "@" in address]


def by_headerregistry(body):
    try:
        field = PARSER.parsebytes(b"From: " + body + b"\r\n\r\n")["from"]
        specs = [address.addr_spec.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for address in field.addresses]
        return [spec for spec in specs if "@" in spec]
    except Exception:  # It has faults of its own, after which nobody is shown a sender.
        return []


for line in sys.stdin:
    body = base64.b64decode(line)
    text = body.decode("utf-8", "replace")
    print(json.dumps([by_getaddresses(text), by_headerregistry(body)]))
