# A real kernel as a peer: User-Mode Linux (Debian's package user-mode-linux) with strongSwan on it. Source it after lib.sh.
# Its root is this machine's file system, through hostfs; it takes over a namespace's veth0 and speaks ESP by itself: IP
# protocol 50, transport mode, extended sequence numbers.
#
# Inside runs a shell that is told what to do by lines on DIR/in and answers on DIR/out.

UML_MODULES='xfrm_user esp4 esp6 xfrm4_tunnel xfrm6_tunnel tunnel6 authenc authencesn jitterentropy_rng drbg echainiv seqiv
    cbc ctr gcm cmac hmac xcbc ghash-generic des_generic sha512_generic chacha20poly1305 chacha_generic poly1305_generic
    crypto_null'

# uml_up NETNS DIR ADDRESS/LENGTH...: boots, and starts charon; the addresses with /32 and /128 are for the loopback. It
# lives as long as the caller, who holds the descriptor UML_FD that the shell inside reads from.
uml_up() {
    local ns=$1 dir=$2 address
    shift 2
    mkdir -p "$dir/modules/lib"
    ln -sfn /usr/lib/uml/modules "$dir/modules/lib/modules"
    cc -shared -fPIC -O2 -o "$dir/uml-xstate.so" "$(dirname "${BASH_SOURCE[0]}")/uml-xstate.c" -ldl
    # The kernel inside owns the interface: no address here, and checksums complete on the wire.
    ip -n "$ns" addr flush dev veth0
    ip -n "$ns" link set veth0 promisc on
    {
        cat <<INIT
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin STRONGSWAN_CONF=$dir/strongswan.conf
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2> /dev/null
mount -t tmpfs none /run
stty -echo
for module in $(echo $UML_MODULES); do modprobe -d $dir/modules \$module 2> /dev/null || echo "no module \$module"; done
ip link set lo up
ip link set vec0 up
INIT
        for address; do
            case $address in
            */32 | */128) echo "ip addr add $address dev lo" ;;
            *:*) echo "ip addr add $address dev vec0 nodad" ;;
            *) echo "ip addr add $address dev vec0" ;;
            esac
        done
        cat <<INIT
$CHARON > $dir/stdout 2>&1 &
for i in \$(seq 200); do [ -S /run/vici.sock ] && echo @@up && break; sleep 0.05; done
while read -r number line; do
    echo "@@\$number begins"
    sh -c "\$line" < /dev/null 2>&1
    echo "@@\$number ends \$?"
done
INIT
    } > "$dir/init.sh"
    chmod +x "$dir/init.sh"
    swan_conf "$dir"
    sed -i -e "s|unix://.*vici.sock|unix:///run/vici.sock|" -e 's/kernel-libipsec //' "$dir/strongswan.conf"
    mkdir -p "$dir"/{x509,x509ca,private}
    rm -f "$dir/in" "$dir/out"
    mkfifo "$dir/in"
    ip netns exec "$ns" sh -c '
        echo $$ > "$1/pid"
        LD_PRELOAD=$1/uml-xstate.so exec linux.uml mem=192M root=none rootfstype=hostfs rootflags=/ rw init="$1/init.sh" con=null \
            con0=fd:0,fd:1 ssl=null vec0:transport=raw,ifname=veth0,depth=128,gro=0 umid="uml$$" uml_dir="$1/umid" quiet' \
        sh "$dir" < "$dir/in" > "$dir/out" 2>&1 &
    disown $!
    exec {UML_FD}> "$dir/in"
    wait_for 40 has_log "$dir/out" '^@@up' || { tail -n 5 "$dir/out" >&2; die "User-Mode Linux did not start in $ns"; }
}

# uml_do DIR SECONDS COMMAND...: runs it inside and prints what it says; its exit status.
uml_do() {
    local dir=$1 seconds=$2 number
    number=$(date +%s%N)
    shift 2
    echo "$number $*" > "$dir/in"
    wait_for "$seconds" grep -q "^@@$number ends [0-9]*.\$" "$dir/out" || return 124
    tr -d '\r' < "$dir/out" | sed -n "/^@@$number begins/,/^@@$number ends/{/^@@/d;p}"
    return "$(tr -d '\r' < "$dir/out" | sed -n "s/^@@$number ends //p")"
}
