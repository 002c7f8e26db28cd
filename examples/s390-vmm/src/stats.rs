// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a run cost: instructions, exits and host time of each CPU.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::time::{clock_gettime, ClockId};

/// The work of one CPU.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuStats {
    /// Instructions of the guest that completed, if the backend counts them.
    pub(crate) instructions: Option<u64>,
    /// How often the CPU needed the host.
    pub(crate) exits: u64,
    /// Processor time of the host that the CPU's thread used.
    pub(crate) time: Duration,
}

impl fmt::Display for CpuStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(instructions) = self.instructions {
            write!(f, "{instructions} instructions, ")?;
        }
        let seconds = self.time.as_secs_f64();
        write!(f, "{} exits, {seconds:.3} s of processor time", self.exits)
    }
}

/// The work of all CPUs of a machine, by address; known once their threads have ended. Clones
/// share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stats(Arc<Mutex<BTreeMap<u16, CpuStats>>>);

impl Stats {
    /// Keeps the work of the CPU with this address.
    pub(crate) fn record(&self, address: u16, stats: CpuStats) {
        let mut cpus = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cpus.insert(address, stats);
    }

    /// Prints a line for each CPU to standard error.
    pub(crate) fn print(&self) {
        let cpus = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (address, stats) in cpus.iter() {
            eprintln!("s390-vmm: CPU {address}: {stats}");
        }
    }
}

/// Processor time that the calling thread has used; zero where the host does not tell.
pub(crate) fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_known() {
        let mut stats = CpuStats {
            instructions: Some(2_000_000),
            exits: 12,
            time: Duration::from_millis(1500),
        };
        let words = "2000000 instructions, 12 exits, 1.500 s of processor time";
        assert_eq!(stats.to_string(), words);
        stats.instructions = None;
        assert_eq!(stats.to_string(), "12 exits, 1.500 s of processor time");
    }
}
