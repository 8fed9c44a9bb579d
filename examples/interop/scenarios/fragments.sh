# cases: ours theirs
DESC="IKE messages in fragments, $CASE"
case $CASE in
ours) OUR_TOP='[limits]
datagram = 200'
    FRAGMENTS='reassembled fragmented IKE message' ;;
theirs) SWAN_CONN='fragmentation = force'
    SWAN_CHARON='fragment_size = 250'
    FRAGMENTS='splitting IKE message' ;;
esac
steps() {
    up
    pings 3
    has_log "$(theirs_dir)/charon.log" "$FRAGMENTS" || fail "no fragments were sent"
    down_by_a
    nothing_left
}
