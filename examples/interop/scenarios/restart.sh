# cases: ours theirs ours-aggressive theirs-aggressive
DESC="${CASE%-*} is killed without a word and begins anew"
[[ $CASE != *-aggressive ]] || MODE=aggressive
OUR_ONCE=
OUR_TOP='[timing]
overlap = "2s"'
SWAN_CONN='unique = replace'
SWAN_CHILD='start_action = none'
OUR_PEER='dpd = { idle = "1s", retry = "1s", tries = 2, action = "restart" }'
one_of_theirs() { [[ $(theirs --list-sas | grep -c ESTABLISHED) == 1 ]]; }
steps() {
    up
    pings 3
    local side=$OURS at
    if [[ $CASE == theirs* ]]; then
        if [[ $OURS == a ]]; then side=b; else side=a; fi
    fi
    at=$(dir "$side")
    kill -KILL "$(< "$at/pid")"
    wait_end "$(< "$at/pid")" 5
    # With OURS=a `up` starts the gateway anew; strongSwan's end is started here.
    [[ $side == a && $OURS == a ]] || start "$side"
    if [[ $side == b && $OURS == a ]]; then
        # Our packets go nowhere until we find out that the peer has forgotten us.
        ip netns exec "$NS_A" ping -n -c 80 -i 0.1 -W 1 -I "$INNER_A" "$INNER_B" > /dev/null 2>&1 || true
        our_log 'tunnel up' 20 2
    elif [[ $side == b ]]; then
        A --terminate --ike t --force > /dev/null 2>&1 || true
        up
    else
        up
    fi
    pings 5
    # The side that begins anew says so, with INITIAL-CONTACT; but strongSwan does not with aggressive mode, where we find out
    # that it answers no question about the old IKE SA, and it compares identities.
    local patience=1
    case $CASE-$OURS in
    ours-a) want_log b 'received INITIAL_CONTACT' ;;
    theirs-b) our_log 'IKE SA down: the peer began anew' ;;
    theirs-aggressive-b)
        our_log 'IKE SA down: the peer is dead' 15
        [[ $(count_log "$(log b)" 'tunnel down') == 0 ]] || fail "the tunnel was down"
        pings 5
        ;;
    ours-aggressive-a) patience=20 ;;
    esac
    wait_for $patience one_of_theirs || true
    [[ $(theirs --list-sas | grep -c ESTABLISHED) == 1 ]] || fail "strongSwan has $(theirs --list-sas | grep -c ESTABLISHED) IKE SAs"
    [[ $(status --json | grep -c '"cookies"') == 1 ]] || fail "we have $(status --json | grep -c '"cookies"') IKE SAs"
    down_by_a
    none_left
}
