//! The compression functions of SHA-1 and SHA-2 (FIPS 180-4 §6) for several messages in step.
//!
//! Every variable of the standard is an array with an element for each message, its lane, and every operation goes over
//! all lanes: where a register holds a whole array, the compiler makes one instruction of each such loop. Words come
//! as they lie in the message and are turned round here.

#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::needless_range_loop,
    reason = "lanes are below N, words are counted modulo 16, rounds are at most 80"
)]

/// The chaining values of `N` messages.
pub(super) type States<W, const N: usize, const WORDS: usize> = [[W; N]; WORDS];
/// A block of each, word by word.
pub(super) type Blocks<W, const N: usize> = [[W; N]; 16];

/// FIPS 180-4 §6.1.2. Uses up `words`.
#[inline(always)]
pub(super) fn sha1<const N: usize>(states: &mut States<u32, N, 5>, words: &mut Blocks<u32, N>) {
    let mut variables = *states;
    for t in (0..20).step_by(5) {
        sha1_rounds(&mut variables, words, t, 0x5a82_7999, |b, c, d| d ^ (b & (c ^ d)));
    }
    for t in (20..40).step_by(5) {
        sha1_rounds(&mut variables, words, t, 0x6ed9_eba1, |b, c, d| b ^ c ^ d);
    }
    for t in (40..60).step_by(5) {
        sha1_rounds(&mut variables, words, t, 0x8f1b_bcdc, |b, c, d| (b & c) | (d & (b | c)));
    }
    for t in (60..80).step_by(5) {
        sha1_rounds(&mut variables, words, t, 0xca62_c1d6, |b, c, d| b ^ c ^ d);
    }
    for (state, variable) in states.iter_mut().zip(&variables) {
        for lane in 0..N {
            state[lane] = state[lane].wrapping_add(variable[lane]);
        }
    }
}

/// Five rounds from `t` on: as many as bring each variable back to its place.
#[inline(always)]
fn sha1_rounds<const N: usize>(
    [a, b, c, d, e]: &mut States<u32, N, 5>,
    words: &mut Blocks<u32, N>,
    t: usize,
    constant: u32,
    mix: impl Fn(u32, u32, u32) -> u32 + Copy,
) {
    for t in t..t + 5 {
        if t < 16 {
            for lane in 0..N {
                words[t][lane] = u32::from_be(words[t][lane]);
            }
        } else {
            let [w3, w8, w14, mut word] = [3, 8, 14, 16].map(|back| words[(t - back) % 16]);
            for lane in 0..N {
                word[lane] = (w3[lane] ^ w8[lane] ^ w14[lane] ^ word[lane]).rotate_left(1);
            }
            words[t % 16] = word;
        }
    }
    let word = |t: usize| &words[t % 16];
    sha1_round(a, b, c, d, e, word(t), constant, mix);
    sha1_round(e, a, b, c, d, word(t + 1), constant, mix);
    sha1_round(d, e, a, b, c, word(t + 2), constant, mix);
    sha1_round(c, d, e, a, b, word(t + 3), constant, mix);
    sha1_round(b, c, d, e, a, word(t + 4), constant, mix);
}

#[expect(clippy::too_many_arguments, reason = "as many as the standard names")]
#[inline(always)]
fn sha1_round<const N: usize>(
    a: &[u32; N],
    b: &mut [u32; N],
    c: &[u32; N],
    d: &[u32; N],
    e: &mut [u32; N],
    word: &[u32; N],
    constant: u32,
    mix: impl Fn(u32, u32, u32) -> u32,
) {
    for lane in 0..N {
        // What is known early is added first: the next round waits for `a` alone.
        let early = e[lane].wrapping_add(word[lane].wrapping_add(constant));
        let early = mix(b[lane], c[lane], d[lane]).wrapping_add(early);
        e[lane] = a[lane].rotate_left(5).wrapping_add(early);
        b[lane] = b[lane].rotate_left(30);
    }
}

