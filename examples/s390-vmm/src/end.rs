// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How a run ends, and what the shell hears of it.

use std::error::Error as _;
use std::process::ExitCode;

use s390_extint::Psw;

use crate::{Error, Result};

/// How a guest ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It powered off.
    PowerOff,
    /// It waits with interruptions disabled at an address that says why.
    DisabledWait(Psw),
    /// Its CPU cannot go on: an interruption leads to itself.
    Crashed(Psw),
    /// Its user left it.
    Left,
    /// There was no guest: a running VMM was asked, and answered.
    Answered,
    /// The VMM was told to end by a signal, and the guest did not power off.
    Signal,
}

/// Says on standard error how a run ended, unless it ended well.
pub fn report(result: &Result<End>) {
    match result {
        Ok(End::PowerOff | End::Left | End::Answered) => {}
        Ok(End::DisabledWait(psw)) => {
            eprintln!(
                "s390-vmm: the guest stopped in a disabled wait, {}",
                words(psw)
            );
        }
        Ok(End::Crashed(psw)) => eprintln!("s390-vmm: the guest crashed, {}", words(psw)),
        Ok(End::Signal) => eprintln!("s390-vmm: ended by a signal, the guest was not shut down"),
        Err(error) => eprintln!("s390-vmm: {}", sentence(error)),
    }
}

/// The exit status: 0 for a guest that powered off or was left, 3 for one that crashed, 1 for
/// everything else (2, usage errors, never come this far).
pub fn exit_code(result: &Result<End>) -> ExitCode {
    ExitCode::from(match result {
        Ok(End::PowerOff | End::Left | End::Answered) => 0,
        Ok(End::DisabledWait(_) | End::Crashed(_)) => 3,
        Ok(End::Signal) | Err(_) => 1,
    })
}

fn words(psw: &Psw) -> String {
    format!("PSW {:016x} {:016x}", psw.mask, psw.addr)
}

/// An error and its causes as one sentence.
pub(crate) fn sentence(error: &Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Some libraries say their causes themselves.
        if !sentence.ends_with(&text) {
            sentence += &format!(": {text}");
        }
        cause = error.source();
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_become_one_sentence() {
        let source = std::io::Error::other("disk on fire");
        let error = Error::Host {
            action: "start a thread",
            source,
        };
        assert_eq!(sentence(&error), "cannot start a thread: disk on fire");
        let errno = vmm_sys_util::errno::Error::new(24);
        let error = Error::from(event_manager::Error::Epoll(errno));
        let sentence = sentence(&error);
        assert_eq!(
            sentence.matches("Too many open files").count(),
            1,
            "{sentence}"
        );
    }

    #[test]
    fn a_psw_is_two_words() {
        let psw = Psw {
            mask: 0x0002_0001_8000_0000,
            addr: 0xdead,
        };
        assert_eq!(words(&psw), "PSW 0002000180000000 000000000000dead");
    }
}
