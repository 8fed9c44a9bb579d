# roles: none
DESC="strongSwan on both sides, A behind the NAT"
NET=nat ID_A=a.example.test
