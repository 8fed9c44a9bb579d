DESC="networks differ: the selectors named"
TS_B=10.77.0.0/24 TS_B_AT_A=10.2.0.0/24
EXPECT=fail
steps() {
    up
    our_exit 3
    our_log '10\.2\.0\.0/24'
    none_left
}
