# cases: ours theirs
DESC="phase 1 renewed under load, $CASE"
case $CASE in
ours)
    OUR_TOP='[timing]
rekey_percent = 8
rekey_percent_responder = 8
rekey_jitter_percent = 0'
    OUR_PEER='lifetime = "60s"
lifetime_policy = "claim"'
    SWAN_CONN='rekey_time = 0s'
    ;;
theirs) SWAN_CONN='rekey_time = 4s
    rand_time = 0s
    over_time = 10s' ;;
esac
steps() {
    up
    flow_begin 56
    our_log 'IKE SA up' 30 3
    flow_end
    down_by_a
    nothing_left
}
