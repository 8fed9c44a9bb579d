# The interop testbed: two hosts in network namespaces, with strongSwan or the gateway on either. Source it.
#
# Namespaces are named "$TAG-*", made by net_up and removed by net_down. Programs are ended by the PID recorded when
# they were started, never by name. Needs root; the kernel needs veth, TUN and nftables, but no ESP.

TAG=${TAG:-interop}
NS_A=$TAG-a
NS_B=$TAG-b
NS_NAT=$TAG-nat
INNER_A=10.1.0.1
INNER_B=10.2.0.1
CHARON=${CHARON:-/usr/lib/ipsec/charon}

die() { echo "error: $*" >&2; exit 1; }
now_ms() { date +%s%3N; }

# need_testbed [COMMAND:PACKAGE]...: what the testbed and these lack is installed, on Debian.
need_testbed() {
    local pair packages=()
    for pair in swanctl:strongswan-swanctl /usr/lib/ipsec/charon:strongswan-charon tcpdump:tcpdump nft:nftables ip:iproute2 \
        ping:iputils-ping nc:netcat-openbsd sysctl:procps "$@"; do
        command -v "${pair%%:*}" > /dev/null || packages+=("${pair##*:}")
    done
    # charon's plugins: kernel-libipsec (ESP without the kernel's help), and curve25519, gmp, openssl and the others.
    for pair in kernel-libipsec:libcharon-extra-plugins curve25519:libstrongswan-extra-plugins openssl:libstrongswan-standard-plugins; do
        [[ -e /usr/lib/ipsec/plugins/libstrongswan-${pair%%:*}.so ]] || packages+=("${pair##*:}")
    done
    (( ${#packages[@]} )) || return 0
    command -v apt-get > /dev/null || die "lacks ${packages[*]}"
    apt-get update -q > /dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${packages[@]}" > /dev/null ||
        die "lacks ${packages[*]} (apt-get failed)"
}

# net_up direct|nat|nat-b|v6|bare: two hosts A and B, joined directly by a veth pair, or with a masquerading router between
# them; A is inside (nat), or B is (nat-b), and the router then forwards UDP 500 and 4500 to it. `bare` has no addresses.
net_up() {
    NETKIND=${1:-direct}
    local ns
    for ns in "$NS_A" "$NS_B"; do
        ip netns add "$ns"
        ip -n "$ns" link set lo up
    done
    case $NETKIND in
    direct)
        outer_names 4
        join "$NS_A" "$NS_B"
        ;;
    v6)
        outer_names 6
        join "$NS_A" "$NS_B"
        ;;
    bare)
        ADDR_A= ADDR_B=
        join "$NS_A" "$NS_B"
        return
        ;;
    nat)
        ADDR_A=198.51.100.2 ADDR_B=192.0.2.2 SEEN_A=192.0.2.254 SEEN_B=$ADDR_B
        join_nat "$NS_A" "$ADDR_A" "$NS_B" "$ADDR_B"
        ;;
    nat-b)
        ADDR_A=192.0.2.2 ADDR_B=198.51.100.2 SEEN_A=$ADDR_A SEEN_B=192.0.2.254
        join_nat "$NS_B" "$ADDR_B" "$NS_A" "$ADDR_A"
        ip netns exec "$NS_NAT" nft -f - <<NFT
table ip nat {
  chain pre {
    type nat hook prerouting priority -100;
    iifname "out0" udp dport { 500, 4500 } dnat to 198.51.100.2
  }
}
NFT
        ;;
    *) die "net_up: unknown kind $NETKIND" ;;
    esac
    ip -n "$NS_A" addr add $INNER_A/32 dev lo
    ip -n "$NS_B" addr add $INNER_B/32 dev lo
}

