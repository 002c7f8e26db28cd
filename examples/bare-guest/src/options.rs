// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The command line: words `key=value`, as a kernel gets them. Words it does not know are left
//! to others.

/// What to do to a disk that does not hold the test pattern.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Foreign {
    /// Read its first sector and leave it alone.
    #[default]
    Keep,
    /// Overwrite its first sectors with the pattern.
    Rewrite,
}

/// How the guest shall end instead of well.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Crash {
    /// By a program interruption.
    Program,
    /// By a panic.
    Panic,
    /// Not at all: an endless loop.
    Loop,
}

/// The options.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `disk=rewrite`: what to do to a disk without the pattern.
    pub foreign: Foreign,
    /// `sectors=N`: how many sectors of each disk to check.
    pub sectors: u16,
    /// `stress=SEED`: random I/O on each disk, instead of the check.
    pub stress: Option<u32>,
    /// `stress-round=N`: the first round of random I/O; the disk holds what the ones before left.
    pub stress_round: u32,
    /// `stress-rounds=N`: how many rounds; without end if 0.
    pub stress_rounds: u32,
    /// `ip=A.B.C.D`: the guest's address; without it the network is left alone.
    pub ip: Option<[u8; 4]>,
    /// `peer=A.B.C.D`: whom to ping.
    pub peer: Option<[u8; 4]>,
    /// `pings=N`: how often to ping the peer.
    pub pings: u16,
    /// `serve=SECONDS`: how long to answer the network in the end.
    pub serve: u16,
    /// `serve-pings=N`: how many pings answered are enough to end sooner.
    pub serve_pings: u16,
    /// `crash=program|panic|loop`.
    pub crash: Option<Crash>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            foreign: Foreign::Keep,
            sectors: 8,
            stress: None,
            stress_round: 1,
            stress_rounds: 0,
            ip: None,
            peer: None,
            pings: 3,
            serve: 0,
            serve_pings: 0,
            crash: None,
        }
    }
}

/// A word whose value makes no sense.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct BadWord<'a>(pub &'a str);

impl Options {
    /// Reads a command line.
    pub fn parse(line: &str) -> Result<Self, BadWord<'_>> {
        let mut options = Options::default();
        for word in line.split_ascii_whitespace() {
            let Some((key, value)) = word.split_once('=') else {
                continue;
            };
            options.set(key, value).ok_or(BadWord(word))?;
        }
        Ok(options)
    }

    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "disk" => {
                self.foreign = match value {
                    "keep" => Foreign::Keep,
                    "rewrite" => Foreign::Rewrite,
                    _ => return None,
                }
            }
            "sectors" => self.sectors = value.parse().ok()?,
            "stress" => self.stress = Some(value.parse().ok()?),
            "stress-round" => self.stress_round = value.parse().ok().filter(|&n| n > 0)?,
            "stress-rounds" => self.stress_rounds = value.parse().ok()?,
            "ip" => self.ip = Some(address(value)?),
            "peer" => self.peer = Some(address(value)?),
            "pings" => self.pings = value.parse().ok()?,
            "serve" => self.serve = value.parse().ok()?,
            "serve-pings" => self.serve_pings = value.parse().ok()?,
            "crash" => {
                self.crash = Some(match value {
                    "program" => Crash::Program,
                    "panic" => Crash::Panic,
                    "loop" => Crash::Loop,
                    _ => return None,
                })
            }
            _ => {}
        }
        Some(())
    }
}

/// The text of a command line area: up to the first NUL, or nothing if it is not ASCII.
pub fn text(area: &[u8]) -> &str {
    let end = area.iter().position(|&c| c == 0).unwrap_or(area.len());
    match core::str::from_utf8(&area[..end]) {
        Ok(line) if line.is_ascii() => line,
        _ => "",
    }
}

fn address(text: &str) -> Option<[u8; 4]> {
    let mut bytes = [0; 4];
    let mut parts = text.split('.');
    for byte in &mut bytes {
        *byte = parts.next()?.parse().ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_read() {
        let line = "root=/dev/vda quiet disk=rewrite sectors=100 stress=9 stress-round=2 \
                    stress-rounds=3 ip=10.0.2.15 peer=10.0.2.2 \
                    pings=5 serve=30 serve-pings=2 crash=panic";
        let expected = Options {
            foreign: Foreign::Rewrite,
            sectors: 100,
            stress: Some(9),
            stress_round: 2,
            stress_rounds: 3,
            ip: Some([10, 0, 2, 15]),
            peer: Some([10, 0, 2, 2]),
            pings: 5,
            serve: 30,
            serve_pings: 2,
            crash: Some(Crash::Panic),
        };
        assert_eq!(Options::parse(line), Ok(expected));
        assert_eq!(Options::parse(""), Ok(Options::default()));
        assert_eq!(Options::parse("  \t "), Ok(Options::default()));
    }

    #[test]
    fn a_bad_value_is_named() {
        for word in [
            "disk=erase",
            "sectors=-1",
            "sectors=65536",
            "stress=x",
            "stress-round=0",
            "ip=10.0.2",
            "ip=10.0.2.15.1",
            "ip=10.0.2.256",
            "peer=",
            "pings=many",
            "serve=1s",
            "crash=yes",
        ] {
            let line = std::format!("quiet {word} pings=1");
            assert_eq!(Options::parse(&line), Err(BadWord(word)));
        }
    }

    #[test]
    fn the_line_ends_at_nul_and_is_ascii() {
        assert_eq!(text(b"pings=1\0junk\xff"), "pings=1");
        assert_eq!(text(b"no end"), "no end");
        assert_eq!(text(b"\0"), "");
        assert_eq!(text(b"\x97\x89"), "");
    }
}
