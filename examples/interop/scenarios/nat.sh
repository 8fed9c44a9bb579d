DESC="A behind a NAT with random ports"
NET=nat ID_A=a.example.test
