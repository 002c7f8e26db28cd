// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The software CPU beside qemu-user: random and edge cases of every instruction that a problem
//! program may use. What may differ is in `oracle/deviations.rs`, and nothing else.
//!
//! Environment, beside that of [`oracle`]:
//!
//! - `S390X_ORACLE_CASES`: number of cases
//! - `S390X_ORACLE_SEED`: the number that all cases follow from
//! - `S390X_ORACLE_FIRST`: number of the first case; to see one case again, run it alone

mod oracle;

use std::fmt::Write;
use std::ops::Range;

use oracle::deviations::{names, Trial, AVOIDED, CHOICES, ERRORS};
use oracle::format::{Case, Outcome, SLOTS};
use oracle::generate::{testable, Generator, LEFT_OUT, UNKNOWN_TO_THE_ORACLE};
use oracle::random::Random;
use oracle::runner::Oracle;
use oracle::software::Software;
use s390_cpu::table::{Entry, TABLE};

/// Under an emulator, a sample: it has the same tests natively.
const CASES: u64 = if cfg!(target_arch = "s390x") {
    20_000
} else {
    200_000
};
const SEED: u64 = 0x2008;
/// How many cases are handed to one run of the oracle.
const CHUNK: u64 = 1 << 16;
/// Details of more mismatches are not printed.
const SHOWN: u64 = 8;

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|e| panic!("{name}={text}: {e}")),
        Err(_) => default,
    }
}

/// All that a run finds out.
#[derive(Default)]
struct Findings {
    mismatches: u64,
    /// The first of them, as text.
    shown: String,
    /// How often an entry of the list was needed.
    errors: Vec<u64>,
    choices: Vec<u64>,
}

/// Makes the cases of a run.
struct Run {
    seed: u64,
    entries: Vec<&'static Entry>,
    generator: Generator,
}

impl Run {
    fn new(seed: u64) -> Self {
        Run {
            seed,
            entries: TABLE.iter().filter(|e| testable(e)).collect(),
            generator: Generator::new(TABLE),
        }
    }

    /// Case number `n`: it does not depend on the others.
    fn case(&self, n: u64) -> (&'static Entry, Case) {
        let entry = self.entries[(n % self.entries.len() as u64) as usize];
        let seed = Random::new(self.seed ^ n.rotate_left(32)).next();
        let slot = (n % u64::from(SLOTS)) as u16;
        (entry, self.generator.case(entry, slot, Random::new(seed)))
    }
}

/// This CPU's outcome, and that with fewer traps where one completed the instruction.
fn execute(software: &mut Software, case: &Case) -> (Outcome, Option<Outcome>) {
    let ours = software.run(case);
    if !ours.is_completing_trap() {
        return (ours, None);
    }
    let mut untrapped = case.clone();
    untrapped.before.fpc &= 0xc7ff_ffff;
    let untrapped = software.run(&untrapped);
    (ours, Some(untrapped))
}

/// A trap for inexact alone leaves the result that there is without it.
fn is_consistent(ours: &Outcome, untrapped: &Option<Outcome>) -> bool {
    let Some(untrapped) = untrapped else {
        return true;
    };
    if ours.after.fpc & 0x3000 != 0 {
        return true;
    }
    let mut expected = untrapped.after.clone();
    expected.fpc = ours.after.fpc;
    expected == ours.after
}

