# cases: time-ours time-theirs bytes-ours bytes-theirs packets-ours packets-theirs
# Five generations of child SAs with a flow running; no ping may be lost.
DESC="child SAs renewed by $CASE, five generations under load"
SIZE=56
# Ours count as responder, too.
OUR_PEER="lifetime_policy = 'claim'"
case $CASE in
time-ours)
    OUR_TOP='[timing]
rekey_percent = 5
rekey_percent_responder = 5
rekey_jitter_percent = 0
overlap = "2s"'
    OUR_CHILD='lifetime = "60s"'
    SWAN_CHILD='rekey_time = 0s'
    ;;
time-theirs) SWAN_CHILD='rekey_time = 3s
        rand_time = 0s
        life_time = 60s' ;;
bytes-ours)
    OUR_CHILD='lifetime_kilobytes = 100'
    SWAN_CHILD='rekey_time = 0s'
    SIZE=1000
    ;;
bytes-theirs)
    SWAN_CHILD='rekey_time = 0s
        life_bytes = 100000
        rekey_bytes = 50000
        rand_bytes = 0'
    SIZE=1000
    ;;
packets-ours)
    OUR_CHILD='lifetime_packets = 60'
    SWAN_CHILD='rekey_time = 0s'
    ;;
packets-theirs) SWAN_CHILD='rekey_time = 0s
        life_packets = 120
        rekey_packets = 50
        rand_packets = 0' ;;
esac
steps() {
    up
    flow_begin $SIZE
    our_log 'child SA renewed' 40 5
    flow_end
    note "generations $(count_log "$(log "$OURS")" 'child SA (agreed|renewed)')"
    down_by_a
    nothing_left
}
