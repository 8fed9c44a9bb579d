DESC="the peer is not who it should be: named on our side"
EXPECT=fail
if [[ $OURS == a ]]; then
    ID_B=b.example.test EXPECT_B=other.example.test
else
    ID_A=a.example.test EXPECT_A=other.example.test
fi
OUR_ONCE=--once
steps() {
    up
    if [[ $OURS == a ]]; then our_exit 3; fi
    our_log 'not who it has to be'
    # Where we are A, B has authenticated us before we could object: we tell it so, and delete the IKE SA. Where we are B,
    # strongSwan at A would repeat its message for minutes.
    [[ $OURS == a ]] || end_phase1
    none_left
}
