// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The limit of file descriptors, which shared directories need many of.

use nix::sys::resource::{getrlimit, setrlimit, Resource};

use crate::{Error, Result};

/// No guest needs more; a mount without a cache needs few.
const MAX_FIDS: u64 = 16_384;

/// How many fids the guest may have in one share: with three descriptors a fid, five shares leave
/// the VMM a sixteenth of its file descriptors.
pub(crate) fn fids_of_a_share() -> Result<usize> {
    let limit =
        raise().map_err(|errno| Error::host("raise the limit of open files")(errno.into()))?;
    Ok(fids(limit))
}

fn fids(limit: u64) -> usize {
    (limit / 16).min(MAX_FIDS) as usize
}

/// Raises the soft limit to the hard one; returns it.
fn raise() -> nix::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_leaves_descriptors_for_others() {
        assert_eq!(fids(1024), 64);
        assert_eq!(fids(u64::MAX), 16_384);
        let fids = fids_of_a_share().unwrap();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(soft, hard);
        assert!((3 * fids as u64) < soft);
    }
}
