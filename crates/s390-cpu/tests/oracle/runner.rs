// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The harness program, built on demand and run under qemu-user.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{mpsc, Mutex};
use std::time::Duration;

use super::format::{Case, Outcome, RECORD_SIZE, SLOTS};

const COMPILER: &str = "s390x-linux-gnu-gcc";
const SOURCES: [&str; 3] = [
    include_str!("harness/harness.c"),
    include_str!("harness/enter.S"),
    include_str!("harness/layout.h"),
];
/// Older ones are wrong in too many instructions.
const OLDEST: u32 = 10;
/// A batch takes milliseconds: after this long the case loops.
const PATIENCE: Duration = Duration::from_secs(120);

/// An emulator that executes cases.
#[derive(Debug)]
pub struct Oracle {
    emulator: Option<PathBuf>,
    version: String,
    harness: PathBuf,
}

/// What the cases run on.
impl fmt::Display for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.emulator {
            Some(path) => write!(f, "{} ({})", self.version, path.display()),
            None => f.write_str("this machine"),
        }
    }
}

impl Oracle {
    /// Finds the emulator and builds the harness. Where that is impossible it says so and the
    /// test is skipped, but with `CI=true` it panics.
    pub fn open() -> Option<Self> {
        match Self::try_open() {
            Ok(oracle) => Some(oracle),
            Err(why) if env::var("CI").as_deref() == Ok("true") => panic!("no oracle: {why}"),
            Err(why) => {
                eprintln!("skipped: no instruction oracle: {why}");
                None
            }
        }
    }

    fn try_open() -> Result<Self, String> {
        let emulator = match env::var_os("S390X_ORACLE_QEMU") {
            Some(path) => Some(PathBuf::from(path)),
            None => [
                Some(cached_emulator()),
                in_path("qemu-s390x-static"),
                in_path("qemu-s390x"),
            ]
            .into_iter()
            .flatten()
            .find(|path| path.exists()),
        };
        if emulator.is_none() && !cfg!(target_arch = "s390x") {
            return Err("no qemu-s390x: run tools/s390x-toolchain.sh".into());
        }
        let version = match &emulator {
            Some(path) => version(path)?,
            None => String::new(),
        };
        Ok(Oracle {
            emulator,
            version,
            harness: build_harness()?,
        })
    }

