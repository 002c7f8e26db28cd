// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the three hypercalls return, and to which addresses they listen.

mod common;

use std::io::Write;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::*;
use s390_hypercall::{dispatch, HypercallHandler, ProgramInterruption};

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[test]
fn only_live_descriptors_can_be_reset() {
    let machine = Machine::new();
    machine.add(disk().0);
    machine.add(disk().0);
    let second = machine.driver(1).desc;
    assert_eq!(second, PAGE + 5 + 24 + 8 + 60);
    for subcode in [RESET, SET_STATUS] {
        assert_eq!(machine.diag(subcode, PAGE), 0);
        assert_eq!(machine.diag(subcode, second), 0);
        for bad in [
            0,
            PAGE - 1,
            PAGE + 1,
            second - 1,
            second + 1,
            second + 97,
            PAGE + 4096,
            machine.driver(0).ring_address(0),
            u64::MAX,
            PAGE | 1 << 63,
        ] {
            assert_eq!(machine.diag(subcode, bad), EINVAL, "{bad:#x}");
        }
    }
}

#[test]
fn a_ring_is_notified_by_its_exact_address() {
    let machine = Machine::new();
    machine.add(disk().0);
    let ring = machine.driver(0).ring_address(0);
    assert_eq!(machine.diag(NOTIFY, ring), 0);
    for bad in [
        PAGE,
        PAGE + 1,
        ring - 1,
        ring + 1,
        ring + 4096,
        ring + 8192,
        u64::MAX,
    ] {
        assert_eq!(machine.diag(NOTIFY, bad), EINVAL, "{bad:#x}");
    }
}

#[test]
fn addresses_in_ram_are_text() {
    let machine = Machine::new();
    let sink = Sink::default();
    // Without a sink the text is lost, and the call succeeds all the same.
    machine.write(0x5000, b"nobody hears\0");
    assert_eq!(machine.diag(NOTIFY, 0x5000), 0);
    machine.bus.set_early_console(Box::new(sink.clone()));
    machine.write(0x5000, b"Linux version\n\0rest");
    assert_eq!(machine.diag(NOTIFY, 0x5000), 0);
    assert_eq!(sink.take(), b"Linux version\n");
    machine.write(0x5000, b"0123456789abcdefghij");
    assert_eq!(machine.diag(NOTIFY, 0x5000), 0);
    assert_eq!(sink.take(), b"0123456789abcdefg");
    // At the end of RAM the text ends, before the page begins.
    machine.write(PAGE - 3, b"end");
    machine.write(PAGE, b"page");
    assert_eq!(machine.diag(NOTIFY, PAGE - 3), 0);
    assert_eq!(sink.take(), b"end");
    assert_eq!(machine.diag(NOTIFY, PAGE), EINVAL);
    assert!(sink.take().is_empty());
}

/// One CPU prints to somebody who does not read, another one has work for a device.
#[test]
fn a_text_that_waits_holds_no_notification_up() {
    struct Full(Sender<()>, Receiver<()>);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.send(()).unwrap();
            // For as long as somebody holds the other end.
            let _ = self.1.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let machine = Machine::new();
    machine.add(disk().0);
    let ring = machine.driver(0).ring_address(0);
    machine.write(0x5000, b"Linux\0");
    let (writes, written) = channel();
    let (go_on, goes_on) = channel();
    machine
        .bus
        .set_early_console(Box::new(Full(writes, goes_on)));
    let (notified, notifies) = channel();
    let bus = &machine.bus;
    std::thread::scope(|scope| {
        scope.spawn(|| bus.notify(0x5000));
        written.recv().unwrap();
        scope.spawn(|| notified.send(bus.notify(ring)));
        let answer = notifies.recv_timeout(Duration::from_secs(10));
        drop(go_on);
        assert_eq!(answer.expect("it waits for the text"), Ok(0));
    });
}

#[test]
fn other_subcodes_are_not_the_bus_business() {
    let machine = Machine::new();
    for subcode in [3, 4, 5, 255, u64::MAX] {
        let mut registers = [0u64; 16];
        registers[1] = subcode;
        assert_eq!(
            dispatch(&machine.bus, 0x8324, 0x0500_0000, false, &mut registers),
            Err(ProgramInterruption::SPECIFICATION)
        );
        assert_eq!(registers[2], 0);
    }
}
