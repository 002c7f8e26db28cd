// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! No engine at all: whoever submits an operation does it.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::task::Poll;

use super::{Completion, Engine, Operation};
use crate::block::BlockBackend;

/// Does operations when they are submitted.
pub struct Inline(Arc<dyn BlockBackend>);

impl fmt::Debug for Inline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inline")
    }
}

impl Inline {
    /// An engine for `backend`.
    pub fn new(backend: Arc<dyn BlockBackend>) -> Self {
        Inline(backend)
    }
}

impl Engine for Inline {
    fn submit(&mut self, _: u16, operation: Operation) -> Poll<io::Result<()>> {
        Poll::Ready(operation.execute(&*self.0))
    }

    fn start(&mut self) {}

    fn next_completion(&mut self) -> Option<Completion> {
        None
    }

    fn wait(&mut self) {}
}
