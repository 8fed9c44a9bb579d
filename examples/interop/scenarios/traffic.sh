# roles: a
DESC="brought up by the first packet, which is not lost"
OUR_START=traffic
up() {
    if [[ $OURS == a ]]; then start a; else A --initiate --child c --timeout 15 > "$out/initiate.out" 2>&1; fi
}
steps() {
    up
    # strongSwan as responder installs its SAs at the third message of quick mode: a packet released right behind that
    # message can be too early for it. So the first is sent alone.
    pings 1
    pings 20
    down_by_a
    nothing_left
}
