# cases: ours theirs
DESC="IKE messages in fragments, $CASE"
case $CASE in
ours) OUR_TOP='[limits]
datagram = 200' ;;
theirs) SWAN_CONN='fragmentation = force'
    SWAN_CHARON='fragment_size = 250' ;;
esac
steps() {
    up
    pings 3
    [[ $(tcpdump -nr "$out/capture.pcap" 'udp port 500 or udp port 4500' 2> /dev/null | grep -c 'isakmp') -gt 12 ]] || fail "no fragments were sent"
    down_by_a
    nothing_left
}
