# peer: kernel
# cases: tunnel-gmac-4 transport-gmac-6-esn tunnel-cbc-4 tunnel-cbc-6 tunnel-gcm-4 tunnel-gcm-6 transport-cbc-4 transport-cbc-6 transport-gcm-4 transport-gcm-6 tunnel-cbc-4-esn tunnel-cbc-6-esn tunnel-gcm-4-esn tunnel-gcm-6-esn transport-cbc-4-esn transport-cbc-6-esn transport-gcm-4-esn transport-gcm-6-esn
DESC="ESP over IP, a kernel at the other end"
IFS=- read -r PROTECTS cipher FAMILY esn <<< "$CASE"
INNER=$FAMILY
case $cipher in
cbc) ESP=aes128-sha256 ;;
gcm) ESP=aes256gcm16 ;;
gmac) ESP=aes256gmac ;;
esac
if [[ $esn == esn ]]; then ESP=$ESP-esn; fi
OUR_PEER='nat_traversal = "off"'
CLEAR="not (esp or udp port 500 or $NEIGHBOURS)"
