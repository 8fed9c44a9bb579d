# cases: aggressive-3des-sha1-modp2048-pfs aggressive-3des-sha256-modp1024-pfs aggressive-aes128-sha512-modp1024-pfs aggressive-aes256-sha1-modp4096-pfs aggressive-aes256-sha256-curve25519-nopfs aggressive-aes256-sha512-ecp256-pfs aggressive-aes256-sha512-ecp384-nopfs main-3des-sha1-ecp256-nopfs main-3des-sha256-ecp384-pfs main-3des-sha512-curve25519-nopfs main-3des-sha512-modp4096-nopfs main-aes128-sha1-curve25519-pfs main-aes128-sha1-ecp384-nopfs main-aes128-sha256-ecp256-nopfs main-aes128-sha256-modp2048-pfs main-aes128-sha256-modp4096-nopfs main-aes256-sha1-modp1024-nopfs main-aes256-sha512-modp2048-nopfs
# values: main,aggressive aes128,aes256,3des sha1,sha256,sha512 modp1024,modp2048,modp4096,ecp256,ecp384,curve25519 pfs,nopfs
# Every pair of two values occurs in one of the cases; `pairs` checks it.
DESC="pairwise"
IFS=- read -r MODE cipher hash group pfs <<< "$CASE"
IKE=$cipher-$hash-$group ESP=$cipher-$hash
if [[ $pfs == pfs ]]; then PFS=$group; fi
steps() {
    up
    pings 5
    down_by_a
    nothing_left
}
