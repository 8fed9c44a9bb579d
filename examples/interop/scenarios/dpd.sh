DESC="dead peer detection: the peer is killed"
OUR_PEER='dpd = { idle = "1s", retry = "1s", tries = 3, action = "clear" }'
steps() {
    up
    pings 3
    local at
    at=$(theirs_dir)
    kill -KILL "$(< "$at/pid")"
    # Traffic without an answer is what makes us worry (RFC 3706 §5.4). Inside of A, or towards A.
    if [[ $OURS == a ]]; then
        ip netns exec "$NS_A" ping -n -c 80 -i 0.1 -W 1 -I "$INNER_A" "$INNER_B" > /dev/null 2>&1 || true
    else
        ip netns exec "$NS_B" ping -n -c 80 -i 0.1 -W 1 -I "$INNER_B" "$INNER_A" > /dev/null 2>&1 || true
    fi
    our_log 'the peer is dead' 10
    our_exit 0
}
