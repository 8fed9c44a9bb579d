# roles: none
DESC="strongSwan on both sides, B behind the NAT"
NET=nat-b ID_B=b.example.test
