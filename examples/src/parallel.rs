//! Work shared out to all cores, and the results of its parts added up.

use std::num::NonZero;
use std::sync::Mutex;
use std::thread;

/// What the threads share.
struct Shared<S, E> {
    next: u64,
    done: u64,
    sum: Result<S, E>,
}

/// Does the parts 0 to `count` of some work, on all cores, and adds up what comes of them. `progress` is told how many are
/// done, of how many.
///
/// # Errors
///
/// The first that a part gives; what has not begun by then is left.
///
/// # Panics
///
/// If a part does.
pub fn sum<S, P, E>(
    count: u64,
    part: impl Fn(u64) -> Result<P, E> + Sync,
    add: impl Fn(&mut S, &P) + Sync,
    progress: impl Fn(u64, u64) + Sync,
) -> Result<S, E>
where
    S: Default + Send,
    E: Send,
{
    let shared = Mutex::new(Shared { next: 0, done: 0, sum: Ok(S::default()) });
    let lock = || shared.lock().expect("no other thread panicked");
    let take = || {
        let mut shared = lock();
        let number = shared.next;
        shared.next += 1;
        (number < count && shared.sum.is_ok()).then_some(number)
    };
    let work = || {
        while let Some(number) = take() {
            let result = part(number);
            let mut shared = lock();
            match (&mut shared.sum, result) {
                (Ok(sum), Ok(part)) => add(sum, &part),
                (sum @ Ok(_), Err(error)) => *sum = Err(error),
                (Err(_), _) => {}
            }
            shared.done += 1;
            progress(shared.done, count);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(work);
        }
    });
    shared.into_inner().expect("no thread panicked").sum
}
