// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The pending queue against a naive model, and delivery against what a guest reads back.

use proptest::prelude::*;
use s390_extint::{
    deliver, is_enabled, lowcore, priority, Error, ExternalInterrupt, LowcoreAccess, PendingQueue,
    Psw, VirtioEvent,
};

fn event() -> impl Strategy<Value = VirtioEvent> {
    // Few tokens, so that equal ones meet.
    (0..3u8, 0..8u64).prop_map(|(kind, token)| match kind {
        0 => VirtioEvent::Vring { token },
        1 => VirtioEvent::ConfigChanged { token },
        _ => VirtioEvent::DeviceAdded { desc: token },
    })
}

fn interrupt() -> impl Strategy<Value = ExternalInterrupt> {
    prop_oneof![
        event().prop_map(ExternalInterrupt::virtio),
        (0..4u32, any::<bool>()).prop_map(|(n, event)| ExternalInterrupt::service(n * 8, event)),
        (any::<u16>(), any::<u16>(), any::<u32>(), any::<u64>()).prop_map(
            |(code, subcode, params, params2)| ExternalInterrupt {
                code,
                subcode,
                params,
                params2
            }
        ),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Push(ExternalInterrupt),
    Pop { psw_mask: u64, cr0: u64 },
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let masks = (
        prop_oneof![Just(0), Just(Psw::EXTERNAL), any::<u64>()],
        prop_oneof![Just(0), Just(0x200), Just(u64::MAX), any::<u64>()],
    );
    prop_oneof![
        6 => interrupt().prop_map(Step::Push),
        4 => masks.prop_map(|(psw_mask, cr0)| Step::Pop { psw_mask, cr0 }),
        1 => Just(Step::Clear),
    ]
}

const CAPACITY: usize = 6;

/// Everything in one list; slow and obvious.
#[derive(Default)]
struct Model(Vec<ExternalInterrupt>);

impl Model {
    fn push(&mut self, interrupt: ExternalInterrupt) -> Result<(), Error> {
        let service = ExternalInterrupt::SERVICE_SIGNAL;
        if interrupt.code == service {
            match self.0.iter_mut().find(|i| i.code == service) {
                Some(pending) => {
                    pending.params |= interrupt.params & 7;
                    if pending.params < 8 {
                        pending.params |= interrupt.params;
                    }
                }
                None => self.0.push(ExternalInterrupt {
                    subcode: 0,
                    params2: 0,
                    ..interrupt
                }),
            }
            return Ok(());
        }
        let is_virtio = interrupt.code == 0x2603 && interrupt.subcode >> 8 == 0x0d;
        let void = is_virtio && interrupt.params & 0xff != 2 && interrupt.params2 < 2;
        if void || self.0.contains(&interrupt) {
            return Ok(());
        }
        if self.0.iter().filter(|i| i.code != service).count() == CAPACITY {
            return Err(Error::Full);
        }
        self.0.push(interrupt);
        Ok(())
    }

    fn pop(&mut self, psw_mask: u64, cr0: u64) -> Option<ExternalInterrupt> {
        let service = |i: &ExternalInterrupt| i.code == 0x2401;
        let enabled = |i: &&ExternalInterrupt| is_enabled(i.code, psw_mask, cr0);
        let next = *self
            .0
            .iter()
            .filter(enabled)
            .min_by_key(|i| u8::from(!service(i)))?;
        self.0.retain(|i| *i != next);
        Some(next)
    }
}

proptest! {
    #[test]
    fn the_queue_does_what_the_model_does(steps in prop::collection::vec(step(), 0..60)) {
        let mut queue = PendingQueue::with_capacity(CAPACITY);
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Push(interrupt) => {
                    let pushed = queue.push(interrupt).map(|_| ());
                    prop_assert_eq!(pushed, model.push(interrupt));
                }
                Step::Pop { psw_mask, cr0 } => {
                    let pending = queue.is_enabled_pending(psw_mask, cr0);
                    let popped = queue.pop_enabled(psw_mask, cr0);
                    prop_assert_eq!(pending, popped.is_some());
                    prop_assert_eq!(popped, model.pop(psw_mask, cr0));
                }
                Step::Clear => {
                    queue.clear();
                    model.0.clear();
                }
            }
            prop_assert_eq!(queue.len(), model.0.len());
            prop_assert!(queue.len() <= CAPACITY + 1);
            let state = queue.state();
            prop_assert_eq!(PendingQueue::from_state(&state, PendingQueue::DEFAULT_CAPACITY).unwrap().state(), state);
        }
    }

    #[test]
    fn a_guest_reads_back_what_was_delivered(
        interrupt in interrupt(), mask: u64, addr: u64, new_mask: u64, new_addr: u64,
    ) {
        let mut lowcore = [0x5a; lowcore::SIZE];
        let old = Psw { mask, addr };
        let new = Psw { mask: new_mask, addr: new_addr };
        let Ok(()) = lowcore.write_psw(lowcore::EXT_NEW_PSW, new);
        prop_assert_eq!(deliver(&mut lowcore, &interrupt, old), Ok(new));
        prop_assert_eq!(lowcore.read_psw(lowcore::EXT_OLD_PSW), Ok(old));
        let Ok(read) = ExternalInterrupt::read_from(&lowcore);
        prop_assert_eq!((read.code, read.subcode), (interrupt.code, interrupt.subcode));
        if interrupt.stores_params() {
            prop_assert_eq!(read.params, interrupt.params);
        }
        if interrupt.stores_params2() {
            prop_assert_eq!(read.params2, interrupt.params2);
        }
    }

    #[test]
    fn events_survive_the_way_through_the_lowcore(event in event()) {
        let mut lowcore = [0; lowcore::SIZE];
        let Ok(_) = deliver(&mut lowcore, &ExternalInterrupt::virtio(event), Psw::default());
        let Ok(read) = ExternalInterrupt::read_from(&lowcore);
        let expected = match event {
            VirtioEvent::Vring { token } => VirtioEvent::Vring { token: token & !1 },
            VirtioEvent::ConfigChanged { token } => VirtioEvent::ConfigChanged { token: token & !1 },
            added => added,
        };
        prop_assert_eq!(read.virtio_event(), Some(expected));
    }

    #[test]
    fn an_enabled_code_has_a_priority(code: u16) {
        prop_assert_eq!(is_enabled(code, u64::MAX, u64::MAX), priority(code) < u8::MAX);
    }
}
