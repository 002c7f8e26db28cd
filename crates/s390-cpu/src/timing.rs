// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! TOD clock, clock comparator and CPU timer.
//!
//! The unit is that of the TOD clock: bit 51 of 64 counts microseconds, so 2^-12 microseconds.
//! Timers are not counted down: they are compared with the clock now and then, and a CPU that
//! waits sleeps until the first of them is due.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// TOD units from 1900-01-01, where the TOD clock begins, to 1970-01-01.
pub(crate) const TOD_UNIX_EPOCH: u64 = 0x7d91_048b_ca00_0000;
/// No sleep is longer: it keeps deadlines far from what an `Instant` can hold.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// Where the time of a virtual machine comes from.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Time {
    /// The host's: the TOD clock starts at the host's time of day.
    #[default]
    Host,
    /// Every instruction takes a nanosecond, and a CPU that waits for a timer finds it due at
    /// once. The TOD clock starts at 0x`4000_0000_0000_0000` (1936). With one CPU runs are
    /// reproducible.
    Virtual,
}

/// TOD units in so many nanoseconds.
fn units(ns: u64) -> u64 {
    (u128::from(ns) * 512 / 125) as u64
}

/// Nanoseconds in so many TOD units, rounded up.
fn nanoseconds(units: u64) -> u64 {
    (u128::from(units) * 125).div_ceil(512) as u64
}

/// The host's time without the time during which it was stopped.
#[derive(Debug)]
struct HostTime {
    start: Instant,
    /// While it goes on, nanoseconds that it was stopped so far; while it is stopped, those that
    /// had passed before, with [`HostTime::STOPPED`]. One word, so that nobody sees half a change.
    state: AtomicU64,
}

impl HostTime {
    const STOPPED: u64 = 1 << 63;

    fn new() -> Self {
        HostTime {
            start: Instant::now(),
            state: AtomicU64::new(0),
        }
    }

    /// Nanoseconds so far.
    fn elapsed(&self) -> u64 {
        match self.state.load(Ordering::Relaxed) {
            state if state & Self::STOPPED != 0 => state & !Self::STOPPED,
            stopped => self.host() - stopped,
        }
    }

    fn stop(&self) {
        let elapsed = self.elapsed();
        self.state.store(Self::STOPPED | elapsed, Ordering::Relaxed);
    }

    fn go_on(&self) {
        let state = self.state.load(Ordering::Relaxed);
        if state & Self::STOPPED != 0 {
            let stopped = self.host() - (state & !Self::STOPPED);
            self.state.store(stopped, Ordering::Relaxed);
        }
    }

    fn host(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}

#[derive(Debug)]
enum Source {
    Host(HostTime),
    /// Nanoseconds so far.
    Virtual(AtomicU64),
}

/// The TOD clock of a virtual machine.
#[derive(Debug)]
pub(crate) struct Clock {
    source: Source,
    /// TOD when the machine was made; SET CLOCK moves it.
    epoch: AtomicU64,
    /// The last value that was handed out as unique.
    last: AtomicU64,
}

impl Clock {
    pub(crate) fn new(time: Time) -> Self {
        let (source, epoch) = match time {
            Time::Host => {
                let unix = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                let epoch = TOD_UNIX_EPOCH.wrapping_add(units(unix.as_nanos() as u64));
                (Source::Host(HostTime::new()), epoch)
            }
            Time::Virtual => (Source::Virtual(AtomicU64::new(0)), 1 << 62),
        };
        Clock {
            source,
            epoch: AtomicU64::new(epoch),
            last: AtomicU64::new(0),
        }
    }

    /// TOD units since the machine was made. Nothing sets it back.
    pub(crate) fn elapsed(&self) -> u64 {
        match &self.source {
            Source::Host(time) => units(time.elapsed()),
            Source::Virtual(ns) => units(ns.load(Ordering::Relaxed)),
        }
    }

    /// Lets time stand still, which virtual time does by itself when no CPU runs.
    pub(crate) fn stop(&self) {
        if let Source::Host(time) = &self.source {
            time.stop();
        }
    }

    /// Lets it go on from where it was stopped.
    pub(crate) fn start(&self) {
        if let Source::Host(time) = &self.source {
            time.go_on();
        }
    }

