// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the releases do differently, one line for each habit.

/// How a driver accepts features.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Acceptance {
    /// Testing a bit accepts it. The test of the first bit behind the bitmap is let through and
    /// reads and writes one byte too far.
    ByTesting,
    /// The accepted half is zeroed, then the accepted bits are set.
    AtOnce,
    /// The same, but behind the probe, in which the queues may be used already (2.6.27 to 2.6.30,
    /// until ef688e151c00).
    BehindProbe,
}

/// Where a driver keeps its index into the available ring, and its flags.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Bookkeeping {
    /// In the ring: it goes on from whatever it finds there.
    InRing,
    /// In private memory, from zero; the ring is written when something changes.
    Shadow,
}

/// How the interruption's parameter is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    /// Not at all: every interruption is one of a queue.
    Ignored,
    /// The lowest bit tells a configuration change from a queue.
    LowestBit,
    /// The lowest byte: 1 is a configuration change, 2 a new device, all else a queue.
    LowestByte,
}

/// When text is printed by NOTIFY.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum EarlyConsole {
    Never,
    Always,
    WithoutSclpConsole,
}

/// A release and its habits.
pub struct Release {
    pub name: &'static str,
    pub acceptance: Acceptance,
    /// The features of the ring that it knows: 28 indirect tables, 29 event index.
    pub ring_features: u32,
    pub bookkeeping: Bookkeeping,
    /// Drivers use their queues in the probe, before DRIVER_OK.
    pub kicks_early: bool,
    pub parameter: Parameter,
    /// A configuration change waits until the driver is ready, instead of calling through a
    /// driver that may not be there.
    pub defers_config_changes: bool,
    /// A negative answer to NOTIFY breaks the queue, instead of being ignored.
    pub hears_notify: bool,
    /// At unbind, after the RESET, buffers are found by walking the ring.
    pub walks_ring_at_unbind: bool,
    pub early_console: EarlyConsole,
    /// What its drivers accept, by device type.
    pub block_features: u32,
    pub net_features: u32,
    pub console_features: u32,
    pub balloon_features: u32,
}

const INDIRECT: u32 = 1 << 28;
pub const EVENT_IDX: u32 = 1 << 29;

const BLOCK_2008: u32 = 0x17;
const BLOCK_2_6_30: u32 = BLOCK_2008 | 0x60;
const BLOCK_2009: u32 = BLOCK_2008 | 0x2e0;
const BLOCK_2011: u32 = BLOCK_2009 | 0x400;
const BLOCK_2012: u32 = BLOCK_2011 | 0x800;
const NET_2008: u32 = 0x0100_7861;
const NET_2009: u32 = NET_2008 | 0xf_8782;
const NET_2013: u32 = NET_2009 | 0xe0_0000;
/// MTU, since 4.8.
const NET_2016: u32 = NET_2013 | 0x8;

pub const RELEASES: [Release; 7] = [
    Release {
        name: "2.6.26",
        acceptance: Acceptance::ByTesting,
        ring_features: 0,
        bookkeeping: Bookkeeping::InRing,
        kicks_early: true,
        parameter: Parameter::Ignored,
        defers_config_changes: false,
        hears_notify: false,
        walks_ring_at_unbind: false,
        early_console: EarlyConsole::Never,
        block_features: BLOCK_2008,
        net_features: NET_2008,
        console_features: 0,
        balloon_features: 0x1,
    },
    Release {
        name: "2.6.30",
        acceptance: Acceptance::BehindProbe,
        ring_features: 0,
        bookkeeping: Bookkeeping::InRing,
        kicks_early: true,
        parameter: Parameter::LowestBit,
        defers_config_changes: false,
        hears_notify: false,
        walks_ring_at_unbind: false,
        early_console: EarlyConsole::Always,
        block_features: BLOCK_2_6_30,
        net_features: NET_2009,
        console_features: 0x1,
        balloon_features: 0x1,
    },
    Release {
        name: "2.6.32",
        acceptance: Acceptance::AtOnce,
        ring_features: INDIRECT,
        bookkeeping: Bookkeeping::InRing,
        kicks_early: true,
        parameter: Parameter::LowestBit,
        defers_config_changes: false,
        hears_notify: false,
        walks_ring_at_unbind: true,
        early_console: EarlyConsole::Always,
        block_features: BLOCK_2009,
        net_features: NET_2009,
        console_features: 0x1,
        balloon_features: 0x1,
    },
    Release {
        name: "2.6.39",
        acceptance: Acceptance::AtOnce,
        ring_features: INDIRECT,
        bookkeeping: Bookkeeping::InRing,
        kicks_early: true,
        parameter: Parameter::LowestByte,
        defers_config_changes: false,
        hears_notify: false,
        walks_ring_at_unbind: true,
        early_console: EarlyConsole::Always,
        block_features: BLOCK_2011,
        net_features: NET_2009,
        console_features: 0x3,
        balloon_features: 0x3,
    },
    Release {
        name: "3.10",
        acceptance: Acceptance::AtOnce,
        ring_features: INDIRECT | EVENT_IDX,
        bookkeeping: Bookkeeping::InRing,
        kicks_early: true,
        parameter: Parameter::LowestByte,
        defers_config_changes: false,
        hears_notify: false,
        walks_ring_at_unbind: true,
        early_console: EarlyConsole::WithoutSclpConsole,
        block_features: BLOCK_2012,
        net_features: NET_2013,
        console_features: 0x3,
        balloon_features: 0x3,
    },
    Release {
        name: "3.19",
        acceptance: Acceptance::AtOnce,
        ring_features: INDIRECT | EVENT_IDX,
        bookkeeping: Bookkeeping::InRing,
        kicks_early: false,
        parameter: Parameter::LowestByte,
        defers_config_changes: true,
        hears_notify: true,
        walks_ring_at_unbind: true,
        early_console: EarlyConsole::WithoutSclpConsole,
        block_features: BLOCK_2012,
        net_features: NET_2013,
        console_features: 0x3,
        balloon_features: 0x3,
    },
    Release {
        name: "4.14",
        acceptance: Acceptance::AtOnce,
        ring_features: INDIRECT | EVENT_IDX,
        bookkeeping: Bookkeeping::Shadow,
        kicks_early: false,
        parameter: Parameter::LowestByte,
        defers_config_changes: true,
        hears_notify: true,
        walks_ring_at_unbind: true,
        early_console: EarlyConsole::WithoutSclpConsole,
        block_features: BLOCK_2012,
        net_features: NET_2016,
        console_features: 0x3,
        balloon_features: 0x3,
    },
];

/// Runs a scenario as every release; the output names the one that failed.
pub fn each(scenario: impl Fn(&'static Release)) {
    for release in &RELEASES {
        println!("as Linux {}", release.name);
        scenario(release);
    }
}

/// Runs a scenario for every way from one release to another.
pub fn each_pair(scenario: impl Fn(&'static Release, &'static Release)) {
    each(|first| {
        for second in &RELEASES {
            println!("then Linux {}", second.name);
            scenario(first, second);
        }
    });
}
