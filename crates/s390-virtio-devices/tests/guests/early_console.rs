// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Text that the kernel prints with NOTIFY before it has a console.

use std::io::Write;
use std::sync::{Arc, Mutex};

use crate::common::{disk, Machine, NOTIFY};
use crate::drivers::{Bound, BLOCK};
use crate::kernel::Kernel;
use crate::linux::{each, EarlyConsole};

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Prints the way Linux does: sixteen characters and a NUL at a time, from its stack.
fn print(machine: &Machine, text: &str) {
    const STACK: u64 = 0x3f01;
    for part in text.as_bytes().chunks(16) {
        machine.write(STACK, part);
        machine.write(STACK + part.len() as u64, &[0]);
        // Nobody looks at the answer.
        machine.diag(NOTIFY, STACK);
    }
}

#[test]
fn a_kernel_prints_before_its_devices_are_there() {
    each(|release| {
        let machine = Machine::new();
        machine.add(disk().0);
        let screen = Screen::default();
        machine.bus.set_early_console(Box::new(screen.clone()));
        let text = format!("Linux version {} booting the kernel\n", release.name);
        let mut expected = String::new();
        if release.early_console != EarlyConsole::Never {
            print(&machine, &text);
            expected += &text;
        }
        let kernel = Kernel::boot(&machine, release);
        let disk = Bound::probe(&kernel, kernel.devices(BLOCK)[0]);
        // Without any SCLP console newer ones go on with it for good.
        if release.early_console == EarlyConsole::WithoutSclpConsole {
            print(&machine, &text);
            expected += &text;
        }
        disk.check_read(1);
        assert_eq!(*screen.0.lock().unwrap(), expected.as_bytes());
    });
}
