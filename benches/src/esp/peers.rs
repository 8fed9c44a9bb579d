//! OpenSSL: what `peers/openssl.c` offers.

use std::ffi::{CStr, c_char, c_int, c_void};

unsafe extern "C" {
    fn peer_cbc(
        cipher: *const c_char,
        key: *const u8,
        digest: *const c_char,
        mac_key: *const u8,
        mac_key_len: usize,
        icv: usize,
    ) -> *mut c_void;
    fn peer_cbc_seal(sa: *mut c_void, packet: *mut u8, text: usize);
    fn peer_cbc_open(sa: *mut c_void, packet: *mut u8, text: usize) -> c_int;
    fn peer_aead(cipher: *const c_char, key: *const u8) -> *mut c_void;
    fn peer_aead_seal(sa: *mut c_void, packet: *mut u8, text: usize);
    fn peer_aead_open(sa: *mut c_void, packet: *mut u8, text: usize) -> c_int;
}

/// One SA of OpenSSL's. Never freed: a benchmark ends soon.
#[derive(Clone, Copy)]
pub struct OpenSsl {
    sa: *mut c_void,
    /// Bytes of IV, and of ICV.
    around: (usize, usize),
    aead: bool,
}

impl OpenSsl {
    pub fn cbc(
        cipher: &CStr,
        digest: &CStr,
        key_len: usize,
        mac_key_len: usize,
        icv: usize,
    ) -> Self {
        let keys = [0x11_u8; 128];
        assert!(key_len <= keys.len() && mac_key_len <= keys.len());
        // SAFETY: the names end in NUL and the keys are longer than any of these algorithms reads.
        let sa = unsafe {
            peer_cbc(
                cipher.as_ptr(),
                keys.as_ptr(),
                digest.as_ptr(),
                keys.as_ptr(),
                mac_key_len,
                icv,
            )
        };
        Self { sa, around: (16, icv), aead: false }
    }

    pub fn aead(cipher: &CStr) -> Self {
        let keys = [0x11_u8; 128];
        // SAFETY: as above.
        let sa = unsafe { peer_aead(cipher.as_ptr(), keys.as_ptr()) };
        Self { sa, around: (8, 16), aead: true }
    }

    /// Seals `packet`, which has the IV in its place and room for the ICV.
    pub fn seal(&self, packet: &mut [u8]) {
        let text = self.text_len(packet);
        // SAFETY: header, IV, text and ICV make up `packet`, and the SA is alive.
        unsafe {
            if self.aead {
                peer_aead_seal(self.sa, packet.as_mut_ptr(), text);
            } else {
                peer_cbc_seal(self.sa, packet.as_mut_ptr(), text);
            }
        }
    }

    /// Checks and decrypts `packet`; whether it was authentic.
    pub fn open(&self, packet: &mut [u8]) -> bool {
        let text = self.text_len(packet);
        // SAFETY: as in `seal`.
        let bad = unsafe {
            if self.aead {
                peer_aead_open(self.sa, packet.as_mut_ptr(), text)
            } else {
                peer_cbc_open(self.sa, packet.as_mut_ptr(), text)
            }
        };
        bad == 0
    }

    fn text_len(&self, packet: &[u8]) -> usize {
        packet.len().checked_sub(8 + self.around.0 + self.around.1).expect("a whole packet")
    }
}
