// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The instruction table beside what others know: the instructions that real guests execute, and
//! the disassembler of binutils.

mod oracle;

use std::collections::HashMap;
use std::process::Command;

use oracle::encode::{fields, Field, Text};
use oracle::format::Case;
use oracle::software::Software;
use s390_cpu::table::{Entry, Format, TABLE};
use s390_cpu::CpuModel;

const OBJDUMP: &str = "s390x-linux-gnu-objdump";

/// Instructions that the Principles of Operation do not describe, nor does the disassembler know.
const NOT_PUBLISHED: &[&str] = &["servc", "chsc"];

fn instructions() -> impl Iterator<Item = &'static Entry> {
    TABLE.iter().filter(|e| e.format != Format::Pseudo)
}

/// The words of every line of the census.
fn census() -> impl Iterator<Item = Vec<&'static str>> {
    let lines = include_str!("census.txt").lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split(' ').collect())
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

#[test]
fn test_every_instruction_of_the_census_is_in_the_table_or_hidden() {
    let model = CpuModel::default();
    let there = instructions().filter(|e| model.has(e.facility));
    let table: HashMap<_, _> = there.map(|e| (e.key, e.mnemonic)).collect();
    let mut software = Software::new();
    let (mut there, mut hidden) = (0, 0);
    for words in census() {
        let key = u16::from_str_radix(words[0], 16).unwrap();
        if let [_, mnemonic, text] = words[..] {
            assert_eq!(table.get(&key), None, "{mnemonic} is hidden");
            let outcome = software.run(&Case::new(0, &bytes(text)));
            let signal = outcome.signal.map(|s| (s.number, s.code));
            assert_eq!(signal, Some((4, 1)), "{mnemonic} is no operation exception");
            hidden += 1;
        } else {
            assert_eq!(table.get(&key), Some(&words[1]), "{key:04x}");
            there += 1;
        }
    }
    assert_eq!((there, hidden), (447, 34));
}

/// Encodings of an instruction: the disassembler knows no instruction by a field that is not used
/// and not zero, and some by another name when a mask is not zero.
fn examples(entry: &Entry) -> [Vec<u8>; 3] {
    [(true, true), (true, false), (false, false)].map(|(registers, others)| {
        let mut text = Text::new(entry);
        for &(field, at, bits) in fields(entry.format) {
            match field {
                Field::R1 if registers => text.set(at, bits, 4),
                Field::R2 if registers => text.set(at, bits, 8),
                Field::R3 if others => text.set(at, bits, 1),
                Field::X if others => text.set(at, bits, 7),
                Field::Storage | Field::LongStorage if registers => {
                    text.set_storage(at, bits, 5, 0x123);
                }
                Field::SecondStorage if registers => text.set_storage(at, bits, 6, 0x456),
                Field::Any if others => text.set(at, bits, 1),
                Field::Relative => text.set(at, bits, 8),
                _ => {}
            }
        }
        text.bytes()
    })
}

/// What the disassembler makes of instructions: length and mnemonic.
fn disassemble(texts: &[Vec<u8>]) -> Vec<(usize, String)> {
    // With room behind each, so that what is no instruction does not take a part of the next.
    const ROOM: usize = 16;
    let nop = [0x07, 0x07];
    let mut image = nop.repeat(ROOM / 2 * texts.len());
    for (slot, text) in image.chunks_mut(ROOM).zip(texts) {
        slot[..text.len()].copy_from_slice(text);
    }
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("instructions");
    std::fs::write(&file, image).unwrap();
    let output = Command::new(OBJDUMP)
        .args(["-D", "-z", "-b", "binary", "-m", "s390:64-bit"])
        .arg(&file)
        .output()
        .unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    // A line is `address:`, bytes, mnemonic and operands, with tabs in between.
    let lines = output.lines().filter_map(|line| {
        let mut columns = line.split('\t');
        let address = columns.next()?.trim().strip_suffix(':')?;
        let length = columns.next()?.split_whitespace().count();
        let mnemonic = columns.next()?.split_whitespace().next()?;
        let address = usize::from_str_radix(address, 16).ok()?;
        (address % ROOM == 0).then(|| (length, mnemonic.to_string()))
    });
    lines.collect()
}

/// The other names that the disassembler has for an instruction.
fn is_name(entry: &Entry, name: &str) -> bool {
    let (stem, ends) = match entry.mnemonic {
        "bcr" => ("b", "r"),
        "bc" => ("b", ""),
        "bic" => ("bi", ""),
        "brc" => ("j", ""),
        "brcl" => ("jg", ""),
        "cu12" => return name == "cutfu",
        "cu21" => return name == "cuutf",
        mnemonic => return name == mnemonic,
    };
    let mask = name.strip_prefix(stem).and_then(|n| n.strip_suffix(ends));
    mask == Some("l")
}

#[test]
fn test_disassembler_knows_every_instruction_of_the_table() {
    if Command::new(OBJDUMP).arg("--version").output().is_err() {
        let ci = std::env::var("CI").as_deref() == Ok("true");
        assert!(!ci, "no {OBJDUMP}: run tools/s390x-toolchain.sh");
        eprintln!("skipped: no {OBJDUMP}: run tools/s390x-toolchain.sh");
        return;
    }
    let entries: Vec<_> = instructions().collect();
    let texts: Vec<_> = entries.iter().flat_map(|e| examples(e)).collect();
    let names = disassemble(&texts);
    assert_eq!(names.len(), texts.len());
    let mut wrong = Vec::new();
    for ((entry, texts), names) in entries.iter().zip(texts.chunks(3)).zip(names.chunks(3)) {
        let length = texts[0].len();
        if NOT_PUBLISHED.contains(&entry.mnemonic) {
            assert!(names.iter().all(|(_, name)| name == ".long"));
            continue;
        }
        if !names
            .iter()
            .any(|(n, name)| *n == length && is_name(entry, name))
        {
            wrong.push(format!("{}, {length} bytes, is {names:?}", entry.mnemonic));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
