"""What a capture of the network holds: TCP streams put together again, byte by byte, and whether they are TLS records and nothing else."""

import struct

SLL, SLL2, ETHERNET = 113, 276, 1
TLS_TYPES = {20: "change cipher", 21: "alert", 22: "handshake", 23: "data"}
TLS_LONGEST = 16384 + 256
TLS13 = bytes.fromhex("002b00020304")  # supported_versions of a ServerHello: 1.3


class Stream:
    """One direction of one connection."""

    def __init__(self, name, first):
        self.name = name
        self.first = first & 0xFFFFFFFF  # sequence number of data[0]
        self.data = bytearray()
        self.waiting = {}  # offset: bytes, of segments that came before what they follow

    def add(self, seq, payload):
        at = (seq - self.first) & 0xFFFFFFFF
        base = len(self.data) & ~0xFFFFFFFF
        at += base
        if at - len(self.data) > 1 << 31:
            at -= 1 << 32
        elif len(self.data) - at > 1 << 31:
            at += 1 << 32
        if at < 0:
            payload, at = payload[-at:], 0
        if at > len(self.data):
            if len(self.waiting.get(at, b"")) < len(payload):
                self.waiting[at] = payload
            return
        self._append(at, payload)
        while self.waiting:
            ready = [o for o in self.waiting if o <= len(self.data)]
            if not ready:
                break
            for offset in ready:
                self._append(offset, self.waiting.pop(offset))

    def _append(self, at, payload):
        have = len(self.data) - at
        if have < len(payload):
            self.data += payload[have:]

    def gap(self):
        return min(self.waiting) - len(self.data) if self.waiting else 0

    def not_tls(self):
        """Why this is no sequence of TLS records; None: it is."""
        at, first = 0, True
        while at + 5 <= len(self.data):
            kind, version, n = struct.unpack_from(">BHH", self.data, at)
            if kind not in TLS_TYPES or version not in (0x0301, 0x0303) or not 0 < n <= TLS_LONGEST:
                return f"{self.name}: byte {at} of {len(self.data)} begins no TLS record: {bytes(self.data[at:at + 16])!r}"
            if first and kind not in (22, 21):
                return f"{self.name}: begins with a record of {TLS_TYPES[kind]}"
            if first and kind == 22 and n > 5 and self.data[at + 5] == 2 and TLS13 not in self.data[at : at + 5 + n]:
                return f"{self.name}: a ServerHello that is not TLS 1.3"
            at, first = at + 5 + n, False
        rest = bytes(self.data[at:])
        if rest and rest[0] not in TLS_TYPES:
            return f"{self.name}: ends with {rest!r}"
        return None


class Capture:
    def __init__(self):
        self.streams, self.open, self.others = [], {}, set()
        self.packets = 0

    def read(self, path):
        with open(path, "rb") as f:
            head = f.read(24)
            order = {b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<"}.get(head[:4])
            if not order:
                raise ValueError(f"{path}: no pcap file: {head[:4].hex()}")
            link = struct.unpack_from("<I", head, 20)[0] & 0xFFFF
            while len(record := f.read(16)) == 16:
                caught, long = struct.unpack_from("<II", record, 8)
                frame = f.read(caught)
                if caught != long:
                    raise ValueError(f"{path}: {caught} of the {long} bytes of a packet")
                self.packets += 1
                self._frame(link, frame)
        return self

    def _frame(self, link, frame):
        at, where = {ETHERNET: (14, 12), SLL: (16, 14), SLL2: (20, 0)}[link]
        kind = struct.unpack_from(">H", frame, where)[0]
        packet = frame[at:]
        if kind == 0x0800:
            head, protocol = (packet[0] & 15) * 4, packet[9]
            end = struct.unpack_from(">H", packet, 2)[0] or len(packet)  # 0: longer than the field can say
            source, to = packet[12:16], packet[16:20]
        elif kind == 0x86DD:
            head, protocol, end = 40, packet[6], 40 + struct.unpack_from(">H", packet, 4)[0]
            end = end if end > 40 else len(packet)
            source, to = packet[8:24], packet[24:40]
        else:
            if kind != 0x0806:
                self.others.add(f"frames of type {kind:#06x}")
            return
        if protocol == 6:
            self._segment(source, to, packet[head:end])
        elif protocol not in (1, 58, 0):  # ICMP, and what IPv6 says of itself
            self.others.add(f"packets of IP protocol {protocol}")

    def _segment(self, source, to, tcp):
        sport, dport, seq, _, offset, flags = struct.unpack_from(">HHIIBB", tcp)
        key = (source, sport, to, dport)
        payload = tcp[(offset >> 4) * 4 :]
        stream = self.open.get(key)
        if flags & 2:
            if stream is None or stream.data or stream.first != (seq + 1) & 0xFFFFFFFF:
                stream = self._new(key, seq + 1)
            return
        if payload and not flags & 4:
            if stream is None:
                stream = self._new(key, seq)
            stream.add(seq, payload)

    def _new(self, key, first):
        source, sport, to, dport = key
        name = f"{'.'.join(map(str, source[-4:]))}:{sport} to {'.'.join(map(str, to[-4:]))}:{dport}"
        stream = self.open[key] = Stream(name, first)
        self.streams.append(stream)
        return stream

    def bytes(self):
        return sum(len(s.data) for s in self.streams)

    def connections(self):
        return sum(1 for s in self.streams if s.data) // 2

    def holding(self, text):
        """The first stream that has this text."""
        return next((s for s in self.streams if text in s.data), None)

    def not_tls(self):
        """What is in it besides TLS: sentences."""
        wrong = [f"{s.name}: {s.gap()} bytes were not captured" for s in self.streams if s.gap()]
        wrong += [why for s in self.streams if (why := s.not_tls())]
        return wrong + sorted(self.others)