# outer_names 4|6, inner_names 4|6: the addresses of the hosts, and of the networks behind them.
outer_names() {
    case $1 in
    4) ADDR_A=192.0.2.1 ADDR_B=192.0.2.2 ;;
    6) ADDR_A=2001:db8::1 ADDR_B=2001:db8::2 ;;
    esac
    SEEN_A=$ADDR_A SEEN_B=$ADDR_B
}
inner_names() {
    case $1 in
    4) INNER_A=10.1.0.1 INNER_B=10.2.0.1 TS_A=10.1.0.0/24 TS_B=10.2.0.0/24 ;;
    6) INNER_A=fd00:1::1 INNER_B=fd00:2::1 TS_A=fd00:1::/64 TS_B=fd00:2::/64 ;;
    esac
}

join() {
    ip link add veth0 netns "$1" type veth peer name veth0 netns "$2"
    ip -n "$1" link set veth0 up
    ip -n "$2" link set veth0 up
    if [[ -n $ADDR_A ]]; then
        address "$1" "$ADDR_A"
        address "$2" "$ADDR_B"
    fi
}
# address NETNS ADDRESS: the interface gets it.
address() {
    if [[ $2 == *:* ]]; then ip -n "$1" addr add "$2/64" dev veth0 nodad; else ip -n "$1" addr add "$2/24" dev veth0; fi
}

# join_nat INSIDE ADDRESS OUTSIDE ADDRESS
join_nat() {
    ip netns add "$NS_NAT"
    ip -n "$NS_NAT" link set lo up
    ip link add veth0 netns "$1" type veth peer name in0 netns "$NS_NAT"
    ip link add veth0 netns "$3" type veth peer name out0 netns "$NS_NAT"
    ip -n "$1" addr add "$2/24" dev veth0
    ip -n "$3" addr add "$4/24" dev veth0
    ip -n "$NS_NAT" addr add 198.51.100.1/24 dev in0
    ip -n "$NS_NAT" addr add 192.0.2.254/24 dev out0
    ip -n "$1" link set veth0 up
    ip -n "$3" link set veth0 up
    ip -n "$NS_NAT" link set in0 up
    ip -n "$NS_NAT" link set out0 up
    ip -n "$1" route add default via 198.51.100.1
    ip netns exec "$NS_NAT" sysctl -qw net.ipv4.ip_forward=1
    # Random source ports, as a carrier-grade NAT makes them: who insists on 500 and 4500 of the far side shows it here.
    ip netns exec "$NS_NAT" nft -f - <<NFT
table ip nat {
  chain post {
    type nat hook postrouting priority 100;
    oifname "out0" ip protocol udp masquerade to :20000-29999 random
    oifname "out0" masquerade
  }
}
NFT
}

net_down() {
    local ns
    for ns in "$NS_A" "$NS_B" "$NS_NAT"; do
        [[ ! -e /run/netns/$ns ]] || ip netns del "$ns"
    done
}

# net_loss NETNS PERCENT: drops that share of the IKE and ESP datagrams that arrive (netem is not everywhere).
net_loss() {
    ip netns exec "$1" nft -f - <<NFT
table inet loss {
  chain in {
    type filter hook input priority -300;
    meta l4proto udp numgen random mod 100 < $2 drop
    ip protocol esp numgen random mod 100 < $2 drop
  }
}
NFT
}

# running PID: a zombie has ended.
running() {
    local stat
    { read -r stat < "/proc/$1/stat"; } 2>/dev/null || return 1
    [[ $stat != *') Z '* ]]
}

# wait_end PID SECONDS
wait_end() {
    local tries=$(( $2 * 20 ))
    while (( tries-- > 0 )); do
        running "$1" || return 0
        sleep 0.05
    done
    return 1
}

# end_pid PID: TERM, wait, then KILL.
end_pid() {
    kill "$1" 2>/dev/null || return 0
    wait_end "$1" 3 || kill -KILL "$1" 2>/dev/null || true
}

