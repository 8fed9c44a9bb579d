DESC="IPv6 outside"
NET=v6
