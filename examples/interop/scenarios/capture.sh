DESC="--pcap and --keylog: tshark decrypts every message and packet"
# read_capture FILTER: how many packets of the gateway's capture match, decrypted with its key log.
read_capture() {
    WIRESHARK_CONFIG_DIR=$(dir "$OURS")/keys tshark -r "$(dir "$OURS")/gateway.pcap" -o esp.enable_encryption_decode:TRUE \
        -o esp.enable_authentication_check:TRUE -Y "$1" -T fields -e frame.number 2> /dev/null | wc -l
}
steps() {
    up
    pings 5
    down_by_a
    nothing_left
    local ike esp
    ike=$(read_capture 'isakmp.flag_e == 1')
    esp=$(read_capture esp)
    [[ $ike -gt 4 && $ike == "$(read_capture 'isakmp.flag_e == 1 && isakmp.hash && !_ws.malformed')" ]] || fail "of $ike encrypted IKE messages some do not decrypt"
    [[ $esp == 10 && $esp == "$(read_capture 'esp.icv_good == 1 && icmp')" ]] || fail "of $esp ESP packets some do not decrypt"
}
