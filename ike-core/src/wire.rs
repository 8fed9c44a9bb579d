//! The bytes of ISAKMP: RFC 2408 §3 and the IPsec DOI, RFC 2407 §4.

pub mod numbers;
