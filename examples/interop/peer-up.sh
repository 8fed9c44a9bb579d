#!/usr/bin/env bash
# peer-up.sh [-k direct|nat|v6] WORKDIR SWANCTL.CONF: one strongSwan that answers at 192.0.2.2 in namespace $TAG-b. The
# other namespace, $TAG-a (192.0.2.1, inner 10.1.0.1), is free: ip netns exec $TAG-a PROGRAM. WORKDIR/env holds the
# names for scripts; peer-down.sh takes all down.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"
kind=direct
while getopts k: option; do
    case $option in k) kind=$OPTARG ;; *) die "usage: $0 [-k direct|nat|v6] WORKDIR SWANCTL.CONF" ;; esac
done
shift $((OPTIND - 1))
work=$(realpath -m "$1")
conf=$(realpath "$2")
mkdir -p "$work"
[[ ! -e $work/env ]] || die "$work is up already (peer-down.sh $work)"
trap 'code=$?; (( code == 0 )) || { end_recorded "$work"; net_down; rm -f "$work/env"; }' EXIT
net_up "$kind"
printf '%s=%q\n' TAG "$TAG" NS_A "$NS_A" NS_B "$NS_B" ADDR_A "$ADDR_A" ADDR_B "$ADDR_B" INNER_A "$INNER_A" \
    INNER_B "$INNER_B" VICI "unix://$work/vici.sock" LOG "$work/charon.log" > "$work/env"
[[ $conf == "$work/swanctl.conf" ]] || cp "$conf" "$work/swanctl.conf"
swan_up "$NS_B" "$work"
echo "charon $(< "$work/pid") in $NS_B at $ADDR_B, log $work/charon.log"
