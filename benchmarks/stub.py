"""An S3 that lists made-up versions as fast as it can: pages are rendered once, so that what a client costs shows.

python -m benchmarks.stub PAGES      prints its endpoint; a page holds a thousand versions, of packs spread over data/
"""

from __future__ import annotations

import random
import socket
import sys
import threading
from bisect import bisect_right
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

BUCKET, ROOT = "stub", "bench/"
PER_PAGE = 1000
MOST_KEPT = 2000
"""Pages, of almost half a MiB each."""
DELETED = 20
"""One in so many is a delete marker."""


class Listing:
    """So many pages. Each shows the same names but for the first two bytes, which tell the page."""

    def __init__(self, pages: int) -> None:
        rng = random.Random(0)
        self._prefixes = [f"{number * 65_536 // pages:04x}" for number in range(pages)]
        self._names = sorted(f"{rng.getrandbits(240):060x}" for _ in range(PER_PAGE))
        self._entries = [_entry(name, number, f"{rng.getrandbits(190):032x}") for number, name in enumerate(self._names)]
        self._whole = "".join(self._entries)
        self._kept: dict[tuple[str, int], bytes] = {}
        self._firsts = [self._key(prefix, self._names[0]) for prefix in self._prefixes]
        self._lasts = [self._key(prefix, self._names[-1]) for prefix in self._prefixes]

    @staticmethod
    def _key(prefix: str, name: str) -> str:
        return f"{ROOT}data/{prefix[:2]}/{prefix}{name}"

    def page(self, prefix: str, marker: str) -> bytes:
        """Return the page below a prefix after a key."""
        at = bisect_right(self._lasts, max(marker, prefix))
        if at == len(self._lasts) or not self._firsts[at].startswith(prefix):
            return _render(prefix, "", "", is_truncated=False)
        begin = bisect_right(self._names, marker[len(self._firsts[at]) - len(self._names[0]) :]) if marker >= self._firsts[at] else 0
        if not begin and (kept := self._kept.get((prefix, at))):
            return kept
        entries = self._whole if not begin else "".join(self._entries[begin:])
        page = self._prefixes[at]
        more = at + 1 < len(self._firsts) and self._firsts[at + 1].startswith(prefix)
        made = _render(prefix, entries.replace("@@", page[:2]).replace("##", page[2:]), self._lasts[at] if more else "", is_truncated=more)
        if not begin and len(self._kept) < MOST_KEPT:
            self._kept[(prefix, at)] = made
        return made

    def render(self) -> None:
        """Render what most clients will ask for, as far as it is kept: what this process does meanwhile slows the client down."""
        marker = ""
        for last in self._lasts[:MOST_KEPT]:
            self.page(ROOT, marker)
            marker = last


def _entry(name: str, number: int, version_id: str) -> str:
    said = f"<Key>{ROOT}data/@@/@@##{name}</Key><VersionId>{version_id}</VersionId><IsLatest>true</IsLatest>"
    said += "<LastModified>2026-11-28T00:47:37.000Z</LastModified>"
    owner = f"<Owner><ID>{'a' * 64}</ID><DisplayName>owner</DisplayName></Owner>"
    if number % DELETED == 0:
        return f"<DeleteMarker>{said}{owner}</DeleteMarker>"
    etag = f"<ETag>&quot;{version_id}&quot;</ETag><Size>17825792</Size>"
    return f"<Version>{said}{etag}{owner}<StorageClass>STANDARD</StorageClass></Version>"


def _render(prefix: str, entries: str, last: str, *, is_truncated: bool) -> bytes:
    marker = f"<NextKeyMarker>{last}</NextKeyMarker><NextVersionIdMarker>v</NextVersionIdMarker>" if is_truncated else ""
    said = f"<Name>{BUCKET}</Name><Prefix>{prefix}</Prefix><KeyMarker></KeyMarker><VersionIdMarker></VersionIdMarker>{marker}"
    said += f"<MaxKeys>{PER_PAGE}</MaxKeys><EncodingType>url</EncodingType><IsTruncated>{str(is_truncated).lower()}</IsTruncated>"
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    return f"{head}{said}{entries}</ListVersionsResult>".encode()


def _serve(client: socket.socket, listing: Listing) -> None:
    with client, suppress(OSError):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        got = b""
        while data := client.recv(65_536):
            got += data
            while b"\r\n\r\n" in got:
                request, _, got = got.partition(b"\r\n\r\n")
                method, target = request.decode().split(" ", 2)[:2]
                if method == "HEAD":  # is there an object of the prefix's name?
                    client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                    continue
                query = parse_qs(urlsplit(target).query, keep_blank_values=True)
                if "versions" in query:
                    body = listing.page(query.get("prefix", [""])[0], query.get("key-marker", [""])[0])
                else:  # a client that asks where the bucket is, or whether it has versions
                    body = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n" % len(body))
                client.sendall(body)


def main() -> None:
    """Serve until the standard input ends."""
    listing = Listing(int(sys.argv[1]))
    listing.render()
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)

    def accept() -> None:
        while True:
            threading.Thread(target=_serve, args=(listener.accept()[0], listing), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
