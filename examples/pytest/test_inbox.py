# A test of an application's mail with pytest. While `make dev` runs:
#
#   export API_KEY="$(cat .dev/api-key)" SMTP_CA=.dev/tls/ca.crt
#   pytest examples/pytest/test_inbox.py
#
# In staging, INBOX_URL says where the inbox is, and INBOX_TOKEN its token.
import json
import os
import smtplib
import ssl
import time
import urllib.parse
import urllib.request
from email.message import EmailMessage

INBOX_URL = os.environ.get("INBOX_URL", "http://localhost:8025")
INBOX_TOKEN = os.environ.get("INBOX_TOKEN")


def inbox(path, json_body=None, **query):
    """Asks the inbox, and gives what it answers."""
    request = urllib.request.Request(f"{INBOX_URL}/api{path}?{urllib.parse.urlencode(query)}")
    if INBOX_TOKEN:
        request.add_header("Authorization", f"Bearer {INBOX_TOKEN}")
    if json_body is not None:
        request.data = json.dumps(json_body).encode()
        request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def sign_up(address):
    """In the place of your application."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "hello@demo.test", address, "Confirm your address"
    message.set_content("Welcome: https://app.example.com/confirm?code=4711")
    message.add_attachment(b"%PDF-1.4", maintype="application", subtype="pdf", filename="terms.pdf")
    with smtplib.SMTP("localhost", int(os.environ.get("SMTP_PORT", "2587"))) as smtp:
        smtp.starttls(context=ssl.create_default_context(cafile=os.environ["SMTP_CA"]))
        smtp.login("apikey", os.environ["API_KEY"])
        smtp.send_message(message)


def test_who_signs_up_gets_a_link_to_confirm():
    address = f"ada+{time.time_ns()}@example.com"  # a new one in each run
    sign_up(address)

    # Answers as soon as the message is there.
    messages = inbox("/messages", to=address, wait="30s")["messages"]
    assert [message["subject"] for message in messages] == ["Confirm your address"]

    message = inbox(f"/messages/{messages[0]['id']}")
    assert "https://app.example.com/confirm?code=4711" in message["text"]
    assert [part["filename"] for part in message["parts"] if part["role"] == "attachment"] == ["terms.pdf"]

    # The address does not exist after all: your application hears of it by its webhook.
    assert inbox(f"/messages/{messages[0]['id']}/events", {"type": "bounced"}) == {"recipients": [address]}
