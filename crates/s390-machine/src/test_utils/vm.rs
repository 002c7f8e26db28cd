// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A virtual machine whose floating interruptions stay pending.

use std::sync::Mutex;

use s390_hypervisor::{ExternalInterrupt, Result, Vcpu, Vm};

use crate::machine::lock;
use crate::test_utils::{FakeHandle, FakeVcpu};

/// A virtual machine that records interruptions.
#[derive(Debug, Default)]
pub struct FakeVm {
    injected: Mutex<Vec<ExternalInterrupt>>,
}

impl FakeVm {
    /// What is pending.
    pub fn injected(&self) -> Vec<ExternalInterrupt> {
        lock(&self.injected).clone()
    }

    /// Makes an interruption pending.
    pub fn pretend(&self, interrupt: ExternalInterrupt) {
        lock(&self.injected).push(interrupt);
    }
}

impl Vm for FakeVm {
    fn create_vcpu(&self, address: u16) -> Result<Box<dyn Vcpu>> {
        Ok(Box::new(FakeVcpu::new(FakeHandle::new(address))))
    }

    fn inject(&self, interrupt: ExternalInterrupt) -> Result<()> {
        self.pretend(interrupt);
        Ok(())
    }

    fn clear_interrupts(&self) -> Result<()> {
        lock(&self.injected).clear();
        Ok(())
    }
}
