"""Verifies a webhook as the Standard Webhooks specification says, with nothing but Python's own library.

Reads {secret, headers, body (Base64)} as JSON from standard input. Prints the payload; ends with 1 where it is not good.
"""
import base64
import hashlib
import hmac
import json
import sys
import time

TOLERANCE = 5 * 60


def verify(secret, headers, body, family):
    message_id = headers[family + "-id"]
    timestamp = headers[family + "-timestamp"]
    if abs(time.time() - int(timestamp)) > TOLERANCE:
        sys.exit("the timestamp is out of tolerance")
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    if not 24 <= len(key) <= 64:
        sys.exit("the secret has %d bytes" % len(key))
    content = message_id.encode() + b"." + timestamp.encode() + b"." + body
    expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    for entry in headers[family + "-signature"].split(" "):
        version, _, signature = entry.partition(",")
        if version == "v1" and hmac.compare_digest(signature, expected):
            return
    sys.exit("no signature of %s matches" % family)


given = json.load(sys.stdin)
raw = base64.b64decode(given["body"])
for name in ("webhook", "svix"):
    verify(given["secret"], given["headers"], raw, name)
print(json.dumps(json.loads(raw)))