    /// The TOD clock.
    pub(crate) fn tod(&self) -> u64 {
        self.epoch
            .load(Ordering::Relaxed)
            .wrapping_add(self.elapsed())
    }

    /// The TOD clock, different from and later than whatever this function returned before.
    pub(crate) fn unique(&self) -> u64 {
        let now = self.tod();
        let next = |last: u64| Some(now.max(last.wrapping_add(1)));
        match self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
        {
            Ok(last) | Err(last) => now.max(last.wrapping_add(1)),
        }
    }

    /// SET CLOCK.
    pub(crate) fn set(&self, tod: u64) {
        self.epoch
            .store(tod.wrapping_sub(self.elapsed()), Ordering::Relaxed);
        self.last.store(0, Ordering::Relaxed);
    }
}

/// The timers of one CPU.
#[derive(Debug)]
pub(crate) struct Timers {
    pub(crate) clock: Arc<Clock>,
    pub(crate) comparator: u64,
    /// CPU timer when `since` was; it only runs while the CPU operates.
    cpu_timer: u64,
    /// [`Clock::elapsed`] when `cpu_timer` was right, while it runs.
    since: Option<u64>,
    /// Instructions of this CPU that the virtual clock has seen.
    counted: u64,
}

/// What a timer interruption needs in control register 0.
pub(crate) const CR0_CLOCK_COMPARATOR: u64 = 0x800;
pub(crate) const CR0_CPU_TIMER: u64 = 0x400;

impl Timers {
    pub(crate) fn new(clock: Arc<Clock>) -> Self {
        Timers {
            clock,
            comparator: 0,
            cpu_timer: 0,
            since: None,
            counted: 0,
        }
    }

    /// Lets virtual time pass: the CPU has executed `instructions` in all.
    #[inline]
    pub(crate) fn pass(&mut self, instructions: u64) {
        if let Source::Virtual(ns) = &self.clock.source {
            ns.fetch_add(instructions - self.counted, Ordering::Relaxed);
            self.counted = instructions;
        }
    }

    pub(crate) fn cpu_timer(&self) -> u64 {
        match self.since {
            Some(since) => self
                .cpu_timer
                .wrapping_sub(self.clock.elapsed().wrapping_sub(since)),
            None => self.cpu_timer,
        }
    }

    pub(crate) fn set_cpu_timer(&mut self, value: u64) {
        self.cpu_timer = value;
        self.since = self.since.map(|_| self.clock.elapsed());
    }

    /// Starts or holds the CPU timer: it stands still while the CPU is stopped.
    pub(crate) fn operate(&mut self, operating: bool) {
        if operating != self.since.is_some() {
            self.cpu_timer = self.cpu_timer();
            self.since = operating.then(|| self.clock.elapsed());
        }
    }

    /// Whether the clock comparator interrupts: it is earlier than the TOD clock.
    pub(crate) fn comparator_due(&self) -> bool {
        self.clock.tod() > self.comparator
    }

    /// Whether the CPU timer interrupts: it is negative.
    pub(crate) fn cpu_timer_due(&self) -> bool {
        (self.cpu_timer() as i64) < 0
    }

    /// TOD units until the first timer is due of those that control register 0 selects.
    fn until_due(&self, cr0: u64) -> Option<u64> {
        let comparator = (cr0 & CR0_CLOCK_COMPARATOR != 0 && self.comparator != u64::MAX)
            .then(|| (self.comparator + 1).saturating_sub(self.clock.tod()));
        let cpu_timer = (cr0 & CR0_CPU_TIMER != 0)
            .then(|| (self.cpu_timer() as i64).saturating_add(1).max(0) as u64);
        comparator.into_iter().chain(cpu_timer).min()
    }

    /// How long a CPU may sleep that waits for the timers that `cr0` selects; `None`: for ever.
    /// Virtual time jumps there instead.
    pub(crate) fn sleep(&self, cr0: u64) -> Option<Duration> {
        let ns = nanoseconds(self.until_due(cr0)?);
        match &self.clock.source {
            Source::Host(_) => Some(Duration::from_nanos(ns).min(LONGEST_SLEEP)),
            Source::Virtual(now) => {
                now.fetch_add(ns, Ordering::Relaxed);
                Some(Duration::ZERO)
            }
        }
    }

