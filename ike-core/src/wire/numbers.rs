//! Code points: newtypes with associated constants, so that an unknown value survives and can be named.
//!
//! Sources: RFC 2407 §4.4 to §4.6, RFC 2408 §3.1 and §3.14.1, RFC 2409 Appendix A, and the IANA registries
//! "isakmp-registry" and "ipsec-registry" for what came later.

macro_rules! code_points {
    ($(#[$meta:meta])* $name:ident($inner:ty) { $($(#[$cmeta:meta])* $constant:ident = $value:expr, $text:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        #[allow(missing_docs, reason = "the printed name stands beside each constant")]
        impl $name {
            $($(#[$cmeta])* pub const $constant: Self = Self($value);)*

            /// The name as the standards write it; `None` for a value this crate does not know.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($text),)*
                    _ => None,
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{}", self.0),
                }
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self.name() {
                    Some(name) => write!(f, "{}({name})", stringify!($name)),
                    None => write!(f, "{}({})", stringify!($name), self.0),
                }
            }
        }
    };
}

code_points! {
    /// What follows in the payload chain (RFC 2408 §3.1).
    PayloadType(u8) {
        NONE = 0, "NONE";
        SA = 1, "SA";
        PROPOSAL = 2, "P";
        TRANSFORM = 3, "T";
        KEY_EXCHANGE = 4, "KE";
        ID = 5, "ID";
        CERTIFICATE = 6, "CERT";
        CERTIFICATE_REQUEST = 7, "CERTREQ";
        HASH = 8, "HASH";
        SIGNATURE = 9, "SIG";
        NONCE = 10, "NONCE";
        NOTIFICATION = 11, "N";
        DELETE = 12, "D";
        VENDOR_ID = 13, "VID";
        ATTRIBUTES = 14, "ATTR";
        NAT_D = 20, "NAT-D";
        NAT_OA = 21, "NAT-OA";
        NAT_D_DRAFT = 130, "NAT-D(draft)";
        NAT_OA_DRAFT = 131, "NAT-OA(draft)";
        FRAGMENT = 132, "FRAGMENT";
    }
}

code_points! {
    /// The kind of exchange (RFC 2408 §3.1, RFC 2409 Appendix A).
    ExchangeType(u8) {
        BASE = 1, "base";
        IDENTITY_PROTECTION = 2, "main mode";
        AUTHENTICATION_ONLY = 3, "authentication only";
        AGGRESSIVE = 4, "aggressive mode";
        INFORMATIONAL = 5, "informational";
        TRANSACTION = 6, "transaction";
        QUICK_MODE = 32, "quick mode";
        NEW_GROUP_MODE = 33, "new group mode";
    }
}

code_points! {
    /// Domain of interpretation (RFC 2408 §2.1, RFC 2407 §4.2).
    Doi(u32) {
        ISAKMP = 0, "ISAKMP";
        IPSEC = 1, "IPsec";
    }
}

code_points! {
    /// Protocol of a proposal, notify or delete (RFC 2407 §4.4.1).
    ProtocolId(u8) {
        RESERVED = 0, "none";
        ISAKMP = 1, "ISAKMP";
        AH = 2, "AH";
        ESP = 3, "ESP";
        IPCOMP = 4, "IPCOMP";
    }
}

code_points! {
    /// Transforms of the protocol ISAKMP (RFC 2407 §4.4.2).
    IsakmpTransformId(u8) {
        KEY_IKE = 1, "KEY_IKE";
    }
}

code_points! {
    /// Transforms of the protocol ESP (RFC 2407 §4.4.4 and the registry).
    EspTransformId(u8) {
        DES_IV64 = 1, "DES-IV64";
        DES = 2, "DES";
        TRIPLE_DES = 3, "3DES";
        RC5 = 4, "RC5";
        IDEA = 5, "IDEA";
        CAST = 6, "CAST";
        BLOWFISH = 7, "Blowfish";
        DES_IV32 = 9, "DES-IV32";
        NULL = 11, "NULL";
        AES_CBC = 12, "AES-CBC";
        AES_CTR = 13, "AES-CTR";
        AES_CCM_8 = 14, "AES-CCM-8";
        AES_CCM_12 = 15, "AES-CCM-12";
        AES_CCM_16 = 16, "AES-CCM-16";
        AES_GCM_8 = 18, "AES-GCM-8";
        AES_GCM_12 = 19, "AES-GCM-12";
        AES_GCM_16 = 20, "AES-GCM-16";
        CAMELLIA_CBC = 22, "Camellia-CBC";
        NULL_AUTH_AES_GMAC = 23, "NULL-AUTH-AES-GMAC";
        // Not registered for IKEv1: RFC 7634 §6 has it for IKEv2, and strongSwan uses the same here.
        CHACHA20_POLY1305 = 28, "ChaCha20-Poly1305";
    }
}

code_points! {
    /// Transforms of the protocol AH (RFC 2407 §4.4.3 and the registry), to be named: this crate has no AH.
    AhTransformId(u8) {
        MD5 = 2, "MD5";
        SHA = 3, "SHA";
        DES = 4, "DES";
        SHA2_256 = 5, "SHA-256";
        SHA2_384 = 6, "SHA-384";
        SHA2_512 = 7, "SHA-512";
        AES_XCBC_MAC = 9, "AES-XCBC-MAC";
    }
}

code_points! {
    /// Transforms of the protocol IPCOMP (RFC 2407 §4.4.5), to be named: this crate has no IPCOMP.
    IpcompTransformId(u8) {
        OUI = 1, "OUI";
        DEFLATE = 2, "DEFLATE";
        LZS = 3, "LZS";
    }
}

code_points! {
    /// Attributes of a phase 1 transform (RFC 2409 Appendix A).
    Phase1Attribute(u16) {
        ENCRYPTION_ALGORITHM = 1, "encryption";
        HASH_ALGORITHM = 2, "hash";
        AUTHENTICATION_METHOD = 3, "authentication";
        GROUP_DESCRIPTION = 4, "group";
        GROUP_TYPE = 5, "group type";
        GROUP_PRIME = 6, "group prime";
        GROUP_GENERATOR_ONE = 7, "group generator one";
        GROUP_GENERATOR_TWO = 8, "group generator two";
        GROUP_CURVE_A = 9, "group curve A";
        GROUP_CURVE_B = 10, "group curve B";
        LIFE_TYPE = 11, "life type";
        LIFE_DURATION = 12, "life duration";
        PRF = 13, "PRF";
        KEY_LENGTH = 14, "key length";
        FIELD_SIZE = 15, "field size";
        GROUP_ORDER = 16, "group order";
    }
}

code_points! {
    /// Attributes of a phase 2 transform (RFC 2407 §4.5 and the registry).
    IpsecAttribute(u16) {
        LIFE_TYPE = 1, "life type";
        LIFE_DURATION = 2, "life duration";
        GROUP_DESCRIPTION = 3, "group";
        ENCAPSULATION_MODE = 4, "encapsulation mode";
        AUTHENTICATION_ALGORITHM = 5, "authentication";
        KEY_LENGTH = 6, "key length";
        KEY_ROUNDS = 7, "key rounds";
        COMPRESS_DICTIONARY_SIZE = 8, "compress dictionary size";
        COMPRESS_PRIVATE_ALGORITHM = 9, "compress private algorithm";
        ECN_TUNNEL = 10, "ECN tunnel";
        EXTENDED_SEQUENCE_NUMBER = 11, "extended sequence numbers";
    }
}

code_points! {
    /// Phase 1 ciphers (RFC 2409 Appendix A and the registry).
    EncryptionAlgorithm(u16) {
        DES_CBC = 1, "DES-CBC";
        IDEA_CBC = 2, "IDEA-CBC";
        BLOWFISH_CBC = 3, "Blowfish-CBC";
        RC5_CBC = 4, "RC5-CBC";
        TRIPLE_DES_CBC = 5, "3DES-CBC";
        CAST_CBC = 6, "CAST-CBC";
        AES_CBC = 7, "AES-CBC";
        CAMELLIA_CBC = 8, "Camellia-CBC";
    }
}

code_points! {
    /// Phase 1 hashes; the PRF is the HMAC over the same hash (RFC 2409 §4, Appendix A and the registry).
    HashAlgorithm(u16) {
        MD5 = 1, "MD5";
        SHA1 = 2, "SHA-1";
        TIGER = 3, "Tiger";
        SHA2_256 = 4, "SHA-256";
        SHA2_384 = 5, "SHA-384";
        SHA2_512 = 6, "SHA-512";
    }
}

code_points! {
    /// How phase 1 peers authenticate (RFC 2409 Appendix A, RFC 4754, the XAUTH and hybrid drafts).
    AuthenticationMethod(u16) {
        PRE_SHARED_KEY = 1, "pre-shared key";
        DSS_SIGNATURES = 2, "DSS signatures";
        RSA_SIGNATURES = 3, "RSA signatures";
        RSA_ENCRYPTION = 4, "RSA encryption";
        REVISED_RSA_ENCRYPTION = 5, "revised RSA encryption";
        ECDSA_SHA256_P256 = 9, "ECDSA with SHA-256 on P-256";
        ECDSA_SHA384_P384 = 10, "ECDSA with SHA-384 on P-384";
        ECDSA_SHA512_P521 = 11, "ECDSA with SHA-512 on P-521";
        HYBRID_INIT_RSA = 64221, "hybrid initiator RSA";
        HYBRID_RESP_RSA = 64222, "hybrid responder RSA";
        XAUTH_INIT_PRE_SHARED_KEY = 65001, "XAUTH initiator pre-shared key";
        XAUTH_RESP_PRE_SHARED_KEY = 65002, "XAUTH responder pre-shared key";
        XAUTH_INIT_RSA = 65005, "XAUTH initiator RSA signatures";
        XAUTH_RESP_RSA = 65006, "XAUTH responder RSA signatures";
    }
}

code_points! {
    /// Diffie-Hellman groups (RFC 2409 §6, RFC 3526, RFC 5114, RFC 5903, RFC 8031).
    GroupDescription(u16) {
        MODP_768 = 1, "MODP-768";
        MODP_1024 = 2, "MODP-1024";
        EC2N_155 = 3, "EC2N-155";
        EC2N_185 = 4, "EC2N-185";
        MODP_1536 = 5, "MODP-1536";
        MODP_2048 = 14, "MODP-2048";
        MODP_3072 = 15, "MODP-3072";
        MODP_4096 = 16, "MODP-4096";
        MODP_6144 = 17, "MODP-6144";
        MODP_8192 = 18, "MODP-8192";
        ECP_256 = 19, "ECP-256";
        ECP_384 = 20, "ECP-384";
        ECP_521 = 21, "ECP-521";
        MODP_1024_160 = 22, "MODP-1024-160";
        MODP_2048_224 = 23, "MODP-2048-224";
        MODP_2048_256 = 24, "MODP-2048-256";
        CURVE25519 = 31, "curve25519";
    }
}

code_points! {
    /// Unit of a life duration (RFC 2407 §4.5, RFC 2409 Appendix A): the numbers are the same in both phases.
    LifeType(u16) {
        SECONDS = 1, "seconds";
        KILOBYTES = 2, "kilobytes";
    }
}

code_points! {
    /// Encapsulation mode of a phase 2 transform (RFC 2407 §4.5, RFC 3947 §5.1 and its drafts).
    EncapsulationMode(u16) {
        TUNNEL = 1, "tunnel";
        TRANSPORT = 2, "transport";
        UDP_TUNNEL = 3, "UDP tunnel";
        UDP_TRANSPORT = 4, "UDP transport";
        UDP_TUNNEL_DRAFT = 61443, "UDP tunnel (draft)";
        UDP_TRANSPORT_DRAFT = 61444, "UDP transport (draft)";
    }
}

code_points! {
    /// Integrity algorithm of a phase 2 transform (RFC 2407 §4.5, RFC 4868 and the registry).
    AuthenticationAlgorithm(u16) {
        HMAC_MD5 = 1, "HMAC-MD5";
        HMAC_SHA1 = 2, "HMAC-SHA-1";
        DES_MAC = 3, "DES-MAC";
        KPDK = 4, "KPDK";
        HMAC_SHA2_256 = 5, "HMAC-SHA-256";
        HMAC_SHA2_384 = 6, "HMAC-SHA-384";
        HMAC_SHA2_512 = 7, "HMAC-SHA-512";
        HMAC_RIPEMD = 8, "HMAC-RIPEMD";
        AES_XCBC_MAC = 9, "AES-XCBC-MAC";
    }
}

code_points! {
    /// Kinds of identity (RFC 2407 §4.6.2.1).
    IdType(u8) {
        IPV4_ADDR = 1, "IPv4 address";
        FQDN = 2, "FQDN";
        USER_FQDN = 3, "user@FQDN";
        IPV4_ADDR_SUBNET = 4, "IPv4 subnet";
        IPV6_ADDR = 5, "IPv6 address";
        IPV6_ADDR_SUBNET = 6, "IPv6 subnet";
        IPV4_ADDR_RANGE = 7, "IPv4 range";
        IPV6_ADDR_RANGE = 8, "IPv6 range";
        DER_ASN1_DN = 9, "distinguished name";
        DER_ASN1_GN = 10, "general name";
        KEY_ID = 11, "key ID";
    }
}

code_points! {
    /// Notify message types (RFC 2408 §3.14.1, RFC 2407 §4.6.3, RFC 3706 §5.3, RFC 3947).
    NotifyType(u16) {
        INVALID_PAYLOAD_TYPE = 1, "INVALID-PAYLOAD-TYPE";
        DOI_NOT_SUPPORTED = 2, "DOI-NOT-SUPPORTED";
        SITUATION_NOT_SUPPORTED = 3, "SITUATION-NOT-SUPPORTED";
        INVALID_COOKIE = 4, "INVALID-COOKIE";
        INVALID_MAJOR_VERSION = 5, "INVALID-MAJOR-VERSION";
        INVALID_MINOR_VERSION = 6, "INVALID-MINOR-VERSION";
        INVALID_EXCHANGE_TYPE = 7, "INVALID-EXCHANGE-TYPE";
        INVALID_FLAGS = 8, "INVALID-FLAGS";
        INVALID_MESSAGE_ID = 9, "INVALID-MESSAGE-ID";
        INVALID_PROTOCOL_ID = 10, "INVALID-PROTOCOL-ID";
        INVALID_SPI = 11, "INVALID-SPI";
        INVALID_TRANSFORM_ID = 12, "INVALID-TRANSFORM-ID";
        ATTRIBUTES_NOT_SUPPORTED = 13, "ATTRIBUTES-NOT-SUPPORTED";
        NO_PROPOSAL_CHOSEN = 14, "NO-PROPOSAL-CHOSEN";
        BAD_PROPOSAL_SYNTAX = 15, "BAD-PROPOSAL-SYNTAX";
        PAYLOAD_MALFORMED = 16, "PAYLOAD-MALFORMED";
        INVALID_KEY_INFORMATION = 17, "INVALID-KEY-INFORMATION";
        INVALID_ID_INFORMATION = 18, "INVALID-ID-INFORMATION";
        INVALID_CERT_ENCODING = 19, "INVALID-CERT-ENCODING";
        INVALID_CERTIFICATE = 20, "INVALID-CERTIFICATE";
        CERT_TYPE_UNSUPPORTED = 21, "CERT-TYPE-UNSUPPORTED";
        INVALID_CERT_AUTHORITY = 22, "INVALID-CERT-AUTHORITY";
        INVALID_HASH_INFORMATION = 23, "INVALID-HASH-INFORMATION";
        AUTHENTICATION_FAILED = 24, "AUTHENTICATION-FAILED";
        INVALID_SIGNATURE = 25, "INVALID-SIGNATURE";
        ADDRESS_NOTIFICATION = 26, "ADDRESS-NOTIFICATION";
        NOTIFY_SA_LIFETIME = 27, "NOTIFY-SA-LIFETIME";
        CERTIFICATE_UNAVAILABLE = 28, "CERTIFICATE-UNAVAILABLE";
        UNSUPPORTED_EXCHANGE_TYPE = 29, "UNSUPPORTED-EXCHANGE-TYPE";
        UNEQUAL_PAYLOAD_LENGTHS = 30, "UNEQUAL-PAYLOAD-LENGTHS";
        CONNECTED = 16384, "CONNECTED";
        RESPONDER_LIFETIME = 24576, "RESPONDER-LIFETIME";
        REPLAY_STATUS = 24577, "REPLAY-STATUS";
        INITIAL_CONTACT = 24578, "INITIAL-CONTACT";
        R_U_THERE = 36136, "R-U-THERE";
        R_U_THERE_ACK = 36137, "R-U-THERE-ACK";
    }
}

code_points! {
    /// Certificate encodings (RFC 2408 §3.9).
    CertificateEncoding(u8) {
        NONE = 0, "none";
        PKCS7_WRAPPED_X509 = 1, "PKCS #7 wrapped X.509";
        PGP = 2, "PGP";
        DNS_SIGNED_KEY = 3, "DNS signed key";
        X509_SIGNATURE = 4, "X.509 signature";
        X509_KEY_EXCHANGE = 5, "X.509 key exchange";
        KERBEROS_TOKENS = 6, "Kerberos tokens";
        CRL = 7, "CRL";
        ARL = 8, "ARL";
        SPKI = 9, "SPKI";
        X509_ATTRIBUTE = 10, "X.509 attribute";
    }
}

code_points! {
    /// Kinds of attribute payload (draft-dukes-ike-mode-cfg §3.2).
    ConfigType(u8) {
        REQUEST = 1, "REQUEST";
        REPLY = 2, "REPLY";
        SET = 3, "SET";
        ACK = 4, "ACK";
    }
}

code_points! {
    /// Attributes of Mode Config and XAUTH (draft-dukes-ike-mode-cfg §3.3, draft-beaulieu-ike-xauth §6.1, Cisco Unity).
    ConfigAttribute(u16) {
        INTERNAL_IP4_ADDRESS = 1, "INTERNAL_IP4_ADDRESS";
        INTERNAL_IP4_NETMASK = 2, "INTERNAL_IP4_NETMASK";
        INTERNAL_IP4_DNS = 3, "INTERNAL_IP4_DNS";
        INTERNAL_IP4_NBNS = 4, "INTERNAL_IP4_NBNS";
        INTERNAL_ADDRESS_EXPIRY = 5, "INTERNAL_ADDRESS_EXPIRY";
        INTERNAL_IP4_DHCP = 6, "INTERNAL_IP4_DHCP";
        APPLICATION_VERSION = 7, "APPLICATION_VERSION";
        INTERNAL_IP6_ADDRESS = 8, "INTERNAL_IP6_ADDRESS";
        INTERNAL_IP6_NETMASK = 9, "INTERNAL_IP6_NETMASK";
        INTERNAL_IP6_DNS = 10, "INTERNAL_IP6_DNS";
        INTERNAL_IP6_NBNS = 11, "INTERNAL_IP6_NBNS";
        INTERNAL_IP6_DHCP = 12, "INTERNAL_IP6_DHCP";
        INTERNAL_IP4_SUBNET = 13, "INTERNAL_IP4_SUBNET";
        SUPPORTED_ATTRIBUTES = 14, "SUPPORTED_ATTRIBUTES";
        INTERNAL_IP6_SUBNET = 15, "INTERNAL_IP6_SUBNET";
        XAUTH_TYPE = 16520, "XAUTH_TYPE";
        XAUTH_USER_NAME = 16521, "XAUTH_USER_NAME";
        XAUTH_USER_PASSWORD = 16522, "XAUTH_USER_PASSWORD";
        XAUTH_PASSCODE = 16523, "XAUTH_PASSCODE";
        XAUTH_MESSAGE = 16524, "XAUTH_MESSAGE";
        XAUTH_CHALLENGE = 16525, "XAUTH_CHALLENGE";
        XAUTH_DOMAIN = 16526, "XAUTH_DOMAIN";
        XAUTH_STATUS = 16527, "XAUTH_STATUS";
        XAUTH_NEXT_PIN = 16528, "XAUTH_NEXT_PIN";
        XAUTH_ANSWER = 16529, "XAUTH_ANSWER";
        UNITY_BANNER = 28672, "UNITY_BANNER";
        UNITY_SAVE_PASSWORD = 28673, "UNITY_SAVE_PASSWORD";
        UNITY_DEF_DOMAIN = 28674, "UNITY_DEF_DOMAIN";
        UNITY_SPLIT_DNS = 28675, "UNITY_SPLIT_DNS";
        UNITY_SPLIT_INCLUDE = 28676, "UNITY_SPLIT_INCLUDE";
        UNITY_NATT_PORT = 28677, "UNITY_NATT_PORT";
        UNITY_LOCAL_LAN = 28678, "UNITY_LOCAL_LAN";
        UNITY_PFS = 28679, "UNITY_PFS";
        UNITY_FW_TYPE = 28680, "UNITY_FW_TYPE";
        UNITY_BACKUP_SERVERS = 28681, "UNITY_BACKUP_SERVERS";
        UNITY_DDNS_HOSTNAME = 28682, "UNITY_DDNS_HOSTNAME";
    }
}
