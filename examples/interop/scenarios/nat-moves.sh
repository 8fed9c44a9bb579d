DESC="the NAT forgets A, who then comes from another port"
NET=nat ID_A=a.example.test
# strongSwan follows an IKE message, not an ESP packet: where we are A, our question whether it is alive shows it the port.
OUR_PEER='dpd = { idle = "1s", retry = "1s", tries = 5, action = "clear" }'
seen_port() { theirs --list-sas | sed -n 's/.*remote .* @ 192\.0\.2\.254\[\([0-9]*\)\].*/\1/p'; }
moved() { local port; port=$(seen_port); [[ -n $port && $port != "$before" ]]; }
steps() {
    up
    pings 5
    local before
    [[ $OURS == b ]] || before=$(seen_port)
    ip netns exec "$NS_NAT" conntrack -F > /dev/null 2>&1 || fail "conntrack -F"
    if [[ $OURS == b ]]; then
        # The first packet from the new port is answered there.
        flow_begin 56
        our_log 'now at 192.0.2.254:'
        wait_for 10 flow_answered_some 40 || fail "few answers"
        flow_end
    else
        flow_begin 56
        wait_for 15 moved || fail "strongSwan still answers to port $before"
        kill -INT "$FLOW"
        wait_end "$FLOW" 3 || fail "ping does not end"
    fi
    pings 20
    [[ $OURS == none ]] || [[ $(count_log "$(log $OURS)" 'IKE SA up') == 1 ]] || fail "another IKE SA came up"
    down_by_a
    nothing_left
}
