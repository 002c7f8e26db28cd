// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Commands.

use super::*;

#[test]
fn commands_change_what_is_received() {
    let memory = memory();
    // CTRL_VQ, CTRL_RX, CTRL_VLAN, CTRL_RX_EXTRA, CTRL_MAC_ADDR.
    let mut bench = Bench::<BigEndian>::new(&memory, 0x9e_0000);
    fn receives(bench: &mut Bench<'_, BigEndian>, to: [u8; 6]) -> bool {
        bench
            .rx
            .add_chain(&[Buffer::writable(BUFFER + 0x1000, 100)]);
        let mut sent = frame(60, 0);
        sent[..6].copy_from_slice(&to);
        bench.link.incoming.push_back(sent);
        bench.process_rx();
        bench.signals.take_used();
        bench.received().is_some()
    }
    let other = [2, 0, 0, 0, 0, 9];
    assert!(receives(&mut bench, other));
    assert_eq!(bench.command(&memory, &[0, 0, 0]), 0);
    assert!(!receives(&mut bench, other));
    assert!(receives(&mut bench, MAC.0));
    assert_eq!(bench.command(&memory, &[1, 1, 2, 0, 0, 0, 0, 9]), 0);
    assert_eq!(bench.handler.mac().0, other);
    assert!(receives(&mut bench, other));
    assert!(!receives(&mut bench, MAC.0));
    // The first table is for one, the second for many.
    let (unicast, multicast) = ([2, 0, 0, 0, 0, 8], [1, 0, 0x5e, 0, 0, 8]);
    let mut tables = vec![1, 0, 0, 0, 0, 1];
    tables.extend(unicast);
    tables.extend([0, 0, 0, 1]);
    tables.extend(multicast);
    assert_eq!(bench.command(&memory, &tables), 0);
    assert!(receives(&mut bench, unicast) && receives(&mut bench, multicast));
    assert_eq!(bench.command(&memory, &[2, 0, 0x0f, 0xff]), 0);
    let metrics = bench.handler.metrics.clone();
    assert_eq!(metrics.rx_dropped_filter.get(), 2);
    // No such VLAN, no such command, and one that was not agreed on.
    assert_eq!(bench.command(&memory, &[2, 0, 0x10, 0]), 1);
    assert_eq!(bench.command(&memory, &[9, 0, 0]), 1);
    assert_eq!(bench.command(&memory, &[5, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 1);
    assert_eq!(metrics.ctrl_refused.get(), 3);
    // The driver has a command: what it writes elsewhere does not count.
    bench.handler.set_mac(MAC);
    assert_eq!(bench.handler.mac().0, other);
}

#[test]
fn the_guest_changes_its_offloads() {
    let memory = memory();
    // GUEST_CSUM, CTRL_GUEST_OFFLOADS, GUEST_TSO4, CTRL_VQ.
    let mut bench = Bench::<BigEndian>::new(&memory, 0x2_0086);
    assert_eq!(bench.command(&memory, &[5, 0, 0, 0, 0, 0, 0, 0, 0, 2]), 0);
    let csum = Offloads {
        csum: true,
        ..Offloads::default()
    };
    assert_eq!(bench.link.agreed, Some((csum, HeaderOrder::Big)));
    assert_eq!(bench.handler.guest, csum);
    // TCP over IPv6 was not among them, and a control queue is no offload.
    assert_eq!(bench.command(&memory, &[5, 0, 0, 0, 0, 0, 0, 0, 1, 2]), 1);
    assert_eq!(bench.command(&memory, &[5, 0, 0, 0, 0, 0, 0, 2, 0, 2]), 1);
    assert_eq!(bench.handler.guest, csum);
    // Nor does a backend that will not change.
    bench.link.stubborn = true;
    assert_eq!(bench.command(&memory, &[5, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 1);
    assert_eq!(bench.handler.guest, csum);
}

#[test]
fn a_command_without_room_for_the_answer_breaks_the_queue() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, 0x9e_0000);
    bench.ctrl.add_chain(&[Buffer::readable(BUFFER, 3)]);
    assert!(bench.handler.process_ctrl(&mut bench.link).is_err());
}

#[test]
fn an_old_driver_writes_its_address() {
    let memory = memory();
    let mut bench = Bench::<BigEndian>::new(&memory, 0);
    bench.handler.set_mac(MacAddress([1, 0, 0, 0, 0, 9]));
    assert_eq!(bench.handler.mac(), MAC);
    bench.handler.set_mac(MacAddress([2, 0, 0, 0, 0, 9]));
    assert_eq!(bench.handler.mac().0[5], 9);
}
