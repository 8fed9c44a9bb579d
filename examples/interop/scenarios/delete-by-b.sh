DESC="the responder deletes"
steps() {
    up
    pings 3
    down_by_b
    nothing_left
}
