#!/usr/bin/env python3
"""Scapy as an ESP peer: its packets are opened by esp-core, and esp-core's by it.

    pip install -r examples/interop/scapy-requirements.txt
    cargo build -p examples --bin esp_peer [--features legacy]
    examples/interop/scapy-esp.py target/debug/esp_peer

Every cipher, integrity, mode, family and encapsulation that both have, with and without ESN, and in transport mode with IPv4
options and chains of IPv6 headers. With ESN also SAs on their way over 2^32 and far beyond, where the high half, which no packet
carries, counts for the ICV. Exit 0 if all agree.
"""
import itertools
import os
import subprocess
import sys

from scapy.layers.inet import IP, UDP, IPOption_NOP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN
from scapy.layers.ipsec import ESP, SecurityAssociation

peer = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(*words):
    peer.stdin.write(" ".join(words) + "\n")
    peer.stdin.flush()
    return peer.stdout.readline().strip()


LEGACY = "no such algorithms" not in ask("seal", "3des-cbc", "hmac-md5-96", "tunnel", "none", "-", "192.0.2.1", "192.0.2.2", "00000100", "00" * 40, "45")

# ours, scapy's, bytes of key and salt
CIPHERS = [("aes-cbc", "AES-CBC", n) for n in (16, 24, 32)] + [("null", "NULL", 0)]
AEADS = [("aes-gcm", "AES-GCM", n + 4) for n in (16, 24, 32)]
AEADS += [("aes-gmac", "AES-NULL-GMAC", n + 4) for n in (16, 24, 32)]
AEADS += [("chacha20-poly1305", "CHACHA20-POLY1305", 36)]
HMACS = [
    ("hmac-sha1-96", "HMAC-SHA1-96", 20),
    ("hmac-sha256-128", "SHA2-256-128", 32),
    ("hmac-sha384-192", "SHA2-384-192", 48),
    ("hmac-sha512-256", "SHA2-512-256", 64),
]
if LEGACY:
    CIPHERS.append(("3des-cbc", "3DES", 24))
    HMACS.append(("hmac-md5-96", "HMAC-MD5-96", 16))
ALGORITHMS = [(c, h) for c, h in itertools.product(CIPHERS, HMACS)] + [(a, ("-", None, 0)) for a in AEADS]

OUTER = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
INNER = {4: ("10.1.0.1", "10.2.0.1"), 6: ("fd01::1", "fd02::1")}
SPI = 0x1234ABCD


def header(family, source, destination, more=False):
    """With options of every kind that both know where to leave, if there is to be more."""
    if family == 4:
        return IP(src=source, dst=destination, options=[IPOption_NOP()] * 8 if more else [])
    plain = IPv6(src=source, dst=destination)
    padding = [PadN(optdata=b"\0" * 4)]
    # A routing header without segments left: ESP goes behind it, the destination options go inside.
    chain = IPv6ExtHdrHopByHop(options=padding) / IPv6ExtHdrRouting(segleft=0, addresses=[])
    return plain / chain / IPv6ExtHdrDestOpt(options=padding) if more else plain


def whole(packet):
    """As bytes, with every length and checksum computed."""
    return bytes(packet.__class__(bytes(packet)))