# swan_conf DIR: writes DIR/strongswan.conf; DIR/charon.extra holds more lines of the section charon.
swan_conf() {
    [[ -e $1/charon.extra ]] || : > "$1/charon.extra"
    cat > "$1/strongswan.conf" <<CONF
charon {
  load = random nonce aes sha1 sha2 md5 mgf1 drbg x509 revocation constraints pubkey pkcs1 pkcs8 pem openssl gmp curve25519 cmac xcbc hmac kdf gcm ccm ctr fips-prf kernel-libipsec kernel-netlink socket-default vici updown
  # Aggressive mode with a pre-shared key is refused as responder without this.
  i_dont_care_about_security_and_use_aggressive_mode_psk = yes
  retransmit_timeout = 1.0
  retransmit_base = 1.4
  retransmit_tries = 3
  include $1/charon.extra
  plugins {
    vici { socket = unix://$1/vici.sock }
  }
  filelog {
    main {
      path = $1/charon.log
      time_format = %F %T
      time_add_ms = yes
      ike_name = yes
      flush_line = yes
      default = 1
      ike = 2
      enc = 1
      cfg = 2
    }
  }
}
CONF
}

# swan_up NETNS DIR: starts charon with DIR/swanctl.conf; DIR/pid holds its PID.
swan_up() {
    local ns=$1 dir=$2 i
    mkdir -p "$dir"/{x509,x509ca,x509ocsp,x509aa,x509ac,x509crl,pubkey,private,rsa,ecdsa,bliss,pkcs8,pkcs12}
    swan_conf "$dir"
    rm -f "$dir/vici.sock" "$dir/charon.log" "$dir/pid"
    # charon's PID file is /run/charon.pid whatever the configuration says, so each daemon has a /run of its own:
    # `ip netns exec` has made a mount namespace already.
    ip netns exec "$ns" sh -c '
        mount -t tmpfs none /run
        echo $$ > "$1/pid"
        STRONGSWAN_CONF="$1/strongswan.conf" exec "$2"' sh "$dir" "$CHARON" > "$dir/stdout" 2>&1 < /dev/null &
    disown $!
    for i in {1..250}; do
        [[ ! -S $dir/vici.sock ]] || break
        sleep 0.02
    done
    [[ -S $dir/vici.sock ]] || { cat "$dir/stdout" "$dir/charon.log" >&2; die "charon did not start in $ns"; }
    swan_ctl "$dir" --load-all --file "$dir/swanctl.conf" > "$dir/load.out" 2>&1 ||
        { cat "$dir/load.out" >&2; die "swanctl --load-all failed in $ns"; }
}

# swan_ctl DIR COMMAND [ARGUMENT...]: swanctl, asking that daemon.
swan_ctl() {
    local dir=$1 command=$2
    shift 2
    swanctl "$command" --uri "unix://$dir/vici.sock" "$@"
}

# end_recorded DIR: ends what DIR/pid names.
end_recorded() {
    [[ ! -s $1/pid ]] || end_pid "$(< "$1/pid")"
    rm -f "$1/pid"
}

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
    local tries=$(( $1 * 20 ))
    shift
    while (( tries-- > 0 )); do
        ! "$@" || return 0
        sleep 0.05
    done
    return 1
}

# count_log FILE PATTERN: lines that match; has_log FILE PATTERN COUNT: whether there are that many.
count_log() { grep -cE -- "$2" "$1" 2>/dev/null || true; }
has_log() { local seen; seen=$(count_log "$1" "$2"); (( ${seen:-0} >= ${3:-1} )); }

# capture_up NETNS INTERFACE FILE
capture_up() {
    ip netns exec "$1" tcpdump --immediate-mode -i "$2" -s 0 -U -Z root -w "$3" \
        'ip or ip6' > /dev/null 2> "$3.err" < /dev/null &
    CAPTURE_PID=$!
    disown $CAPTURE_PID
    wait_for 5 grep -qs 'listening on' "$3.err"
}
capture_down() {
    [[ -n ${CAPTURE_PID:-} ]] || return 0
    sleep 0.2
    end_pid "$CAPTURE_PID"
    CAPTURE_PID=
}
