# roles: a
# cases: tunnel transport
DESC="a gateway that is killed leaves nothing open: $CASE"
PROTECTS=$CASE
# A default route would lead the packets out.
NET=nat
OUR_ONCE=
case $CASE in
tunnel) to=$INNER_B from=$INNER_A ;;
transport)
    OUR_START=never
    CLEAR=icmp
    ;;
esac
steps() {
    if [[ $CASE == tunnel ]]; then
        up
        pings 5
    else
        to=$ADDR_B from=$ADDR_A
        start a
    fi
    kill -KILL "$(< "$out/a/pid")"
    wait_end "$(< "$out/a/pid")" 3 || fail "the gateway lives on"
    ! on a ping -n -c 1 -w 1 -I "$from" "$to" > "$out/after" 2>&1 || fail "there is a way past the gateway"
    # The next one finds what was left, and does its work.
    start a
    our_log 'listening on' 5
    down_by_a
    wait_for 5 nothing_in_the_way || fail "routes are left behind"
    end_phase1
}
nothing_in_the_way() { ! on a ip route show table all | grep -q '^unreachable'; }
