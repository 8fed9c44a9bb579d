DESC="A behind a NAT with random ports, AES-256/SHA-1, PFS"
NET=nat ID_A=a.example.test IKE=aes256-sha1-modp2048 ESP=aes256-sha1 PFS=modp2048
