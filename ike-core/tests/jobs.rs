//! Diffie-Hellman as jobs: taken out, computed in other threads, handed back; refused when the exchange is gone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use core::net::IpAddr;
use std::thread;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use ike_core::config::{
    Config, Limits, PeerConfig, PeerId, Phase1Cipher, Phase1Proposal, Secret, Timing,
};
use ike_core::crypto::SOFTWARE;
use ike_core::error::ApiError;
use ike_core::wire::numbers::{GroupDescription, HashAlgorithm};
use ike_core::{Context, Endpoint, Instant, Job, JobResult, Path, Resources, Work};

const PROPOSALS: &[Phase1Proposal] = &[Phase1Proposal {
    cipher: Phase1Cipher::AesCbc(128),
    hash: HashAlgorithm::SHA2_256,
    group: GroupDescription::ECP_256,
}];

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn peers(own: u8, other: u8) -> [PeerConfig<'static>; 1] {
    let psk = Secret::Bytes(b"a key that nobody guesses");
    [PeerConfig::new(PeerId(1), address(own), address(other), psk, PROPOSALS, &[])]
}

fn config<'c>(peers: &'c [PeerConfig<'c>; 1]) -> Config<'c> {
    Config { peers, crypto: &SOFTWARE, timing: Timing::DEFAULT, limits: Limits::DEFAULT }
}

fn path(own: u8, other: u8) -> Path {
    Path { local: (address(own), 500).into(), remote: (address(other), 500).into(), encap: false }
}

/// An endpoint and its own randomness.
struct End<'s> {
    endpoint: Endpoint<'s>,
    rng: ChaCha20Rng,
}

impl<'s> End<'s> {
    fn new(memory: &'s mut Resources<2, 2, 2, 1536>, seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        Self { endpoint: Endpoint::new(memory.storage(), &mut rng).unwrap(), rng }
    }

    fn with<R>(
        &mut self,
        config: &Config<'_>,
        act: impl FnOnce(&mut Endpoint<'s>, &mut Context<'_>) -> R,
    ) -> R {
        let mut cx = Context { now: Instant::ZERO, rng: &mut self.rng, config };
        act(&mut self.endpoint, &mut cx)
    }

    /// Whatever waits is computed by another thread.
    fn compute(&mut self, config: &Config<'_>) {
        while let Some(job) = self.with(config, |endpoint, cx| endpoint.take_work(cx)) {
            let result = thread::spawn(|| job.run()).join().unwrap();
            self.with(config, |endpoint, cx| endpoint.complete_work(cx, result)).unwrap();
        }
    }

    fn sent(&mut self) -> Vec<Vec<u8>> {
        let mut all = vec![];
        while let Some(transmit) = self.endpoint.poll_transmit() {
            all.push(transmit.datagram.to_vec());
        }
        all
    }
}

#[test]
fn other_threads_may_compute() {
    let (peers_a, peers_b) = (peers(1, 2), peers(2, 1));
    let (config_a, config_b) = (config(&peers_a), config(&peers_b));
    let (mut memory_a, mut memory_b) = (Resources::new(), Resources::new());
    let (mut a, mut b) = (End::new(&mut memory_a, 1), End::new(&mut memory_b, 2));
    a.with(&config_a, |endpoint, cx| endpoint.initiate(cx, PeerId(1), path(1, 2))).unwrap();
    for _ in 0..3 {
        a.compute(&config_a);
        for mut datagram in a.sent() {
            b.with(&config_b, |b, cx| b.handle_datagram(cx, path(2, 1), &mut datagram)).unwrap();
        }
        b.compute(&config_b);
        for mut datagram in b.sent() {
            a.with(&config_a, |a, cx| a.handle_datagram(cx, path(1, 2), &mut datagram)).unwrap();
        }
    }
    assert!(a.endpoint.ike_sas().all(|sa| sa.established) && a.endpoint.ike_sas().count() == 1);
    assert!(b.endpoint.ike_sas().all(|sa| sa.established) && b.endpoint.ike_sas().count() == 1);
}

/// The initiator with a job under way: its public value is wanted.
fn with_job(test: impl FnOnce(&mut End<'_>, &Config<'_>, Job)) {
    let (peers_a, peers_b) = (peers(1, 2), peers(2, 1));
    let (config_a, config_b) = (config(&peers_a), config(&peers_b));
    let (mut memory_a, mut memory_b) = (Resources::new(), Resources::new());
    let (mut a, mut b) = (End::new(&mut memory_a, 1), End::new(&mut memory_b, 2));
    a.with(&config_a, |endpoint, cx| endpoint.initiate(cx, PeerId(1), path(1, 2))).unwrap();
    let mut first = a.sent().remove(0);
    b.with(&config_b, |b, cx| b.handle_datagram(cx, path(2, 1), &mut first)).unwrap();
    let mut second = b.sent().remove(0);
    a.with(&config_a, |a, cx| a.handle_datagram(cx, path(1, 2), &mut second)).unwrap();
    let job = a.with(&config_a, |endpoint, cx| endpoint.take_work(cx)).unwrap();
    test(&mut a, &config_a, job);
}

#[test]
fn a_result_for_an_exchange_that_is_gone_is_refused() {
    with_job(|a, config, job| {
        let ike = a.endpoint.ike_sas().next().unwrap().handle;
        a.with(config, |endpoint, cx| endpoint.delete_ike(cx, ike)).unwrap();
        let refused = a.with(config, |endpoint, cx| endpoint.complete_work(cx, job.run()));
        assert_eq!(refused, Err(ApiError::Stale));
    });
}

#[test]
fn a_job_is_handed_out_once() {
    with_job(|a, config, job| {
        assert!(a.with(config, |endpoint, cx| endpoint.take_work(cx)).is_none());
        assert_eq!(a.with(config, |endpoint, cx| endpoint.handle_work(cx, 1)), Work::Idle);
        assert!(job.wants_public() && job.peer_public().is_none());
        assert_eq!(a.with(config, |endpoint, cx| endpoint.complete_work(cx, job.run())), Ok(()));
        assert_eq!(a.sent().len(), 1, "message 3");
    });
}

#[test]
fn results_of_the_wrong_length_are_handed_back() {
    with_job(|a, config, job| {
        let job = job.complete(&[1; 63], &[]).unwrap_err();
        let job = job.complete(&[1; 64], &[1; 32]).unwrap_err();
        let result = job.complete(&[1; 64], &[]).unwrap();
        assert_eq!(a.with(config, |endpoint, cx| endpoint.complete_work(cx, result)), Ok(()));
    });
}

#[test]
fn what_goes_to_other_threads_is_send() {
    const fn is_send<T: Send>() {}
    is_send::<Endpoint<'static>>();
    is_send::<Job>();
    is_send::<JobResult>();
}
