# roles: a
# cases: held at-once
DESC="brought up by the first packet, $CASE"
OUR_START=traffic
up() { start a; }
# strongSwan as responder installs its SAs when it has worked through the third message of quick mode, here after 300 ms.
# Either our packets are held until then, or what is sent before is lost.
SWAN_CHARON='receive_delay = 300
  receive_delay_type = 32'
case $CASE in
held)
    OUR_TOP='[timing]
outbound_first = "1s"'
    steps() {
        up
        pings 1
        pings 20
        down_by_a
        nothing_left
    }
    ;;
at-once)
    steps() {
        up
        flow_begin 56
        our_log 'tunnel up'
        wait_for 10 flow_answered_some 40 || fail "few answers"
        flow_end early
        down_by_a
        nothing_left
    }
    ;;
esac