def across():
    """Numbers in order and out of order, on both sides of the first and of a later multiple of 2^32."""
    tried = failed = 0
    key_of = lambda cipher, hmac: (os.urandom(cipher[2]), os.urandom(hmac[2]))
    for (cipher, hmac), edge in itertools.product(ALGORITHMS, (2**32, 7 * 2**32)):
        key, mac_key = key_of(cipher, hmac)
        options = dict(spi=SPI, crypt_algo=cipher[1], crypt_key=key, esn_en=True, tunnel_header=header(4, *OUTER[4]))
        if hmac[1]:
            options.update(auth_algo=hmac[1], auth_key=mac_key)

        def scapys(number):
            return SecurityAssociation(ESP, seq_num=number % 2**32, esn=number // 2**32, **options)

        common = [cipher[0], hmac[0], "tunnel", "none", f"esn:{edge - 3}"]
        tail = [f"{SPI:08x}", (key + mac_key).hex()]
        numbers = [edge - 2, edge - 1, edge, edge + 1, edge + 2]
        packets = [bytes(header(4, *INNER[4]) / UDP(sport=1000, dport=2000) / bytes([n % 251] * 40)) for n in numbers]

        tried += len(numbers)
        # The last one that is before the edge comes late.
        order = [0, 2, 4, 1, 3]
        theirs = [whole(scapys(numbers[at]).encrypt(IP(packets[at]))).hex() for at in order]
        opened = ask("open", *common, *reversed(OUTER[4]), *tail, ",".join(theirs))
        if opened != ",".join(packets[at].hex() for at in order):
            failed += len(numbers)
            print(f"{' '.join(common)}: scapy's packets open to {opened}")
        tried += len(numbers)
        sealed = ask("seal", *common, *OUTER[4], *tail, ",".join(packet.hex() for packet in packets)).split(",")
        for number, packet, ours in itertools.zip_longest(numbers, packets, sealed):
            try:
                good = whole(scapys(number).decrypt(IP(bytes.fromhex(ours)))) == packet
            except Exception as error:  # noqa: BLE001: whatever scapy says is the finding
                good, ours = False, f"{error!r} {ours}"
            # With another high half it must not: that would be a peer that leaves it out of the ICV.
            try:
                wrong = scapys(number + 2**32).decrypt(IP(bytes.fromhex(ours)))
                good = False
                ours = f"opens under another high half to {wrong!r}"
            except Exception:  # noqa: BLE001: as it should
                pass
            if not good:
                failed += 1
                print(f"{' '.join(common)} {number}: our packet: {ours[:200]}")
    return tried, failed


def main():
    tried, failed = across()
    cases = itertools.product(ALGORITHMS, ("tunnel", "transport"), (4, 6), (4, 6), ("none", "udp"), (False, True), (0, 1, 37, 1200), (False, True))
    for (cipher, hmac), mode, outer, inner, encap, esn, size, more in cases:
        if more and (mode == "tunnel" or size != 37 or esn):
            continue
        if more and encap == "udp" and outer == 6:
            continue  # scapy names UDP in the fixed header and leaves the chain out
        if mode == "transport" and inner != outer:
            continue
        key, mac_key = os.urandom(cipher[2]), os.urandom(hmac[2])
        ends = OUTER[outer]
        options = dict(spi=SPI, seq_num=1, crypt_algo=cipher[1], crypt_key=key, esn_en=esn, esn=0)
        if hmac[1]:
            options.update(auth_algo=hmac[1], auth_key=mac_key)
        if mode == "tunnel":
            options["tunnel_header"] = header(outer, *ends)
        if encap == "udp":
            options["nat_t_header"] = UDP(sport=4500, dport=4500)
        sa = SecurityAssociation(ESP, **options)
        addresses = INNER[inner] if mode == "tunnel" else ends
        packet = header(inner, *addresses, more) / UDP(sport=1000, dport=2000) / os.urandom(size)
        packet = packet.__class__(bytes(packet))
        common = [cipher[0], hmac[0], mode, encap, "esn" if esn else "-"]
        tail = [f"{SPI:08x}", (key + mac_key).hex()]
        where = f"{' '.join(common)} outer IPv{outer} inner IPv{inner} {size}{' options' if more else ''}"

        tried += 1
        theirs = whole(sa.encrypt(packet))
        opened = ask("open", *common, *reversed(ends), *tail, theirs.hex())
        if opened != bytes(packet).hex():
            failed += 1
            print(f"{where}: scapy's packet opens to {opened}")
        tried += 1
        ours = ask("seal", *common, *ends, *tail, bytes(packet).hex())
        try:
            sealed = bytes.fromhex(ours)
            back = sa.decrypt((IP if outer == 4 else IPv6)(sealed))
            good = whole(back) == bytes(packet)
        except Exception as error:  # noqa: BLE001: whatever scapy says is the finding
            good, back = False, error
        if not good:
            failed += 1
            print(f"{where}: our packet opens to {back!r} ({ours[:80]})")
    print(f"{tried} packets, {failed} wrong")
    return 1 if failed or not tried else 0


sys.exit(main())
