// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Instructions of ring operations beside `virtio_queue::Queue`, as valgrind counts them: the same in
//! every run, however busy the machine is.
//!
//! For each operation and implementation this program runs itself twice under valgrind, with few and with
//! more passes over the ring. The difference is the operation alone.

mod operations;

use std::process::Command;

use operations::{all, Operation};

const FEW: u64 = 2;
const MORE: u64 = 12;

/// What this program is called with when it runs under valgrind, before operation, side and passes.
const COUNTED: &str = "--counted";

fn main() {
    let args: Vec<_> = std::env::args().collect();
    match args.iter().position(|arg| arg == COUNTED) {
        Some(at) => run(&args[at + 1..]),
        None => print_table(),
    }
}

/// Passes over the ring and nothing else.
fn run(args: &[String]) {
    let number = |n: usize| args[n].parse::<usize>().unwrap();
    let operations = all();
    let side = &operations[number(0)].sides[number(1)];
    (side.run)(&mut |pass| (0..number(2)).for_each(|_| pass()));
}

fn print_table() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("instructions are not counted: there is no valgrind");
        return;
    }
    println!("| instructions | big-endian | little-endian | `virtio_queue` | ratios |");
    println!("| --- | --: | --: | --: | --: |");
    for (index, operation) in all().iter().enumerate() {
        let counts: Vec<_> = (0..operation.sides.len())
            .map(|side| per_operation(operation, index, side))
            .collect();
        let [big, little, upstream] = counts[..] else {
            unreachable!("three sides");
        };
        println!(
            "| {} | {big:.0} | {little:.0} | {upstream:.0} | {:.2}, {:.2} |",
            operation.name,
            big / upstream,
            little / upstream,
        );
    }
}

fn per_operation(operation: &Operation, index: usize, side: usize) -> f64 {
    let count = |passes| instructions(&[index as u64, side as u64, passes]);
    let passes = (MORE - FEW) * u64::from(operation.count);
    (count(MORE) - count(FEW)) as f64 / passes as f64
}

/// Instructions of a whole run of this program.
fn instructions(args: &[u64]) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().unwrap())
        .arg(COUNTED)
        .args(args.iter().map(u64::to_string))
        .output()
        .unwrap();
    // Its last words are like "==1== Collected : 123456".
    let report = String::from_utf8_lossy(&output.stderr);
    report
        .lines()
        .find_map(|line| line.split_once("Collected : "))
        .and_then(|(_, count)| count.trim().parse().ok())
        .unwrap_or_else(|| panic!("valgrind did not count: {report}"))
}
