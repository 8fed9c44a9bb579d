# peer: kernel
# cases: tunnel transport
DESC="ESP in UDP, a kernel at the other end, $CASE"
PROTECTS=$CASE
OUR_PEER='nat_traversal = "force"'
CLEAR="not (udp port 500 or udp port 4500 or $NEIGHBOURS)"