    /// Executes all cases, in order. Cases that follow each other should stand in slots that
    /// differ, and cases with the same code in the same slot: then they run in large batches and
    /// the emulator translates them once.
    ///
    /// # Panics
    ///
    /// When the emulator fails, or is stuck in a case.
    pub fn run(&self, cases: &[Case]) -> Vec<Outcome> {
        let mut command = match &self.emulator {
            Some(emulator) => {
                let mut command = Command::new(emulator);
                command.arg(&self.harness);
                command
            }
            None => Command::new(&self.harness),
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot run the oracle {command:?}: {e}"));
        let mut input = child.stdin.take().unwrap();
        let mut output = child.stdout.take().unwrap();
        let child = Mutex::new(child);
        let parts = batches(cases);
        let mut outcomes = Vec::with_capacity(cases.len());
        let (progress, watch) = mpsc::channel();
        std::thread::scope(|scope| {
            let (parts, child) = (&parts, &child);
            scope.spawn(move || {
                for batch in parts {
                    // An error: the harness is gone, which the reader below sees.
                    if input.write_all(&encode(batch)).is_err() {
                        return;
                    }
                }
            });
            scope.spawn(move || loop {
                match watch.recv_timeout(PATIENCE) {
                    Ok(()) => {}
                    Err(mpsc::RecvTimeoutError::Timeout) => {
                        let _ = child.lock().unwrap().kill();
                    }
                    Err(mpsc::RecvTimeoutError::Disconnected) => return,
                }
            });
            let mut buffer = vec![0; usize::from(SLOTS) * RECORD_SIZE];
            for batch in parts {
                let buffer = &mut buffer[..batch.len() * RECORD_SIZE];
                if output.read_exact(buffer).is_err() {
                    break;
                }
                outcomes.extend(buffer.chunks(RECORD_SIZE).map(Outcome::read));
                let _ = progress.send(());
            }
            drop(progress);
        });
        let status = child.into_inner().unwrap().wait().unwrap();
        let rest = &cases[outcomes.len()..];
        if rest.is_empty() && status.success() {
            return outcomes;
        }
        assert!(cases.len() > 1, "the oracle failed, {status}: {cases:?}");
        // Somewhere in this batch: alone, the case tells its name.
        for case in batches(rest)[0] {
            self.run(std::slice::from_ref(case));
        }
        panic!("the oracle failed, {status}, but not in any single case");
    }
}

fn encode(batch: &[Case]) -> Vec<u8> {
    let mut bytes = (batch.len() as u32).to_be_bytes().to_vec();
    for case in batch {
        case.write(&mut bytes);
    }
    bytes
}

/// Cuts `cases` so that no slot is used twice in a batch.
fn batches(cases: &[Case]) -> Vec<&[Case]> {
    let mut batches = Vec::new();
    let mut start = 0;
    let mut used = vec![usize::MAX; usize::from(SLOTS)];
    for (i, case) in cases.iter().enumerate() {
        let last = &mut used[usize::from(case.slot)];
        if *last != usize::MAX && *last >= start {
            batches.push(&cases[start..i]);
            start = i;
        }
        *last = i;
    }
    if start < cases.len() {
        batches.push(&cases[start..]);
    }
    batches
}

/// The first line of what the emulator says of itself; an error if it is too old.
fn version(emulator: &Path) -> Result<String, String> {
    let fault = |what: &str| format!("{}: {what}", emulator.display());
    let output = Command::new(emulator)
        .arg("--version")
        .output()
        .map_err(|e| fault(&e.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().next().unwrap_or_default();
    // "qemu-s390x version 10.0.2 (...)"
    let major = line
        .split_once("version ")
        .and_then(|(_, version)| version.split('.').next()?.parse::<u32>().ok());
    match major {
        Some(major) if major >= OLDEST => Ok(line.to_string()),
        _ => Err(fault(&format!(
            "\"{line}\" is no qemu {OLDEST}: run tools/s390x-toolchain.sh"
        ))),
    }
}

fn cached_emulator() -> PathBuf {
    let cache = env::var_os("S390X_TC").map(PathBuf::from).or_else(|| {
        let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
        let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        Some(cache.or_else(home)?.join("s390x-tc"))
    });
    cache.unwrap_or_default().join("bin/qemu-s390x-10")
}

fn in_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// Compiles the harness into the target directory, unless it is there.
fn build_harness() -> Result<PathBuf, String> {
    let mut hasher = DefaultHasher::new();
    SOURCES.hash(&mut hasher);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let harness = folder.join(format!("oracle-{:016x}", hasher.finish()));
    if harness.exists() {
        return Ok(harness);
    }
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/harness");
    // Tests run in parallel, as processes and as threads: all make the same.
    let made = folder.join(format!(
        "oracle-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let result = Command::new(COMPILER)
        .args("-march=z10 -O2 -Wall -Werror -msoft-float -ffreestanding".split(' '))
        .args("-fno-stack-protector -fno-pie -no-pie -nostdlib -static".split(' '))
        // .state must be reachable by a displacement without a base, and lies above the lowest
        // address that Linux lets a program map.
        .args(["-Wl,-Ttext-segment=0x40000,--section-start=.state=0x20000,--build-id=none"])
        .arg("-o")
        .arg(&made)
        .args([sources.join("harness.c"), sources.join("enter.S")])
        .output()
        .map_err(|e| format!("{COMPILER}: {e}: run tools/s390x-toolchain.sh"))?;
    if !result.status.success() {
        panic!("{}", String::from_utf8_lossy(&result.stderr));
    }
    std::fs::rename(&made, &harness).map_err(|e| format!("{}: {e}", harness.display()))?;
    Ok(harness)
}
