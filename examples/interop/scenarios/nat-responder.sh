DESC="B behind a NAT that forwards both ports to it"
NET=nat-b ID_B=b.example.test
