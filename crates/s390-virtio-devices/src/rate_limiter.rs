// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Limits on what a guest may ask of the host's storage and network: a token bucket, which is
//! arithmetic alone, and a rate limiter, which adds a clock and a timer.

use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use vmm_sys_util::timerfd::TimerFd;

/// Nanoseconds in a second: the bucket counts in billionths of a token, so that no time is lost
/// however often it is looked at.
const NANOS: i128 = 1_000_000_000;

/// So many tokens a second, and so many at once.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens a second, in the long run.
    pub per_second: NonZeroU64,
    /// Tokens that a bucket holds: what can be taken at once after a quiet time. Never 0 in
    /// effect: such a bucket holds one.
    pub burst: u64,
}

impl Rate {
    /// This many a second; none for 0. The burst is what comes in a tenth of a second.
    pub fn per_second(tokens: u64) -> Option<Self> {
        Some(Rate {
            per_second: NonZeroU64::new(tokens)?,
            burst: (tokens / 10).max(1),
        })
    }
}

/// A bucket that fills at a constant rate. Time is whatever the caller says it is.
///
/// Whoever finds a token in it may take as many as he needs: the bucket goes into debt, and the
/// next one waits until it is paid. So a request that is larger than the bucket passes too, and
/// the rate in the long run is exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    rate: Rate,
    /// Billionths of a token.
    balance: i128,
    updated: Duration,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(rate: Rate, now: Duration) -> Self {
        let mut bucket = TokenBucket {
            rate,
            balance: 0,
            updated: now,
        };
        bucket.balance = bucket.capacity();
        bucket
    }

    /// The rate it was made for.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// How long it takes until there is a token; nothing if there is one.
    pub fn wait(&mut self, now: Duration) -> Option<Duration> {
        self.refill(now);
        let missing = NANOS - self.balance;
        if missing <= 0 {
            return None;
        }
        let rate = i128::from(self.rate.per_second.get());
        let nanos = (missing + rate - 1) / rate;
        Some(Duration::from_nanos(nanos.try_into().unwrap_or(u64::MAX)))
    }

    /// Takes tokens, into debt if need be.
    pub fn take(&mut self, tokens: u64) {
        self.balance = self.balance.saturating_sub(i128::from(tokens) * NANOS);
    }

    fn capacity(&self) -> i128 {
        i128::from(self.rate.burst.max(1)) * NANOS
    }

    /// A clock that goes back adds nothing.
    fn refill(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.updated);
        self.updated = self.updated.max(now);
        let elapsed = i128::try_from(elapsed.as_nanos()).unwrap_or(i128::MAX);
        let tokens = elapsed.saturating_mul(self.rate.per_second.get().into());
        self.balance = self.balance.saturating_add(tokens).min(self.capacity());
    }
}

/// What to limit; `None` is without limit.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// Operations: requests of a disk, frames of a network.
    pub ops: Option<Rate>,
    /// Bytes.
    pub bytes: Option<Rate>,
}

impl RateLimits {
    /// Whether nothing is limited.
    pub fn is_unlimited(&self) -> bool {
        *self == RateLimits::default()
    }
}

/// Lets operations pass at the rates of its limits, and tells with a timer when the next one may.
///
/// A device asks [`try_take`](Self::try_take) before each operation. If the answer is no, it stops,
/// and goes on when the file descriptor, which it registered with its event loop, becomes readable;
/// then it calls [`expired`](Self::expired).
#[derive(Debug)]
pub struct RateLimiter {
    /// What log lines call the device that is limited.
    name: String,
    ops: Option<TokenBucket>,
    bytes: Option<TokenBucket>,
    timer: TimerFd,
    armed: bool,
    /// Time 0 of the buckets.
    start: Instant,
}

impl RateLimiter {
    /// A limiter with full buckets.
    ///
    /// # Errors
    ///
    /// The host has no timer left.
    pub fn new(limits: RateLimits) -> io::Result<Self> {
        let mut limiter = RateLimiter {
            name: "rate limiter".to_owned(),
            ops: None,
            bytes: None,
            timer: TimerFd::new()?,
            armed: false,
            start: Instant::now(),
        };
        limiter.set_limits(limits);
        Ok(limiter)
    }

    /// What log lines shall call the device that is limited.
    pub fn set_name(&mut self, name: &str) {
        name.clone_into(&mut self.name);
    }

    /// The limits as they are.
    pub fn limits(&self) -> RateLimits {
        RateLimits {
            ops: self.ops.as_ref().map(TokenBucket::rate),
            bytes: self.bytes.as_ref().map(TokenBucket::rate),
        }
    }

