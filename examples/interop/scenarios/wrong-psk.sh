DESC="wrong pre-shared key: named on our side"
PSK_A=right-secret-1234 PSK_B=wrong-secret-1234
EXPECT=fail
# A responder cannot tell a wrong key from noise: it goes on.
[[ $OURS == a ]] || OUR_ONCE=
steps() {
    up
    if [[ $OURS == a ]]; then
        our_exit 4 35
        our_log 'no answer to the first encrypted message: often a PSK mismatch'
    else
        our_log Undecryptable
    fi
    none_left
}