fn compare(oracle: &Oracle, run: &Run, range: Range<u64>) -> Findings {
    let mut findings = Findings {
        errors: vec![0; ERRORS.len()],
        choices: vec![0; CHOICES.len()],
        ..Findings::default()
    };
    let mut software = Software::new();
    for start in range.clone().step_by(CHUNK as usize) {
        let numbers = start..range.end.min(start + CHUNK);
        let made = numbers.clone().map(|n| run.case(n));
        let (entries, cases): (Vec<_>, Vec<_>) = made.unzip();
        let outcomes = oracle.run(&cases);
        for (((n, entry), case), theirs) in numbers.zip(entries).zip(&cases).zip(outcomes) {
            let (ours, untrapped) = execute(&mut software, case);
            let mut mended = theirs.clone();
            if ours != theirs {
                let trial = Trial::new(case, &ours, untrapped.as_ref());
                if let Some(n) = trial.mend(ERRORS, &mut mended) {
                    findings.errors[n] += 1;
                }
                if let Some(n) = trial.mend(CHOICES, &mut mended) {
                    findings.choices[n] += 1;
                }
            }
            if ours == mended && is_consistent(&ours, &untrapped) {
                continue;
            }
            findings.mismatches += 1;
            if findings.mismatches <= SHOWN {
                findings.shown += &describe(entry, run.seed, n, case, &ours, &mended);
            }
        }
    }
    findings
}

fn describe(
    entry: &Entry,
    seed: u64,
    n: u64,
    case: &Case,
    ours: &Outcome,
    theirs: &Outcome,
) -> String {
    let mut text = String::new();
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    write!(text, "\n{} {}", entry.mnemonic, hex(&case.code)).unwrap();
    if !case.target.is_empty() {
        write!(text, " of {}", hex(&case.target)).unwrap();
    }
    writeln!(
        text,
        "\n  before: {:?}\n  ours: {:?}, the peer: {:?}",
        case.before, ours.signal, theirs.signal
    )
    .unwrap();
    for line in ours.after.difference(&theirs.after).lines() {
        writeln!(text, "  {line}").unwrap();
    }
    writeln!(
        text,
        "  again: S390X_ORACLE_SEED={seed} S390X_ORACLE_FIRST={n} S390X_ORACLE_CASES=1 \
         cargo test -p s390-cpu --test differential -- --nocapture"
    )
    .unwrap();
    text
}

#[test]
fn test_every_problem_state_instruction_agrees_with_the_peer() {
    let Some(oracle) = Oracle::open() else { return };
    let run = Run::new(number("S390X_ORACLE_SEED", SEED));
    let first = number("S390X_ORACLE_FIRST", 0);
    let count = number("S390X_ORACLE_CASES", CASES);
    println!(
        "{count} cases of {} instructions from number {first}, seed {}, beside {oracle}",
        run.entries.len(),
        run.seed
    );
    let findings = compare(&oracle, &run, first..first + count);
    for (list, counts) in [(ERRORS, &findings.errors), (CHOICES, &findings.choices)] {
        for (deviation, count) in list.iter().zip(counts) {
            println!(
                "{count:8}  {}: {}",
                names(deviation.mnemonics),
                deviation.text
            );
        }
    }
    assert!(
        findings.mismatches == 0,
        "{} of {count} cases differ{}",
        findings.mismatches,
        findings.shown
    );
    println!("no mismatch");
}

/// The list in README.md is the one that the comparison goes by.
#[test]
fn test_readme_names_what_differs() {
    let readme = include_str!("../README.md");
    let mut rows = Vec::new();
    let row = |mnemonics: &[&str], text: &str| format!("| {} | {text} |", names(mnemonics));
    rows.extend(ERRORS.iter().map(|d| row(d.mnemonics, d.text)));
    rows.extend(AVOIDED.iter().map(|(mnemonics, text)| row(mnemonics, text)));
    rows.extend(CHOICES.iter().map(|d| row(d.mnemonics, d.text)));
    rows.push(names(UNKNOWN_TO_THE_ORACLE));
    rows.push(names(LEFT_OUT));
    // However its lines are broken.
    let readme = readme.split_whitespace().collect::<Vec<_>>().join(" ");
    let missing: Vec<_> = rows
        .iter()
        .filter(|row| !readme.contains(row.as_str()))
        .collect();
    for row in &missing {
        println!("{row}");
    }
    assert!(missing.is_empty(), "README.md lacks {} rows", missing.len());
}
