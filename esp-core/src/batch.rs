//! What is left to do of the packets of a batch, in memory of fixed size.

use crate::transform::Job;

/// How many packets are worked on at once. Longer batches are taken in pieces.
pub(crate) const BATCH: usize = 32;

/// Up to [`BATCH`] jobs.
pub(crate) struct Jobs {
    jobs: [Job; BATCH],
    len: usize,
}

impl Jobs {
    /// None.
    pub(crate) const fn new() -> Self {
        Self { jobs: [Job::NONE; BATCH], len: 0 }
    }

    /// One more. There is room for one of every packet of a batch.
    pub(crate) fn push(&mut self, job: Job) {
        if let Some(place) = self.jobs.get_mut(self.len) {
            *place = job;
            self.len = self.len.saturating_add(1);
        }
    }

    /// Whether there is one of this SA.
    pub(crate) fn any_of(&self, sa: usize) -> bool {
        self.jobs.iter().take(self.len).any(|job| job.sa == sa)
    }

    /// All, sorted by SA and then by length, so that neighbours can be done side by side.
    pub(crate) fn sorted(&mut self) -> &[Job] {
        let jobs = self.jobs.get_mut(..self.len).unwrap_or_default();
        jobs.sort_unstable_by_key(|job| (job.sa, job.esp_len));
        jobs
    }
}

/// The runs of jobs of one SA.
pub(crate) fn by_sa(jobs: &[Job]) -> impl Iterator<Item = (usize, &[Job])> {
    let runs = jobs.chunk_by(|one, next| one.sa == next.sa);
    runs.filter_map(|run| Some((run.first()?.sa, run)))
}