    /// Changes the limits, with full buckets. If an operation waits, the timer expires now: it was set
    /// for the limits of before.
    pub fn set_limits(&mut self, limits: RateLimits) {
        let now = self.start.elapsed();
        self.ops = limits.ops.map(|rate| TokenBucket::new(rate, now));
        self.bytes = limits.bytes.map(|rate| TokenBucket::new(rate, now));
        if self.armed {
            self.set_timer(Duration::ZERO);
        }
    }

    /// Whether an operation of so many bytes may pass now. If not, the timer says when to ask
    /// again; nothing was taken then.
    pub fn try_take(&mut self, bytes: u64) -> bool {
        let ready = self.is_ready();
        if ready {
            self.take(bytes);
        }
        ready
    }

    /// The same for an operation whose bytes will be known afterwards: [`take`](Self::take) them
    /// then.
    pub fn is_ready(&mut self) -> bool {
        if self.ops.is_none() && self.bytes.is_none() {
            return true;
        }
        let now = self.start.elapsed();
        let buckets = [&mut self.ops, &mut self.bytes];
        let wait = buckets.into_iter().flatten().filter_map(|b| b.wait(now));
        match wait.max() {
            // Without a timer nobody would ever come back: better too fast than never.
            Some(wait) => !self.arm(wait),
            None => true,
        }
    }

    /// Takes an operation of so many bytes, into debt if need be.
    pub fn take(&mut self, bytes: u64) {
        if let Some(bucket) = &mut self.ops {
            bucket.take(1);
        }
        if let Some(bucket) = &mut self.bytes {
            bucket.take(bytes);
        }
    }

    /// The timer's event was seen.
    pub fn expired(&mut self) {
        if std::mem::take(&mut self.armed) {
            // It has expired, so this does not wait.
            if let Err(error) = self.timer.wait() {
                log::error!("{}: the limit's timer cannot be read: {error}", self.name);
            }
        }
    }

    /// Sets the timer, unless it runs; whether it does now.
    fn arm(&mut self, wait: Duration) -> bool {
        if !self.armed {
            self.armed = self.set_timer(wait);
        }
        self.armed
    }

    /// Sets the timer; whether that was possible.
    fn set_timer(&mut self, wait: Duration) -> bool {
        // Zero would stop it.
        let result = self.timer.reset(wait.max(Duration::from_nanos(1)), None);
        if let Err(error) = &result {
            log::error!("{}: the limit's timer cannot be set: {error}", self.name);
        }
        result.is_ok()
    }
}

/// The timer, readable when a denied operation may be tried again.
impl AsRawFd for RateLimiter {
    fn as_raw_fd(&self) -> RawFd {
        self.timer.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1000);

    fn rate(per_second: u64, burst: u64) -> Rate {
        Rate {
            per_second: NonZeroU64::new(per_second).unwrap(),
            burst,
        }
    }

    fn millis(n: u64) -> Duration {
        START + Duration::from_millis(n)
    }

    #[test]
    fn a_full_bucket_gives_its_burst_at_once() {
        let mut bucket = TokenBucket::new(rate(10, 3), START);
        for _ in 0..3 {
            assert_eq!(bucket.wait(START), None);
            bucket.take(1);
        }
        assert_eq!(bucket.wait(START), Some(Duration::from_millis(100)));
        assert_eq!(bucket.wait(millis(99)), Some(Duration::from_millis(1)));
        assert_eq!(bucket.wait(millis(100)), None);
        // It never holds more than the burst.
        assert_eq!(bucket.wait(millis(100_000)), None);
        bucket.take(3);
        assert!(bucket.wait(millis(100_000)).is_some());
    }

    #[test]
    fn what_is_larger_than_the_bucket_goes_into_debt() {
        let mut bucket = TokenBucket::new(rate(1000, 10), START);
        assert_eq!(bucket.wait(START), None);
        bucket.take(510);
        assert_eq!(bucket.wait(START), Some(Duration::from_millis(501)));
        assert_eq!(bucket.wait(millis(501)), None);
    }

    #[test]
    fn the_rate_is_exact_however_often_one_asks() {
        // 7 does not divide a second: whatever rounds would drift.
        let mut bucket = TokenBucket::new(rate(7, 1), START);
        let (mut now, mut taken) = (START, 0u64);
        while now < START + Duration::from_secs(100) {
            now += Duration::from_nanos(1_234_567);
            if bucket.wait(now).is_none() {
                bucket.take(1);
                taken += 1;
            }
        }
        assert!((695..=701).contains(&taken), "{taken}");
        // And exactly so for one who comes when he is told to.
        let mut bucket = TokenBucket::new(rate(7, 1), START);
        let mut now = START;
        for _ in 0..=700 {
            if let Some(wait) = bucket.wait(now) {
                now += wait;
                assert_eq!(bucket.wait(now), None);
            }
            bucket.take(1);
        }
        let late = now - (START + Duration::from_secs(100));
        assert!(late < Duration::from_micros(1), "{late:?}");
    }

