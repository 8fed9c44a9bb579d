DESC="the gateway tells a sender by ICMP what fits the path"
OUR_TOP=$'mtu = 1500\npath_mtu = 1500'
# largest DATA: one ping that must not be fragmented, from the gateway's side; what comes back, or is said of it.
largest() {
    local from=$INNER_A to=$INNER_B
    [[ $OURS == a ]] || from=$INNER_B to=$INNER_A
    on "$OURS" ping -n -c 1 -w 2 -M do -s "$1" -I "$from" "$to" 2>&1 || true
}
steps() {
    local fits
    up
    # 1472 bytes behind 8 of ICMP and 20 of IPv4 fill the device, and not the link that has to carry ESP around them.
    largest 1472 > "$out/pings"
    fits=$(sed -n 's/.*mtu *= *\([0-9]*\).*/\1/p' "$out/pings" | head -n 1)
    if [[ -z $fits ]]; then
        fail "nobody says what fits"
    else
        note "$fits bytes fit"
        largest $((fits - 28)) | grep -q ' 0% packet loss' || fail "$fits bytes do not get through"
        # What the sender knows by now, it does not send.
        largest $((fits - 27)) | grep -q ' 100% packet loss' || fail "one byte more gets through"
    fi
    down_by_a
    nothing_left
}