macro_rules! sha2 {
    ($(#[$doc:meta])* $name:ident, $rounds:ident, $round:ident, $word:ty, $count:literal, $constant:expr,
     [$a0:literal, $a1:literal, $a2:literal], [$e0:literal, $e1:literal, $e2:literal],
     [$s0:literal, $s1:literal, $s2:literal], [$t0:literal, $t1:literal, $t2:literal]) => {
        $(#[$doc])*
        #[inline(always)]
        pub(super) fn $name<const N: usize>(
            states: &mut States<$word, N, 8>,
            words: &mut Blocks<$word, N>,
        ) {
            let mut variables = *states;
            for t in (0..$count).step_by(8) {
                $rounds(&mut variables, words, t);
            }
            for (state, variable) in states.iter_mut().zip(&variables) {
                for lane in 0..N {
                    state[lane] = state[lane].wrapping_add(variable[lane]);
                }
            }
        }

        /// Eight rounds from `t` on: as many as bring each variable back to its place.
        #[inline(always)]
        fn $rounds<const N: usize>(
            [a, b, c, d, e, f, g, h]: &mut States<$word, N, 8>,
            words: &mut Blocks<$word, N>,
            t: usize,
        ) {
            for t in t..t + 8 {
                if t < 16 {
                    for lane in 0..N {
                        words[t][lane] = <$word>::from_be(words[t][lane]);
                    }
                } else {
                    let [w2, w7, w15, mut word] = [2, 7, 15, 16].map(|back| words[(t - back) % 16]);
                    for lane in 0..N {
                        let (x, y) = (w15[lane], w2[lane]);
                        let sum0 = x.rotate_right($s0) ^ x.rotate_right($s1) ^ (x >> $s2);
                        let sum1 = y.rotate_right($t0) ^ y.rotate_right($t1) ^ (y >> $t2);
                        let early = word[lane].wrapping_add(w7[lane]).wrapping_add(sum0);
                        word[lane] = early.wrapping_add(sum1);
                    }
                    words[t % 16] = word;
                }
            }
            let word = |t: usize| &words[t % 16];
            let constant = |t: usize| $constant(CONSTANTS[t]);
            $round(a, b, c, d, e, f, g, h, word(t), constant(t));
            $round(h, a, b, c, d, e, f, g, word(t + 1), constant(t + 1));
            $round(g, h, a, b, c, d, e, f, word(t + 2), constant(t + 2));
            $round(f, g, h, a, b, c, d, e, word(t + 3), constant(t + 3));
            $round(e, f, g, h, a, b, c, d, word(t + 4), constant(t + 4));
            $round(d, e, f, g, h, a, b, c, word(t + 5), constant(t + 5));
            $round(c, d, e, f, g, h, a, b, word(t + 6), constant(t + 6));
            $round(b, c, d, e, f, g, h, a, word(t + 7), constant(t + 7));
        }

        #[expect(clippy::too_many_arguments, reason = "as many as the standard names")]
        #[inline(always)]
        fn $round<const N: usize>(
            a: &[$word; N],
            b: &[$word; N],
            c: &[$word; N],
            d: &mut [$word; N],
            e: &[$word; N],
            f: &[$word; N],
            g: &[$word; N],
            h: &mut [$word; N],
            word: &[$word; N],
            constant: $word,
        ) {
            for lane in 0..N {
                let (x, y) = (a[lane], e[lane]);
                let sum0 = x.rotate_right($a0) ^ x.rotate_right($a1) ^ x.rotate_right($a2);
                let sum1 = y.rotate_right($e0) ^ y.rotate_right($e1) ^ y.rotate_right($e2);
                let choice = g[lane] ^ (y & (f[lane] ^ g[lane]));
                let majority = (x & b[lane]) | (c[lane] & (x | b[lane]));
                let early = h[lane].wrapping_add(word[lane].wrapping_add(constant));
                let first = early.wrapping_add(choice).wrapping_add(sum1);
                d[lane] = d[lane].wrapping_add(first);
                h[lane] = sum0.wrapping_add(majority).wrapping_add(first);
            }
        }
    };
}

sha2!(
    /// FIPS 180-4 §6.2.2. Uses up `words`.
    sha256, sha256_rounds, sha256_round, u32, 64, |constant: u64| (constant >> 32) as u32,
    [2, 13, 22], [6, 11, 25], [7, 18, 3], [17, 19, 10]
);
sha2!(
    /// FIPS 180-4 §6.4.2. Uses up `words`.
    sha512, sha512_rounds, sha512_round, u64, 80, |constant: u64| constant,
    [28, 34, 39], [14, 18, 41], [1, 8, 7], [19, 61, 6]
);

/// FIPS 180-4 §4.2.3. The upper halves of the first 64 are those of SHA-256 (§4.2.2): both are the fractions of the
/// cube roots of the first primes.
const CONSTANTS: [u64; 80] = [
    0x428a_2f98_d728_ae22,
    0x7137_4491_23ef_65cd,
    0xb5c0_fbcf_ec4d_3b2f,
    0xe9b5_dba5_8189_dbbc,
    0x3956_c25b_f348_b538,
    0x59f1_11f1_b605_d019,
    0x923f_82a4_af19_4f9b,
    0xab1c_5ed5_da6d_8118,
    0xd807_aa98_a303_0242,
    0x1283_5b01_4570_6fbe,
    0x2431_85be_4ee4_b28c,
    0x550c_7dc3_d5ff_b4e2,
    0x72be_5d74_f27b_896f,
    0x80de_b1fe_3b16_96b1,
    0x9bdc_06a7_25c7_1235,
    0xc19b_f174_cf69_2694,
    0xe49b_69c1_9ef1_4ad2,
    0xefbe_4786_384f_25e3,
    0x0fc1_9dc6_8b8c_d5b5,
    0x240c_a1cc_77ac_9c65,
    0x2de9_2c6f_592b_0275,
    0x4a74_84aa_6ea6_e483,
    0x5cb0_a9dc_bd41_fbd4,
    0x76f9_88da_8311_53b5,
    0x983e_5152_ee66_dfab,
    0xa831_c66d_2db4_3210,
    0xb003_27c8_98fb_213f,
    0xbf59_7fc7_beef_0ee4,
    0xc6e0_0bf3_3da8_8fc2,
    0xd5a7_9147_930a_a725,
    0x06ca_6351_e003_826f,
    0x1429_2967_0a0e_6e70,
    0x27b7_0a85_46d2_2ffc,
    0x2e1b_2138_5c26_c926,
    0x4d2c_6dfc_5ac4_2aed,
    0x5338_0d13_9d95_b3df,
    0x650a_7354_8baf_63de,
    0x766a_0abb_3c77_b2a8,
    0x81c2_c92e_47ed_aee6,
    0x9272_2c85_1482_353b,
    0xa2bf_e8a1_4cf1_0364,
    0xa81a_664b_bc42_3001,
    0xc24b_8b70_d0f8_9791,
    0xc76c_51a3_0654_be30,
    0xd192_e819_d6ef_5218,
    0xd699_0624_5565_a910,
    0xf40e_3585_5771_202a,
    0x106a_a070_32bb_d1b8,
    0x19a4_c116_b8d2_d0c8,
    0x1e37_6c08_5141_ab53,
    0x2748_774c_df8e_eb99,
    0x34b0_bcb5_e19b_48a8,
    0x391c_0cb3_c5c9_5a63,
    0x4ed8_aa4a_e341_8acb,
    0x5b9c_ca4f_7763_e373,
    0x682e_6ff3_d6b2_b8a3,
    0x748f_82ee_5def_b2fc,
    0x78a5_636f_4317_2f60,
    0x84c8_7814_a1f0_ab72,
    0x8cc7_0208_1a64_39ec,
    0x90be_fffa_2363_1e28,
    0xa450_6ceb_de82_bde9,
    0xbef9_a3f7_b2c6_7915,
    0xc671_78f2_e372_532b,
    0xca27_3ece_ea26_619c,
    0xd186_b8c7_21c0_c207,
    0xeada_7dd6_cde0_eb1e,
    0xf57d_4f7f_ee6e_d178,
    0x06f0_67aa_7217_6fba,
    0x0a63_7dc5_a2c8_98a6,
    0x113f_9804_bef9_0dae,
    0x1b71_0b35_131c_471b,
    0x28db_77f5_2304_7d84,
    0x32ca_ab7b_40c7_2493,
    0x3c9e_be0a_15c9_bebc,
    0x431d_67c4_9c10_0d4c,
    0x4cc5_d4be_cb3e_42b6,
    0x597f_299c_fc65_7e2a,
    0x5fcb_6fab_3ad6_faec,
    0x6c44_198c_4a47_5817,
];