    /// Instructions until the clock must be looked at again, at most `max`.
    #[inline]
    pub(crate) fn slice(&self, cr0: u64, max: i64) -> i64 {
        match &self.clock.source {
            Source::Host(_) => max,
            Source::Virtual(_) => match self.until_due(cr0) {
                Some(units) => nanoseconds(units).clamp(1, max as u64) as i64,
                None => max,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timers() -> Timers {
        Timers::new(Arc::new(Clock::new(Time::Virtual)))
    }

    #[test]
    fn test_units_of_the_tod_clock() {
        assert_eq!(units(1000), 4096);
        assert_eq!(nanoseconds(4096), 1000);
        assert_eq!(nanoseconds(1), 1);
        // 2000-01-01 00:00 UTC is 0xb361183f48000000 (Principles of Operation, TOD clock).
        let unix_2000 = 946_684_800_u64;
        let leap_free = TOD_UNIX_EPOCH + units(unix_2000 * 1_000_000_000);
        assert_eq!(leap_free, 0xb361_183f_4800_0000);
    }

    #[test]
    fn test_unique_values_ascend_while_time_stands_still() {
        let clock = Clock::new(Time::Virtual);
        let values = [clock.unique(), clock.unique(), clock.unique()];
        assert!(values[0] < values[1] && values[1] < values[2]);
        clock.set(5);
        assert_eq!(clock.unique(), 5);
    }

    #[test]
    fn test_host_clock_starts_in_the_present() {
        // Between 2020 and the wrap in 2042.
        assert!(Clock::new(Time::Host).tod() > 0xd730_0000_0000_0000);
    }

    #[test]
    fn test_nothing_passes_while_the_clock_is_stopped() {
        let mut t = Timers::new(Arc::new(Clock::new(Time::Host)));
        let clock = t.clock.clone();
        t.operate(true);
        t.set_cpu_timer(1 << 40);
        t.comparator = clock.tod() + (1 << 40);
        // Nothing happens to a clock that goes.
        clock.start();
        for _ in 0..3 {
            clock.stop();
            let before = (clock.tod(), t.cpu_timer(), t.sleep(CR0_CLOCK_COMPARATOR));
            std::thread::sleep(Duration::from_millis(5));
            clock.stop();
            let after = (clock.tod(), t.cpu_timer(), t.sleep(CR0_CLOCK_COMPARATOR));
            assert_eq!(before, after);
            clock.start();
            while clock.tod() == before.0 {}
            clock.start();
            assert!(clock.tod() > before.0 && t.cpu_timer() < before.1);
        }
        // Three times five milliseconds are missing.
        let Source::Host(time) = &clock.source else {
            unreachable!()
        };
        assert!(time.host() - time.elapsed() >= 15_000_000);
    }

    #[test]
    fn test_cpu_timer_runs_while_the_cpu_operates() {
        let mut t = timers();
        t.set_cpu_timer(4096);
        t.pass(1000);
        assert_eq!(t.cpu_timer(), 4096);
        t.operate(true);
        t.pass(2000);
        assert_eq!(t.cpu_timer(), 0);
        assert!(!t.cpu_timer_due());
        t.pass(2001);
        assert!(t.cpu_timer_due());
        t.operate(false);
        t.pass(5000);
        assert_eq!(t.cpu_timer() as i64, -4);
    }

    #[test]
    fn test_comparator_is_due_once_it_is_in_the_past() {
        let mut t = timers();
        t.comparator = t.clock.tod();
        assert!(!t.comparator_due());
        t.pass(1);
        assert!(t.comparator_due());
    }

    #[test]
    fn test_sleep_ends_when_the_first_timer_is_due() {
        let mut t = timers();
        t.operate(true);
        t.comparator = t.clock.tod() + 4096;
        t.set_cpu_timer(40960);
        assert_eq!(t.sleep(0), None);
        assert_eq!(t.slice(CR0_CLOCK_COMPARATOR, 10_000), 1001);
        assert_eq!(
            t.sleep(CR0_CLOCK_COMPARATOR | CR0_CPU_TIMER),
            Some(Duration::ZERO)
        );
        assert!(t.comparator_due() && !t.cpu_timer_due());
        t.comparator = u64::MAX;
        assert_eq!(t.sleep(CR0_CLOCK_COMPARATOR), None);
        t.sleep(CR0_CPU_TIMER);
        assert!(t.cpu_timer_due());
    }
}
