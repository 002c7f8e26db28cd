// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Whatever a guest puts into instruction, registers and storage, it gets an answer: no panic, no
//! error of the host, and no store outside RAM.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use s390_hypercall::HypercallHandler;
use s390_hypervisor::{Intercept, Psw, Vcpu, VcpuExit};
use s390_machine::test_utils::{FakeHandle, FakeVcpu, FakeVm};
use s390_machine::{Machine, MachineConfig, Outcome, Parts};
use s390_sclp::{Config, Sclp};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

const RAM: u64 = 1 << 20;
const BEHIND: usize = 0x1_0000;

struct NoDevices;
impl HypercallHandler for NoDevices {}

/// Opcodes that somebody answers, and any other.
fn instruction() -> impl Strategy<Value = u16> {
    prop_oneof![
        2 => (0..=255u16).prop_map(|r| 0x8300 | r),
        2 => (0..=255u16).prop_map(|r| 0xae00 | r),
        2 => Just(0xb220),
        3 => Just(0xb27d),
        1 => any::<u16>(),
    ]
}

/// Small values, pages, function codes of STSI, and anything.
fn register() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..24u64,
        (0..0x200u64).prop_map(|page| page * 0x1000),
        Just(0x3000_0002),
        Just(0x0002_0001),
        any::<u64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_guest_always_gets_an_answer(
        ipa in instruction(),
        ipb: u32,
        gprs in prop::collection::vec(register(), 16),
        crs in prop::collection::vec(register(), 16),
        mask: u64,
        prefix in 0..0x90u32,
        tables in prop::collection::vec((0..RAM / 8, register()), 0..20),
    ) {
        let ranges = [(GuestAddress(0), RAM as usize + BEHIND)];
        let memory = GuestMemoryMmap::<()>::from_ranges(&ranges).unwrap();
        for (at, value) in tables {
            memory.write_obj(value.to_be_bytes(), GuestAddress(at * 8)).unwrap();
        }
        let sclp = Sclp::new(Config::new(RAM, 1), Box::new(|_: &[u8]| ())).unwrap();
        let mut vcpu = FakeVcpu::new(FakeHandle::new(0));
        let machine = Machine::new(Parts {
            config: MachineConfig { watchdog: true, ..MachineConfig::new(RAM) },
            memory: memory.clone(),
            vm: Arc::new(FakeVm::default()),
            sclp: Arc::new(Mutex::new(sclp)),
            hypercalls: Arc::new(NoDevices),
            devices: Arc::new(|| ()),
            cpus: vec![vcpu.handle()],
        });
        machine.start(0).unwrap();
        vcpu.state.gprs.copy_from_slice(&gprs);
        vcpu.state.crs.copy_from_slice(&crs);
        vcpu.state.prefix = prefix * 0x2000;
        vcpu.state.psw = Psw { mask: mask & !Psw::PROBLEM, addr: 0x1004 };

        let exit = VcpuExit::Intercept(Intercept::instruction(ipa, ipb));
        let outcome = machine.handle_exit(&mut vcpu, exit).unwrap();
        prop_assert!(vcpu.programs.len() <= 1);
        if !vcpu.programs.is_empty() {
            prop_assert_eq!(outcome, Outcome::Resume);
            prop_assert_eq!(&vcpu.state.gprs[..], &gprs[..]);
        }

        let mut behind = vec![0; BEHIND];
        memory.read_slice(&mut behind, GuestAddress(RAM)).unwrap();
        prop_assert!(behind.iter().all(|&byte| byte == 0));
    }
}
