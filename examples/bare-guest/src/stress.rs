// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Random I/O that anybody can check who knows the seed: which requests a round consists of, and
//! what they leave on the disk. It says nothing of how requests are made.

use crate::pattern::{next, SECTOR};

/// Requests of a round, all in flight at once.
pub const DEPTH: usize = 16;
/// Sectors in a block, the largest request.
pub const BLOCK_SECTORS: u32 = 8;
/// Sectors of a disk that take part, at most.
pub const MAX_SECTORS: u32 = 16384;

/// What a request does.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Reads sectors, which must hold what is known of them.
    Read,
    /// Writes the round's pattern.
    Write,
    /// Makes sectors zeros.
    Zero,
}

/// A request of a round.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it does.
    pub action: Action,
    /// First sector.
    pub sector: u32,
    /// Number of sectors, up to [`BLOCK_SECTORS`].
    pub count: u32,
}

/// The requests of round `round` on a disk of `sectors` sectors, at least [`DEPTH`] blocks. No two
/// of them touch the same block, so that their order does not matter.
pub fn round(seed: u32, round: u32, sectors: u32) -> [Step; DEPTH] {
    let mut x = (u64::from(seed) << 32 | u64::from(round)) ^ 0x9e37_79b9_7f4a_7c15;
    let mut random = |below: u32| {
        x = next(x);
        let mixed = (x ^ x >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        ((mixed >> 32) % u64::from(below)) as u32
    };
    let rows = sectors / BLOCK_SECTORS / DEPTH as u32;
    core::array::from_fn(|column| {
        let block = random(rows) * DEPTH as u32 + column as u32;
        let start = random(BLOCK_SECTORS);
        Step {
            action: match random(8) {
                0..3 => Action::Read,
                3..7 => Action::Write,
                _ => Action::Zero,
            },
            sector: block * BLOCK_SECTORS + start,
            count: 1 + random(BLOCK_SECTORS - start),
        }
    })
}

/// What a sector holds. A fresh disk is all zeros.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// Zeros.
    #[default]
    Zeros,
    /// The pattern of this round.
    Pattern(u32),
}

impl Content {
    /// What `step` of round `round` leaves; nothing new if it reads.
    pub fn after(step: &Step, round: u32) -> Option<Self> {
        match step.action {
            Action::Read => None,
            Action::Write => Some(Content::Pattern(round)),
            Action::Zero => Some(Content::Zeros),
        }
    }

    /// The bytes of sector `number`.
    pub fn bytes(self, number: u32) -> [u8; SECTOR] {
        let mut bytes = [0; SECTOR];
        let Content::Pattern(round) = self else {
            return bytes;
        };
        let mut x = u64::from(round) << 32 | u64::from(number);
        for word in bytes.chunks_exact_mut(8) {
            word.copy_from_slice(&x.to_be_bytes());
            x = next(x);
        }
        bytes
    }
}

/// What a disk holds after the rounds before `end`.
pub fn replay(seed: u32, end: u32, sectors: u32, disk: &mut [Content]) {
    for number in 1..end {
        for step in round(seed, number, sectors) {
            apply(&step, number, disk);
        }
    }
}

/// What a disk holds after `step` of round `round`.
pub fn apply(step: &Step, round: u32, disk: &mut [Content]) {
    if let Some(content) = Content::after(step, round) {
        let start = step.sector as usize;
        if let Some(sectors) = disk.get_mut(start..start + step.count as usize) {
            sectors.fill(content);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_a_round_are_on_different_blocks_of_the_disk() {
        for number in 0..1000 {
            let mut steps = round(7, number, 1000);
            steps.sort_by_key(|step| step.sector);
            for step in &steps {
                let last = step.sector + step.count - 1;
                assert!(step.count >= 1 && last < 1000);
                assert_eq!(step.sector / BLOCK_SECTORS, last / BLOCK_SECTORS);
            }
            for pair in steps.windows(2) {
                assert!(pair[0].sector / BLOCK_SECTORS < pair[1].sector / BLOCK_SECTORS);
            }
        }
    }

    #[test]
    fn rounds_differ_and_do_everything_everywhere() {
        assert_ne!(round(1, 1, 4096), round(1, 2, 4096));
        assert_ne!(round(1, 1, 4096), round(2, 1, 4096));
        let mut touched = [0u32; 4096];
        let mut actions = [0; 3];
        for number in 0..2000 {
            for step in round(3, number, 4096) {
                actions[step.action as usize] += 1;
                for sector in step.sector..step.sector + step.count {
                    touched[sector as usize] += 1;
                }
            }
        }
        assert!(touched.iter().all(|&count| count > 0));
        assert!(actions.iter().all(|&count| count > 2000), "{actions:?}");
    }

    #[test]
    fn content_names_its_round_and_its_place() {
        let content = Content::Pattern(5);
        assert_eq!(content.bytes(9)[..8], [0, 0, 0, 5, 0, 0, 0, 9]);
        assert_ne!(content.bytes(9)[8..], content.bytes(8)[8..]);
        assert_eq!(Content::Zeros.bytes(9), [0; SECTOR]);
    }

    #[test]
    fn a_replay_is_what_the_steps_leave() {
        let mut disk = [Content::default(); 1024];
        replay(4, 50, 1024, &mut disk);
        let mut other = disk;
        replay(4, 51, 1024, &mut disk);
        for step in round(4, 50, 1024) {
            apply(&step, 50, &mut other);
        }
        assert_eq!(disk, other);
    }
}
