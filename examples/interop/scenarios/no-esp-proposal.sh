DESC="no phase 2 proposal in common: the attribute named"
ESP_B=aes128-sha512
EXPECT=fail
steps() {
    up
    our_exit 3
    if [[ $OURS == a ]]; then our_log 'NO-PROPOSAL-CHOSEN'; else our_log 'authentication: ours HMAC-SHA-512, theirs HMAC-SHA-256'; fi
    none_left
}
