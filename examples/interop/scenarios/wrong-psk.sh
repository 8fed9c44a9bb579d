# cases: main aggressive
DESC="wrong pre-shared key, $CASE mode: named on our side"
MODE=$CASE
PSK_A=right-secret-1234 PSK_B=wrong-secret-1234
EXPECT=fail
# A responder of main mode cannot tell a wrong key from noise, and one of aggressive mode is left alone: it goes on.
SWAN_CHARON='half_open_timeout = 5'
OUR_TOP='[timing]
retransmit_tries = 3
exchange_timeout = "5s"'
[[ $OURS == a ]] || OUR_ONCE=
steps() {
    up
    case $CASE-$OURS in
    main-a)
        our_exit 4 35
        our_log 'no answer to the first encrypted message: often a PSK mismatch'
        ;;
    main-b) our_log Undecryptable ;;
    aggressive-a)
        our_exit 3
        our_log 'authentication failed: often a PSK mismatch'
        ;;
    # The peer's objection is encrypted with a key that we do not have.
    aggressive-b) our_log 'no answer to message 2 of aggressive mode: often a PSK mismatch' 15 ;;
    esac
    none_left
}
