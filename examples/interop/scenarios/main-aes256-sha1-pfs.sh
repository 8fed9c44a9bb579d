DESC="main mode, AES-256/SHA-1/MODP-2048, PFS"
IKE=aes256-sha1-modp2048 ESP=aes256-sha1 PFS=modp2048
