#!/usr/bin/env bash
# Runs the demo in several variants and lets tshark read what it wrote: every encrypted IKE message must decrypt, every
# ESP packet must pass its integrity check and decrypt to an IP packet.
#
#   .ci/demo.sh            builds and checks
#   KEEP=DIR .ci/demo.sh   leaves the captures in DIR
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

command -v tshark > /dev/null || { echo "demo.sh lacks tshark (Debian package tshark)" >&2; exit 1; }
cargo build --locked --release -p examples --bin five_steps || exit 1
demo=${CARGO_TARGET_DIR:-target}/release/five_steps
work=${KEEP:-$(mktemp -d)}
[[ -n ${KEEP:-} ]] || trap 'rm -rf "$work"' EXIT

# One option string a line. The one with loss has retransmissions in it.
variants=(
    ""
    "--pfs"
    "--nat"
    "--ipv6"
    "--ipv6 --pfs --nat"
    "--seed 2 --pfs --nat"
    "--seed 3 --loss 10"
    "--loss 20"
    "--mode aggressive"
    "--mode aggressive --nat --pfs"
    "--rekey-phase1"
    "--simultaneous-rekey"
    "--dpd-loss"
)

# read_capture DIR FILTER FIELD: the field of each packet that matches, a line each, decrypted with the keys in DIR.
read_capture() {
    WIRESHARK_CONFIG_DIR=$1 tshark -r "$1/capture.pcap" \
        -o esp.enable_encryption_decode:TRUE -o esp.enable_authentication_check:TRUE \
        -Y "$2" -T fields -e "$3" 2> "$1/tshark.err"
    # Complaints about the key files mean that some line of them is not understood.
    if grep -v 'Running as user' "$1/tshark.err" >&2; then return 1; fi
}

failed=0
complain() {
    echo "  $*" >&2
    failed=1
}

number=0
for options in "${variants[@]}"; do
    number=$((number + 1))
    dir=$work/$number
    mkdir -p "$dir"
    began=$(date +%s%N)
    # shellcheck disable=SC2086 # the options are words
    "$demo" $options --out "$dir" > "$dir/story.txt" || complain "five_steps $options: exit status $?"
    took=$((($(date +%s%N) - began) / 1000000))

    # An identical message, sent again, has no place in the chain of IVs: tshark reads the first one. So what counts are
    # messages, not packets.
    read_capture "$dir" 'isakmp.flag_e == 1' udp.payload | sort -u > "$dir/ike" || failed=1
    read_capture "$dir" 'isakmp.flag_e == 1 && isakmp.hash && !_ws.malformed' udp.payload |
        sort -u > "$dir/ike.read" || failed=1
    ike=$(wc -l < "$dir/ike") ike_read=$(wc -l < "$dir/ike.read")
    esp=$(read_capture "$dir" 'esp' frame.number | wc -l)
    esp_read=$(read_capture "$dir" 'esp.icv_good == 1 && (esp.protocol == 4 || esp.protocol == 41) && !_ws.malformed' \
        frame.number | wc -l)

    printf '%-30s %5d ms  IKE messages encrypted %3d, decrypted %3d  ESP packets %4d, decrypted %4d\n' \
        "${options:-(no options)}" "$took" "$ike" "$ike_read" "$esp" "$esp_read"
    [[ $ike -gt 0 && $ike == "$ike_read" ]] || complain "some IKE messages do not decrypt"
    [[ $esp -gt 0 && $esp == "$esp_read" ]] || complain "some ESP packets do not decrypt"
    [[ $took -lt 10000 ]] || complain "it took more than 10 s"
    tail -n 1 "$dir/story.txt" | grep -Eq '^packets sent [0-9]+, delivered [0-9]+, lost [0-9]+, in the clear 0$' ||
        complain "the last line is: $(tail -n 1 "$dir/story.txt")"
    for step in 'Step 1: interesting traffic' 'Step 5: tunnel termination'; do
        grep -qx "$step" "$dir/story.txt" || complain "there is no heading '$step'"
    done
done

# The same seed gives the same bytes.
"$demo" --out "$work/again" > "$work/again.txt"
cmp "$work/1/capture.pcap" "$work/again/capture.pcap" || complain "two runs with one seed differ"
exit $failed
