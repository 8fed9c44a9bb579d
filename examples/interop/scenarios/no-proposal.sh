DESC="no phase 1 proposal in common: the attribute named"
IKE_B=aes128-sha512-modp2048
EXPECT=fail
steps() {
    up
    our_exit 3
    if [[ $OURS == a ]]; then our_log 'NO-PROPOSAL-CHOSEN'; else our_log 'hash: ours SHA-256, theirs SHA-512|hash: ours SHA-512, theirs SHA-256'; fi
    none_left
}
