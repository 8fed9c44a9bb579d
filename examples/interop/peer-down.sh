#!/usr/bin/env bash
# peer-down.sh WORKDIR: ends what peer-up.sh started there.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(realpath "$1")
[[ -e $work/env ]] || { echo "$work is not up"; exit 0; }
. "$work/env"
. "$here/lib.sh"
end_recorded "$work"
net_down
rm -f "$work/env"
