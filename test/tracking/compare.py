"""Reads messages before and after rewriting with Python's email package, and prints what differs beyond links and pixel.

Usage: compare.py BASE BEFORE AFTER [BEFORE AFTER ...]; prints one JSON object a pair, with what was found.
"""
import base64
import email
import email.policy
import html.parser
import json
import re
import sys

base = sys.argv[1]


def target_of(link):
    """What a tracking link leads to; any other link is its own target."""
    if not link or not link.startswith(base + '/t/c/'):
        return link, 0
    code = link[len(base + '/t/c/'):]
    return base64.urlsafe_b64decode(code + '=' * (-len(code) % 4)).decode(), 1


class Reader(html.parser.HTMLParser):
    """The events of an HTML text, with tracking links led back and the pixel left out.

    White space counts as one space: where a line would become too long, it is broken before the pixel.
    """

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.events, self.links, self.pixels = [], 0, 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        if tag == 'img' and dict(attributes).get('src') == base + '/t/o/pixel':
            self.pixels += 1
            return
        led_back = []
        for name, value in attributes:
            target, is_link = target_of(value) if name == 'href' else (value, 0)
            self.links += is_link
            led_back.append((name, target))
        self.events.append(('start', tag, led_back))

    def handle_endtag(self, tag):
        self.events.append(('end', tag))

    def handle_data(self, data):
        if self.events and self.events[-1][0] == 'data':
            data = self.events.pop()[1] + data
        self.events.append(('data', re.sub(r'\s+', ' ', data)))

    def handle_comment(self, data):
        self.events.append(('comment', data))

    def handle_decl(self, decl):
        self.events.append(('declaration', decl))

    def unknown_decl(self, data):
        self.events.append(('declaration', data))


def is_html_body(part):
    return part.get_content_type() == 'text/html' and part.get_content_disposition() in (None, 'inline')


def text_of(part):
    return part.get_payload(decode=True).decode(part.get_content_charset() or 'latin-1', 'surrogateescape')


def longest_line(text):
    return max(map(len, text.splitlines()), default=0)


def compare(before, after):
    with open(before, 'rb') as file:
        old = email.message_from_bytes(file.read(), policy=email.policy.compat32)
    with open(after, 'rb') as file:
        raw = file.read()
        new = email.message_from_bytes(raw, policy=email.policy.compat32)
    problems, links, pixels = [], 0, 0
    old_parts, new_parts = list(old.walk()), list(new.walk())
    if len(old_parts) != len(new_parts):
        problems.append('other structure')
    for one, other in zip(old_parts, new_parts):
        if list(one.raw_items()) != list(other.raw_items()):
            problems.append('other header')
        if one.preamble != other.preamble or one.epilogue != other.epilogue:
            problems.append('other preamble or epilogue')
        if one.defects and not other.defects or [str(d) for d in one.defects] != [str(d) for d in other.defects]:
            problems.append('other defects')
        if one.is_multipart():
            continue
        if not is_html_body(one):
            if one.get_payload() != other.get_payload():
                problems.append('other content of ' + one.get_content_type())
            continue
        old_html, new_html = Reader(text_of(one)), Reader(text_of(other))
        links += new_html.links
        pixels += new_html.pixels
        if old_html.events != new_html.events:
            problems.append('other HTML')
        encoded = (one.get('content-transfer-encoding') or '').lower() in ('quoted-printable', 'base64')
        if encoded and longest_line(other.get_payload()) > 76 or longest_line(raw) > 998:
            problems.append('a line too long')
    return {'problems': problems, 'links': links, 'pixels': pixels}


pairs = sys.argv[2:]
for index in range(0, len(pairs), 2):
    print(json.dumps(compare(pairs[index], pairs[index + 1])))
