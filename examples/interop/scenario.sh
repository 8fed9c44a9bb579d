#!/usr/bin/env bash
# scenario.sh NAME[.CASE] a|b|none OUT: one scenario of scenarios/, in which A initiates and B answers. The gateway is at A,
# at B, or nowhere: strongSwan on both sides proves the testbed. Prints one line; exit status 0 if all checks held.
# OUT keeps configurations, logs and the capture. With KERNEL=DIR the other side is the User-Mode Linux that runs in DIR.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"
. "$here/uml.sh"
KERNEL=${KERNEL:-}
name=$1
CASE=${name#*.}
OURS=$2
out=$(realpath -m "$3")
GATEWAY=${GATEWAY:-$here/../../target/release/gateway}

# ---- what a scenario may set ------------------------------------------------------------------------------------
DESC=
NET=direct                              # net_up's kinds
MODE=main                               # or aggressive
IKE=aes128-sha256-modp2048              # names that both sides know
ESP=aes128-sha256
PFS=
PROTECTS=tunnel                         # or transport
IKE_A= IKE_B= ESP_A= ESP_B=             # where the sides differ
PSK_A=interop-psk-0123456789 PSK_B=
ID_A= ID_B=                             # default: the addresses
EXPECT_A= EXPECT_B=                     # whom B and A expect, if not ID_A and ID_B
TS_A=10.1.0.0/24 TS_B=10.2.0.0/24       # the networks
TS_A_AT_B= TS_B_AT_A=                   # what the other side believes them to be
FAMILY=4 INNER=4                        # towards a KERNEL: of the hosts, and of the networks
CLEAR='net 10.0.0.0/8'                  # what must not be seen between the hosts
NEIGHBOURS='ip6 proto 0 or (icmp6 and ip6[40] >= 133 and ip6[40] <= 137)' # what IPv6 has to ask them
EXPECT=up                               # or fail
SWAN_CONN= SWAN_CHILD= SWAN_CHARON=     # more lines for strongSwan: connection, child, charon
OUR_PEER= OUR_CHILD= OUR_TOP=           # more lines for the gateway: [[peer]], [[peer.child]], whole tables
OUR_START=now                           # `start` of the child where the gateway is at A
OUR_ONCE=--once
prepare() { :; }
steps() {
    up
    pings 20
    transfer
    down_by_a
    nothing_left
}

# ---- helpers for steps ------------------------------------------------------------------------------------------
FAILED=0
NOTES=()
note() { NOTES+=("$*"); }
fail() { FAILED=1; NOTES+=("FAILED: $*"); }
dir() { [[ $1 == a ]] && echo "$out/a" || echo "$out/b"; }
ns() { [[ $1 == a ]] && echo "$NS_A" || echo "$NS_B"; }
log() { [[ $1 == "$OURS" ]] && echo "$(dir "$1")/gateway.log" || echo "${KERNEL:-$(dir "$1")}/charon.log"; }
# on a|b COMMAND...: runs it on that host.
on() {
    local side=$1
    shift
    if is_kernel "$side"; then uml_do "$KERNEL" 60 "$@"; else ip netns exec "$(ns "$side")" "$@"; fi
}
is_kernel() { [[ -n $KERNEL && $1 != "$OURS" ]]; }
# swan a|b COMMAND...: swanctl.
swan() {
    local side=$1
    shift
    if is_kernel "$side"; then
        uml_do "$KERNEL" 60 swanctl "$@" --uri unix:///run/vici.sock
    else
        swan_ctl "$(dir "$side")" "$@"
    fi
}
A() { swan a "$@"; }
B() { swan b "$@"; }
theirs() { if [[ $OURS == a ]]; then B "$@"; else A "$@"; fi; }
theirs_dir() { if [[ $OURS == a ]]; then echo "$out/b"; else echo "$out/a"; fi; }
# status [ARGUMENT...]: asks our gateway.
status() { "$GATEWAY" status --control "$(dir "$OURS")/control.sock" "$@"; }

theirs_installed() { theirs --list-sas | grep -q INSTALLED; }

# start a|b: starts the program of that side.
start() {
    local side=$1 at
    at=$(dir "$side")
    if is_kernel "$side"; then
        swan "$side" --load-all --file "$at/swanctl.conf" > "$at/load.out"
        return
    fi
    if [[ $side != "$OURS" ]]; then
        swan_up "$(ns "$side")" "$at"
        return
    fi
    rm -f "$at/control.sock"
    ip netns exec "$(ns "$side")" env RUST_LOG="${RUST_LOG:-debug}" NO_COLOR=1 "$GATEWAY" run --config "$at/site.toml" $OUR_ONCE \
        --pcap "$at/gateway.pcap" --keylog "$at/keys" > "$(log "$side")" 2>&1 < /dev/null &
    echo $! > "$at/pid"
    wait_for 5 test -S "$at/control.sock" || running "$(< "$at/pid")" || true
}

# up: A initiates, and both sides have the tunnel; or, with EXPECT=fail, A gives up.
up() {
    local began
    began=$(now_ms)
    if [[ $OURS == a ]]; then
        start a
        if [[ $EXPECT == up ]]; then
            wait_for 20 has_log "$out/a/gateway.log" 'tunnel up' || fail "no tunnel within 20 s"
            # strongSwan as responder installs its SAs when it has worked through our third message; what comes before
            # that is lost, whoever sends it.
            wait_for 5 theirs_installed || fail "strongSwan has no child SA"
        fi
    elif [[ $EXPECT == up ]]; then
        A --initiate --child c --timeout 15 > "$out/initiate.out" 2>&1 || fail "initiate: $(tail -n 1 "$out/initiate.out")"
    else
        ! A --initiate --child c --timeout 25 > "$out/initiate.out" 2>&1 || fail "the negotiation succeeded"
    fi
    SETUP=$(( $(now_ms) - began ))
}

# pings COUNT: from A's network to B's; the first COUNT all have to come back. (Without -w, ping waits for a late answer no
# longer than for two of those before.)
PINGS=-
pings() {
    local back
    on a ping -n -c "$1" -w $(($1 / 10 + 3)) -i 0.05 -I "$INNER_A" "$INNER_B" > "$out/pings" 2>&1 || true
    back=$(answered "$out/pings" "$1" | wc -l)
    PINGS=$back/$1
    [[ $back == "$1" ]] || fail "pings: $PINGS came back"
}
# answered FILE LAST: the numbers up to LAST that were answered.
answered() { sed -n 's/.* bytes from .*icmp_seq=\([0-9]*\) .*/\1/p' "$1" | sort -nu | awk -v last="$2" '$1 <= last'; }

# flow_begin SIZE: pings from A to B, 50 a second, until flow_end. All that were sent until then have to come back; with
# `flow_end early`, those that were sent before strongSwan had its SAs are counted apart.
flow_begin() {
    ip netns exec "$NS_A" ping -n -i 0.02 -s "$1" -I "$INNER_A" "$INNER_B" > "$out/flow" 2> "$out/flow.status" < /dev/null &
    FLOW=$!
}
flow_end() {
    local sent back number lost=() early=0
    kill -QUIT "$FLOW"
    wait_for 3 flow_sent > /dev/null || fail "ping does not tell how many it has sent"
    sent=$(flow_sent)
    wait_for 3 flow_answered "$sent" || true
    kill -INT "$FLOW"
    wait_end "$FLOW" 3 || fail "ping does not end"
    back=$(answered "$out/flow" "$sent" | wc -l)
    PINGS=$back/$sent
    for number in $(comm -13 <(answered "$out/flow" "$sent" | sort) <(seq "$sent" | sort) | sort -n); do
        if [[ ${1:-} == early ]] && sent_early "$number"; then early=$((early + 1)); else lost+=("$number"); fi
    done
    (( ! early )) || note "$early sent before the peer had installed"
    (( ! ${#lost[@]} )) || fail "${#lost[@]} pings of $sent lost: ${lost[*]:0:20}"
}
flow_sent() { tr '\r' '\n' < "$out/flow.status" | sed -n 's|^[0-9]*/\([0-9]*\) packets.*|\1|p' | grep .; }
flow_answered_some() { (( $(answered "$out/flow" 1000000 | wc -l) >= $1 )); }
flow_answered() { (( $(answered "$out/flow" "$1" | wc -l) == $1 )); }
# Whether ping NUMBER left before strongSwan had installed its first pair of SAs: the packet with that number, on our first
# SA, which carried nothing else.
sent_early() {
    local left installed
    left=$({ tcpdump -tt -nr "$out/capture.pcap" "src $ADDR_A" 2> /dev/null || true; } |
        sed -n "s/^\([0-9.]*\) .*ESP(spi=.*,seq=$(printf 0x%x "$1")).*/\1/p" | head -n 1)
    installed=$(sed -n 's/^\([-0-9]* [0-9:.]*\) .*CHILD_SA .* established with SPIs.*/\1/p' "$(theirs_dir)/charon.log" | head -n 1)
    [[ -n $left && -n $installed ]] && awk -v a="$left" -v b="$(date -d "$installed" +%s.%N)" 'BEGIN { exit !(a <= b + 0.001) }'
}

# transfer: 1 MB by TCP, from A to B.
TCP=-
transfer() {
    head -c 1048576 /dev/urandom > "$out/sent"
    echo "timeout 30 nc -N -l $INNER_B 5001 > $out/received < /dev/null; echo \$? > $out/listened" > "$out/listen"
    echo "timeout 20 nc -N -s $INNER_A $INNER_B 5001 < $out/sent" > "$out/send"
    if is_kernel b; then on b "sh $out/listen &"; else on b sh "$out/listen" & fi
    wait_for 5 listening || { fail "nc does not listen"; return; }
    on a sh "$out/send" > /dev/null || fail "nc at A"
    wait_for 10 test -s "$out/listened" || fail "nc at B does not end"
    cmp -s "$out/sent" "$out/received" || fail "of 1048576 bytes $(stat -c %s "$out/received") arrived"
    TCP=1MB
    rm -f "$out/sent" "$out/received"
}
listening() { [[ -n $(on b ss -Hltn sport = :5001) ]]; }

# down_by_a, down_by_b: that side deletes the tunnel.
down_by_a() { down a; }
down_by_b() { down b; }
down() {
    if [[ $1 == "$OURS" ]]; then
        kill -INT "$(< "$(dir "$1")/pid")" || fail "the gateway had ended: $(tail -n 1 "$(log "$1")")"
    else
        swan "$1" --terminate --ike t --timeout 5 > "$out/terminate.out" 2>&1 || fail "terminate at $1"
    fi
}

# our_exit CODE [SECONDS]: the gateway ends by itself with this status.
our_exit() {
    [[ $OURS != none ]] || return 0
    local pid code=0
    pid=$(< "$(dir "$OURS")/pid")
    wait_end "$pid" "${2:-35}" || { fail "the gateway runs on"; return; }
    wait "$pid" || code=$?
    [[ $code == "$1" ]] || fail "exit status $code instead of $1: $(tail -n 1 "$(log "$OURS")")"
}

# nothing_left: the tunnel was closed; the gateway, if started with --once, has ended with 0, and no SA is left.
nothing_left() {
    [[ -z $OUR_ONCE ]] || our_exit 0
    none_left
}
# none_left: within 35 s no SA is left on either side.
none_left() {
    local side
    for side in a b; do
        if [[ $side == "$OURS" ]]; then
            ! running "$(< "$(dir "$side")/pid")" || wait_for 35 none_of_ours || fail "SAs left in the gateway"
        else
            wait_for 35 none_of_theirs "$side" || fail "SAs left in strongSwan at $side"
        fi
    done
}
# end_phase1: where its phase 1 is met with silence, strongSwan repeats its message for minutes unless told.
end_phase1() { theirs --terminate --ike t --timeout 5 > /dev/null 2>&1 || true; }
none_of_theirs() { [[ -z $(swan "$1" --list-sas) ]]; }
none_of_ours() { ! status --json | grep -qE '"(cookies|inbound)"'; }

# want_log a|b PATTERN [SECONDS [COUNT]]
want_log() {
    wait_for "${3:-5}" has_log "$(log "$1")" "$2" "${4:-1}" || fail "no ${4:-} /$2/ in the log of $1"
}
# our_log PATTERN [SECONDS [COUNT]]: nothing where the gateway is at neither side.
our_log() { [[ $OURS == none ]] || want_log "$OURS" "$@"; }

. "$here/scenarios/${name%%.*}.sh"

# ---- configurations ----------------------------------------------------------------------------------------------
values() { # a|b: sets the variables of that side's configuration
    if [[ $1 == a ]]; then
        laddr=$ADDR_A raddr=$SEEN_B lid=${ID_A:-$ADDR_A} rid=${EXPECT_B:-${ID_B:-$ADDR_B}} psk=$PSK_A
        ike=${IKE_A:-$IKE} esp=${ESP_A:-$ESP} lts=$TS_A rts=${TS_B_AT_A:-$TS_B}
    else
        laddr=$ADDR_B raddr=$SEEN_A lid=${ID_B:-$ADDR_B} rid=${EXPECT_A:-${ID_A:-$ADDR_A}} psk=${PSK_B:-$PSK_A}
        ike=${IKE_B:-$IKE} esp=${ESP_B:-$ESP} lts=$TS_B rts=${TS_A_AT_B:-$TS_A}
    fi
}

swan_site() {
    local laddr raddr lid rid psk ike esp lts rts
    values "$1"
    cat > "$(dir "$1")/swanctl.conf" <<CONF
connections {
  t {
    version = 1
    aggressive = $([[ $MODE == aggressive ]] && echo yes || echo no)
    local_addrs = $laddr
    remote_addrs = $([[ $1 == a ]] && echo "$raddr" || echo %any)
    proposals = $ike
    $SWAN_CONN
    local {
      auth = psk
      id = $lid
    }
    remote {
      auth = psk
      id = $rid
    }
    children {
      c {
        mode = $PROTECTS
        $([[ $PROTECTS == transport ]] || printf '%s\n' "local_ts = $lts" "remote_ts = $rts")
        esp_proposals = $esp${PFS:+-$PFS}
        $SWAN_CHILD
      }
    }
  }
}
secrets {
  ike-1 {
    secret = "$psk"
  }
}
CONF
    printf '%s\n' "$SWAN_CHARON" > "$(dir "$1")/charon.extra"
}

our_site() {
    local laddr raddr lid rid psk ike esp lts rts
    values "$1"
    cat > "$(dir "$1")/site.toml" <<CONF
[local]
addresses = ["$laddr"]
device = "ike0"
control = "$(dir "$1")/control.sock"

$OUR_TOP

[[peer]]
name = "t"
remote = "$raddr"
local_id = "$lid"
remote_id = "$rid"
psk = "$psk"
exchange = "$MODE"
$([[ $MODE == aggressive && $1 == b ]] && echo 'danger_answer_aggressive_psk = true')
proposals = ["${ike//, /\", \"}"]
$OUR_PEER

[[peer.child]]
name = "c"
mode = "$PROTECTS"
$([[ $PROTECTS == transport ]] || printf '%s = "%s"\n' local "$lts" remote "$rts")
proposals = ["${esp//, /\", \"}"]
$([[ -z $PFS ]] || echo "pfs = '$PFS'")
start = "$([[ $1 == a ]] && echo "$OUR_START" || echo never)"
$OUR_CHILD
CONF
}

# ---- the run -------------------------------------------------------------------------------------------------------
rm -rf "$out"
mkdir -p "$out"/{a,b}
cleanup() {
    local code=$?
    set +e
    capture_down
    end_recorded "$out/a"
    end_recorded "$out/b"
    [[ -n $KERNEL ]] || net_down
    return $code
}
trap cleanup EXIT
trap 'exit 1' INT TERM
SETUP=-
if [[ -n $KERNEL ]]; then
    outer_names $FAMILY
    inner_names $INNER
    [[ $PROTECTS == tunnel ]] || INNER_A=$ADDR_A INNER_B=$ADDR_B
else
    net_up "$NET"
fi
prepare
for side in a b; do
    if [[ $side == "$OURS" ]]; then our_site $side; else swan_site $side; fi
done
capture_up "$([[ $OURS == b ]] && echo "$NS_B" || echo "$NS_A")" veth0 "$out/capture.pcap"
began=$(now_ms)
start b
[[ $OURS == a ]] || start a
steps
took=$(( $(now_ms) - began ))
capture_down
clear=$(tcpdump -nr "$out/capture.pcap" "$CLEAR" 2> /dev/null | wc -l)
[[ $clear == 0 ]] || fail "$clear packets in the clear"
case $OURS in a) role=initiator;; b) role=responder;; none) role=testbed;; esac
(( FAILED )) && verdict=FAILED || verdict=ok
printf '%-48s %-9s %-6s up %5s ms  pings %-7s tcp %-4s %6s ms  %s%s\n' "$name" "$role" "$verdict" "$SETUP" "$PINGS" "$TCP" \
    "$took" "$DESC" "${NOTES:+ [$(IFS=\;; echo "${NOTES[*]}")]}"
exit $FAILED
