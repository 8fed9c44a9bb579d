# peer: kernel
# roles: a
# cases: ours theirs
DESC="child SAs renewed by packets, $CASE, extended sequence numbers, five generations under load"
ESP=aes256gcm16-esn
OUR_PEER='nat_traversal = "off"'
SWAN_CHILD='rekey_time = 0s'
case $CASE in
ours) OUR_CHILD='lifetime_packets = 60' ;;
theirs) SWAN_CHILD="$SWAN_CHILD
        life_packets = 120
        rekey_packets = 50
        rand_packets = 0" ;;
esac
steps() {
    up
    flow_begin 56
    our_log 'child SA renewed' 40 5
    flow_end
    note "generations $(count_log "$(log "$OURS")" 'child SA (agreed|renewed)')"
    down_by_a
    nothing_left
}
