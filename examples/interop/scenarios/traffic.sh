# roles: a
DESC="brought up by the first packet, which is not lost"
OUR_START=traffic
# strongSwan as responder installs its SAs when it has worked through the third message of quick mode; the first packet
# is kept until then.
OUR_TOP='[timing]
outbound_first = "300ms"'
up() { start a; }
steps() {
    up
    pings 1
    pings 20
    down_by_a
    nothing_left
}