    #[test]
    fn extremes_do_not_overflow() {
        let mut bucket = TokenBucket::new(rate(u64::MAX, u64::MAX), Duration::ZERO);
        assert_eq!(bucket.wait(Duration::MAX), None);
        // The clock goes back.
        assert_eq!(bucket.wait(Duration::ZERO), None);
        bucket.take(u64::MAX);
        bucket.take(u64::MAX);
        assert!(bucket.wait(Duration::ZERO).is_some());
        // Time that comes again adds nothing.
        let mut bucket = TokenBucket::new(rate(10, 1), START);
        bucket.take(1);
        assert!(bucket.wait(START - Duration::from_secs(1)).is_some());
        assert_eq!(bucket.wait(START), Some(Duration::from_millis(100)));
        let mut slow = TokenBucket::new(rate(1, 0), Duration::ZERO);
        assert_eq!(slow.wait(Duration::ZERO), None);
        for _ in 0..1000 {
            slow.take(u64::MAX);
        }
        assert_eq!(
            slow.wait(Duration::ZERO),
            Some(Duration::from_nanos(u64::MAX))
        );
    }

    #[test]
    fn without_limits_everything_passes() {
        let mut limiter = RateLimiter::new(RateLimits::default()).unwrap();
        assert!(limiter.limits().is_unlimited());
        assert!((0..1000).all(|_| limiter.try_take(u64::MAX)));
    }

    fn readable(limiter: &RateLimiter, timeout: i32) -> bool {
        let mut poll = libc::pollfd {
            fd: limiter.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one valid structure, which outlives the call.
        unsafe { libc::poll(&mut poll, 1, timeout) == 1 }
    }

    #[test]
    fn either_limit_denies_and_the_timer_tells_when_to_come_back() {
        for limits in [
            RateLimits {
                ops: Some(rate(20, 1)),
                bytes: None,
            },
            RateLimits {
                ops: Some(rate(1000, 1000)),
                bytes: Some(rate(20_480, 1)),
            },
        ] {
            let mut limiter = RateLimiter::new(limits).unwrap();
            assert_eq!(limiter.limits(), limits);
            assert!(limiter.try_take(1024));
            assert!(!limiter.try_take(1024));
            assert!(!readable(&limiter, 0));
            assert!(readable(&limiter, 10_000));
            limiter.expired();
            assert!(!readable(&limiter, 0));
            assert!(limiter.try_take(1024));
            assert!(!limiter.try_take(1024));
            // New limits count at once; a timer that still runs does no harm.
            limiter.set_limits(RateLimits::default());
            assert!(limiter.try_take(1 << 40));
        }
    }

    #[test]
    fn who_waits_for_old_limits_comes_back_for_the_new_ones() {
        let limits = |per_second| RateLimits {
            ops: None,
            bytes: Some(rate(per_second, 1)),
        };
        let mut limiter = RateLimiter::new(limits(1)).unwrap();
        assert!(limiter.try_take(1 << 40));
        // For some ten thousand years.
        assert!(!limiter.try_take(1));
        limiter.set_limits(limits(20));
        assert!(readable(&limiter, 10_000));
        limiter.expired();
        assert!(limiter.try_take(1));
        assert!(!limiter.try_take(1));
        assert!(readable(&limiter, 10_000));
        limiter.expired();
        assert!(limiter.try_take(1));
        // Nobody waits.
        limiter.set_limits(limits(1));
        assert!(!readable(&limiter, 20));
    }

    #[test]
    fn the_timer_is_for_the_limit_that_denies_longest() {
        let mut limiter = RateLimiter::new(RateLimits {
            ops: Some(rate(100, 1)),
            bytes: Some(rate(1, 1)),
        })
        .unwrap();
        assert!(limiter.try_take(1000));
        assert!(!limiter.try_take(1));
        assert!(!readable(&limiter, 50));
    }

    #[test]
    fn rates_on_the_command_line() {
        assert_eq!(Rate::per_second(0), None);
        assert_eq!(Rate::per_second(5), Some(rate(5, 1)));
        assert_eq!(Rate::per_second(1000), Some(rate(1000, 100)));
    }
}
