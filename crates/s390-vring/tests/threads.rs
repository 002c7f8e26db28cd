// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Driver and device on two threads that sleep whenever the other side may not need them: nothing is lost,
//! neither data nor a wake-up. The time limit only turns a hang into a failure. And a guest that rewrites a
//! descriptor while the device looks at it.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::thread;
use std::time::Duration;

use s390_vring::mock::MockDriver;
use s390_vring::{
    BigEndian, Buffer, ByteOrder, Descriptor, DeviceQueue, Error, LittleEndian, RingFeatures,
};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

const SIZE: u16 = 8;
const REQUESTS: u32 = if cfg!(target_arch = "s390x") {
    2000
} else {
    20_000
};
const BUFFERS: u64 = 0x8000;

type Memory = GuestMemoryMmap<()>;

fn sleep(wake: &Receiver<()>) {
    wake.recv_timeout(Duration::from_secs(60))
        .expect("a wake-up was lost");
}

/// Answers each number with its complement, until all are answered.
fn device<Q: DeviceQueue>(
    mut queue: Q,
    mem: &Memory,
    kicks: &Receiver<()>,
    interrupts: &Sender<()>,
) {
    let mut answered = 0;
    while answered < REQUESTS {
        queue.disable_notification(mem).unwrap();
        while let Some(chain) = queue.pop_descriptor_chain(mem).unwrap() {
            let number: u32 = chain.reader(mem).unwrap().read_obj().unwrap();
            let mut writer = chain.writer(mem).unwrap();
            writer.write_all(&(!number).to_ne_bytes()).unwrap();
            queue.add_used(mem, chain.head_index(), 4).unwrap();
            answered += 1;
            if answered % 3 == 0 && queue.needs_notification(mem).unwrap() {
                interrupts.send(()).unwrap();
            }
        }
        if queue.enable_notification(mem).unwrap() {
            continue;
        }
        if queue.needs_notification(mem).unwrap() {
            interrupts.send(()).unwrap();
        }
        if answered < REQUESTS {
            sleep(kicks);
        }
    }
}

fn driver<E: ByteOrder>(
    mut mock: MockDriver<'_, E, Memory>,
    mem: &Memory,
    kicks: &Sender<()>,
    interrupts: &Receiver<()>,
) {
    let (mut asked, mut answered) = (0, 0);
    let mut numbers = [0; SIZE as usize];
    while answered < REQUESTS {
        while asked < REQUESTS && mock.driver().num_free() >= 2 {
            // Both buffers are known by the head, which is the first free descriptor.
            let slot = BUFFERS + 8 * u64::from(asked % 64);
            mem.write_obj(asked, GuestAddress(slot)).unwrap();
            let chain = [Buffer::readable(slot, 4), Buffer::writable(slot + 4, 4)];
            let head = mock.driver().add_chain(&chain).unwrap();
            numbers[usize::from(head)] = asked;
            asked += 1;
            if asked % 2 == 0 && mock.driver().publish() {
                // The device may have finished and gone.
                let _ = kicks.send(());
            }
        }
        if mock.driver().publish() {
            let _ = kicks.send(());
        }
        mock.driver().disable_interrupts();
        while let Some(used) = mock.driver().pop_used().unwrap() {
            let number = numbers[usize::from(used.head)];
            let answer = BUFFERS + 8 * u64::from(number % 64) + 4;
            let answer: u32 = mem.read_obj(GuestAddress(answer)).unwrap();
            assert_eq!((used.len, answer), (4, !number));
            answered += 1;
        }
        if answered < REQUESTS && !mock.driver().enable_interrupts() {
            let room = asked < REQUESTS && mock.driver().num_free() >= 2;
            if !room {
                sleep(interrupts);
            }
        }
    }
}

fn run<E: ByteOrder>(event_idx: bool) {
    let mem = Memory::from_ranges(&[(GuestAddress(0), 0x10000)]).unwrap();
    let features = RingFeatures {
        event_idx,
        ..RingFeatures::default()
    };
    let mock = MockDriver::<E, _>::new(&mem, GuestAddress(0), SIZE, features);
    let queue = mock.device_queue();
    let (kick, kicks) = channel();
    let (interrupt, interrupts) = channel();
    thread::scope(|scope| {
        let mem = &mem;
        scope.spawn(move || device(queue, mem, &kicks, &interrupt));
        driver(mock, mem, &kick, &interrupts);
    });
}

#[test]
fn test_flags() {
    run::<BigEndian>(false);
    run::<LittleEndian>(false);
}

#[test]
fn test_event_idx() {
    run::<BigEndian>(true);
    run::<LittleEndian>(true);
}

/// Whatever moment the device looks at, it never gets a buffer outside memory.
#[test]
fn test_descriptor_that_changes() {
    let mem = Memory::from_ranges(&[(GuestAddress(0), 0x10000)]).unwrap();
    let mock =
        MockDriver::<BigEndian, _>::new(&mem, GuestAddress(0), SIZE, RingFeatures::default());
    let good = Descriptor {
        addr: 0x8000,
        len: 0x100,
        flags: 0,
        next: 0,
    };
    mock.set_descriptor(0, good);
    mock.push_head(0);
    let mut queue = mock.device_queue();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for addr in [0x1_0000u64, u64::MAX, good.addr] {
                    mem.store(addr.to_be(), GuestAddress(0), Ordering::Relaxed)
                        .unwrap();
                }
            }
        });
        for _ in 0..REQUESTS * 10 {
            match queue.pop_descriptor_chain(&mem) {
                Ok(chain) => {
                    let chain = chain.unwrap();
                    assert_eq!(chain.readable()[0].addr.0, good.addr);
                    assert!(chain.reader(&mem).is_ok());
                    queue.go_to_previous_position();
                }
                Err(error) => assert!(matches!(error, Error::SegmentOutsideMemory { .. })),
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}
