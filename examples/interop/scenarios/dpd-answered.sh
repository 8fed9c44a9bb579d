DESC="the peer's R-U-THERE answered"
SWAN_CONN='dpd_delay = 1s
    dpd_timeout = 4s'
steps() {
    up
    pings 1
    sleep 6
    has_log "$(theirs_dir)/charon.log" 'DPD_ACK' 3 || fail "fewer than three R-U-THERE-ACK"
    pings 3
    down_by_a
    nothing_left
}
