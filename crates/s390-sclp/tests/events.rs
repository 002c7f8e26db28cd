// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Event masks, the consoles and signal quiesce, as a guest uses them.

mod common;

use common::*;
use s390_sclp::{Config, Consoles, EventMask, Sclp, INPUT_CAPACITY};

fn with_consoles(consoles: Consoles) -> Machine {
    Machine::new(Config {
        consoles,
        ..Config::new(RAM, 1)
    })
}

/// "hi" as a message: MDB header, general object, one text object.
fn message() -> Vec<u8> {
    let mut mdb = b"\x00\x50\x00\x01\xd4\xc4\xc2\x40\x00\x00\x00\x01".to_vec();
    mdb.extend(b"\x00\x38\x00\x01");
    mdb.extend([0; 0x34]);
    mdb.extend(b"\x00\x0c\x00\x04\x30\x00\x00\x00\x00\x00\x88\x89");
    mdb
}

/// "ls" as an operator command event of the given type.
fn operator_command(event_type: u8) -> Vec<u8> {
    let mut event = vec![0x00, 0x18, event_type, 0, 0, 0];
    event.extend(b"\x00\x12\x13\x10\x00\x0e\x12\x12\x00\x0a\x13\x20\x06\x31\x04\x30\x93\xa2");
    event
}

#[test]
fn masks_of_each_choice_of_consoles() {
    for (consoles, receive, send) in [
        (Consoles::None, 0, QUIESCE),
        (Consoles::Vt220, VT220, VT220 | QUIESCE),
        (Consoles::LineMode, 0x4080_0000, 0x8080_0000 | QUIESCE),
        (
            Consoles::Both,
            0x4080_0000 | VT220,
            0x8080_0000 | VT220 | QUIESCE,
        ),
    ] {
        let mut machine = with_consoles(consoles);
        let mut request = sccb(0, b"\x00\x00\x00\x04\x12\x34\x56\x78\x9a\xbc\xde\xf0");
        request.extend([0xee; 8 + 8]);
        request[1] = 36;
        let (_, answer) = machine.call(WRITE_EVENT_MASK, &request);
        let mut expected = request;
        expected[6..8].copy_from_slice(&[0x00, 0x20]);
        expected[20..24].copy_from_slice(&u32::to_be_bytes(receive));
        expected[24..28].copy_from_slice(&u32::to_be_bytes(send));
        assert_eq!(answer, expected, "{consoles:?}");
        let state = machine.sclp.state();
        assert_eq!(state.receive_mask, EventMask(0x1234_5678));
        assert_eq!(state.send_mask, EventMask(0x9abc_def0));
    }
}

#[test]
fn masks_are_four_bytes() {
    let mut machine = Machine::small();
    for length in [0_u16, 1, 3, 5, 8, 1021, 0xffff] {
        let mut data = vec![0, 0];
        data.extend(length.to_be_bytes());
        data.extend([0xff; 32]);
        assert_eq!(machine.response(WRITE_EVENT_MASK, &sccb(0, &data)), 0x74f0);
        assert_eq!(machine.sclp.state().receive_mask, EventMask::NONE);
    }
    for count in 0..20 {
        let data = &[
            0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        let response = machine.response(WRITE_EVENT_MASK, &sccb(0, &data[..count]));
        assert_eq!(response, 0x0300, "{count}");
        assert_eq!(machine.sclp.state().receive_mask, EventMask::NONE);
    }
}

#[test]
fn event_types_are_bits_from_the_left() {
    assert_eq!(EventMask::OPERATOR_COMMAND.0, 0x8000_0000);
    assert_eq!(EventMask::MESSAGE.0, 0x4000_0000);
    assert_eq!(EventMask::PRIORITY_MESSAGE.0, 0x0080_0000);
    assert_eq!(EventMask::VT220.0, 0x40);
    assert_eq!(EventMask::SIGNAL_QUIESCE.0, 0x8);
    assert_eq!(EventMask::of(32).0, 1);
    assert_eq!(EventMask::of(0), EventMask::NONE);
    assert_eq!(EventMask::of(33), EventMask::NONE);
}

#[test]
fn vt220_output_is_taken_as_it_is() {
    let mut machine = Machine::small();
    let text = b"\x1b[1mHello\x00\xff\n";
    let (_, answer) = machine.call(WRITE_EVENT_DATA, &sccb(0, &event(0x1a, text)));
    assert_eq!(machine.take_output(), text);
    assert_eq!(answer[6..8], [0x00, 0x20]);
    // Length, type, flags with "accepted".
    assert_eq!(answer[8..14], [0, 6 + text.len() as u8, 0x1a, 0x80, 0, 0]);
}

#[test]
fn line_mode_output_is_turned_into_lines() {
    let mut machine = with_consoles(Consoles::LineMode);
    for event_type in [0x02, 0x09] {
        assert_eq!(machine.write_event(event_type, &message()), 0x0020);
        assert_eq!(machine.take_output(), b"hi\r\n");
    }
    assert_eq!(machine.write_event(0x02, &message()[..79]), 0x73f0);
    assert_eq!(machine.take_output(), b"");
}

#[test]
fn several_events_in_one_call() {
    let mut machine = with_consoles(Consoles::Both);
    let events = [
        event(0x1a, b"one "),
        event(0x02, &message()),
        event(0x1a, b""),
    ]
    .concat();
    assert_eq!(
        machine.response(WRITE_EVENT_DATA, &sccb(0, &events)),
        0x0020
    );
    assert_eq!(machine.take_output(), b"one hi\r\n");
}

#[test]
fn events_that_nobody_takes_are_refused() {
    let mut machine = with_consoles(Consoles::Both);
    // SDIAS above all: a guest would wait for its answer for ever.
    for event_type in [0x1c, 0x00, 0x01, 0x04, 0x1d, 0x20, 0x21, 0xff] {
        assert_eq!(
            machine.write_event(event_type, &[0; 16]),
            0x40f0,
            "{event_type:#x}"
        );
    }
    let (_, answer) = machine.call(WRITE_EVENT_DATA, &sccb(0, &event(0x1c, &[0; 16])));
    assert_eq!(answer[11], 0, "not marked as accepted");
    // A console that is not on offer.
    assert_eq!(
        with_consoles(Consoles::LineMode).write_event(0x1a, b"x"),
        0x40f0
    );
    assert_eq!(
        with_consoles(Consoles::Vt220).write_event(0x02, &message()),
        0x40f0
    );
    assert_eq!(
        with_consoles(Consoles::None).write_event(0x1a, b"x"),
        0x40f0
    );
}

#[test]
fn event_buffers_fill_the_sccb_exactly() {
    let mut machine = Machine::small();
    let good = event(0x1a, b"text");
    for (data, response) in [
        (vec![], 0x72f0),
        (vec![0], 0x72f0),
        (good[..9].to_vec(), 0x72f0),
        ([good.clone(), vec![0]].concat(), 0x72f0),
        ([good.clone(), vec![0, 9, 0x1a, 0, 0, 0]].concat(), 0x72f0),
        ([good.clone(), vec![0, 0, 0x1a, 0, 0, 0]].concat(), 0x73f0),
        ([good.clone(), vec![0, 5, 0x1a, 0, 0, 0]].concat(), 0x73f0),
    ] {
        assert_eq!(
            machine.response(WRITE_EVENT_DATA, &sccb(0, &data)),
            response,
            "{data:x?}"
        );
        assert_eq!(
            machine.take_output(),
            b"",
            "nothing of a malformed SCCB is taken"
        );
    }
}

#[test]
fn vt220_input() {
    let mut machine = Machine::small();
    assert!(!machine.listen(VT220));
    assert_eq!(machine.read_events(4096), (0x60f0, vec![], false));

    let pushed = machine.sclp.push_input(b"ls\r");
    assert_eq!((pushed.accepted, pushed.signal), (3, Some(1)));
    let (response, events, more) = machine.read_events(4096);
    assert_eq!(response, 0x0020);
    assert_eq!(events, b"\x00\x0a\x1a\x00\x00\x00\x00ls\r");
    assert!(!more);
    assert_eq!(machine.read_events(4096), (0x60f0, vec![], false));
}

#[test]
fn a_fixed_length_response_keeps_its_length() {
    let mut machine = Machine::small();
    machine.listen(VT220);
    let _ = machine.sclp.push_input(b"a");
    let (_, answer) = machine.call(READ_EVENT_DATA, &sccb(0, &[0xee; 24]));
    assert_eq!(answer[..8], [0, 32, 0, 0, 0, 0, 0x00, 0x20]);
    assert_eq!(answer[8..16], *b"\x00\x08\x1a\x00\x00\x00\x00a");

    let _ = machine.sclp.push_input(b"b");
    let mut request = sccb(0, &[0xee; 24]);
    request[5] = 0xff;
    let (_, answer) = machine.call(READ_EVENT_DATA, &request);
    assert_eq!(answer[..8], [0, 16, 0, 0, 0, 0x7f, 0x00, 0x20]);
}

#[test]
fn input_comes_in_pieces_when_the_sccb_is_small() {
    let mut machine = Machine::small();
    machine.listen(VT220);
    let _ = machine.sclp.push_input(b"abcde");
    for (text, more) in [(b"ab", true), (b"cd", true)] {
        let (_, events, pending) = machine.read_events(8 + 6 + 1 + 2);
        assert_eq!((&events[7..], pending), (&text[..], more));
    }
    // No room for a single byte: nothing is lost.
    assert_eq!(machine.read_events(8 + 6 + 1), (0x0300, vec![], true));
    assert_eq!(machine.read_events(8), (0x0300, vec![], true));
    let (_, events, pending) = machine.read_events(4096);
    assert_eq!((&events[7..], pending), (&b"e"[..], false));
}

#[test]
fn input_waits_for_a_guest_that_listens() {
    let mut machine = Machine::small();
    assert_eq!(machine.sclp.push_input(b"x").signal, None);
    assert!(!machine.listen(QUIESCE));
    assert!(!machine.sclp.reads_input());
    assert_eq!(machine.read_events(4096), (0x60f0, vec![], false));
    // The completion of opening the mask tells of it.
    assert!(machine.listen(VT220));
    assert!(machine.sclp.reads_input());
    assert_eq!(
        machine.read_events(4096).1,
        b"\x00\x08\x1a\x00\x00\x00\x00x"
    );
}

#[test]
fn a_console_that_is_not_there_reads_nothing() {
    let mut machine = with_consoles(Consoles::None);
    machine.listen(VT220);
    assert!(!machine.sclp.reads_input());
}

#[test]
fn input_is_bounded_and_nothing_is_dropped() {
    let mut machine = Machine::small();
    machine.listen(VT220);
    let text: Vec<u8> = (0..INPUT_CAPACITY + 10).map(|i| i as u8).collect();
    assert_eq!(machine.sclp.push_input(&text).accepted, INPUT_CAPACITY);
    assert_eq!(machine.sclp.input_room(), 0);
    assert_eq!(machine.sclp.push_input(b"x").accepted, 0);
    let (_, events, more) = machine.read_events(4096);
    assert_eq!(events[7..], text[..4096 - 15]);
    assert!(more);
    assert_eq!(machine.sclp.input_room(), 4096 - 15);
    assert_eq!(
        machine.sclp.push_input(&text[INPUT_CAPACITY..]).accepted,
        10
    );
    let (_, events, more) = machine.read_events(4096);
    assert_eq!(events[7..], text[4096 - 15..]);
    assert!(!more);
}

#[test]
fn line_mode_input_comes_line_by_line() {
    let mut machine = with_consoles(Consoles::LineMode);
    machine.listen(OPERATOR_COMMAND | PRIORITY_MESSAGE);
    assert_eq!(machine.sclp.push_input(b"l").signal, None);
    assert_eq!(machine.read_events(4096), (0x60f0, vec![], false));
    assert_eq!(machine.sclp.push_input(b"s\nls\r").signal, Some(1));
    assert_eq!(machine.read_events(8 + 23), (0x0300, vec![], true));
    let line = operator_command(0x01);
    assert_eq!(machine.read_events(8 + 24), (0x0020, line.clone(), true));
    assert_eq!(machine.read_events(4096), (0x0020, line, false));

    machine.listen(PRIORITY_MESSAGE);
    assert_eq!(machine.sclp.push_input(b"ls\n").signal, Some(1));
    let (_, events, _) = machine.read_events(4096);
    assert_eq!(events, operator_command(0x09));
}

#[test]
fn a_line_that_is_too_long_is_cut() {
    let mut machine = with_consoles(Consoles::LineMode);
    machine.listen(OPERATOR_COMMAND);
    assert_eq!(machine.sclp.push_input(&[b'a'; 250]).signal, None);
    assert_eq!(machine.sclp.push_input(b"ab\n").signal, Some(1));
    let (_, events, more) = machine.read_events(4096);
    assert_eq!((events.len(), more), (6 + 16 + 251, true));
    let (_, events, more) = machine.read_events(4096);
    assert_eq!((&events[6 + 16..], more), (&[0x82][..], false));
    // The longest whole line.
    let mut line = [b'a'; 252];
    line[251] = b'\n';
    let _ = machine.sclp.push_input(&line);
    let (_, events, more) = machine.read_events(4096);
    assert_eq!((events.len(), more), (6 + 16 + 251, false));
}

#[test]
fn input_follows_the_console_that_wrote_last() {
    let mut machine = with_consoles(Consoles::Both);
    machine.listen(OPERATOR_COMMAND | VT220);
    let vt220 = b"\x00\x0a\x1a\x00\x00\x00\x00ls\n".to_vec();
    let _ = machine.sclp.push_input(b"ls\n");
    assert_eq!(machine.read_events(4096).1, vt220);
    machine.write_event(0x02, &message());
    let _ = machine.sclp.push_input(b"ls\n");
    assert_eq!(machine.read_events(4096).1, operator_command(0x01));
    machine.write_event(0x1a, b"$ ");
    let _ = machine.sclp.push_input(b"ls\n");
    assert_eq!(machine.read_events(4096).1, vt220);
    // Unless the guest does not read from it.
    machine.write_event(0x02, &message());
    machine.listen(VT220);
    let _ = machine.sclp.push_input(b"ls\n");
    assert_eq!(machine.read_events(4096).1, vt220);
}

#[test]
fn a_selective_read_takes_what_it_selects() {
    let mut machine = Machine::small();
    let select = |mask: u32| sccb(1, &[&mask.to_be_bytes()[..], &[0; 100]].concat());
    assert_eq!(machine.response(READ_EVENT_DATA, &select(0)), 0x70f0);
    machine.listen(VT220 | QUIESCE);
    let _ = machine.sclp.push_input(b"x");
    assert_eq!(machine.sclp.request_shutdown(), Some(1));
    // More than the guest receives.
    assert_eq!(
        machine.response(READ_EVENT_DATA, &select(VT220 | 1)),
        0x70f0
    );
    assert_eq!(machine.response(READ_EVENT_DATA, &select(0)), 0x60f0);
    let (completion, answer) = machine.call(READ_EVENT_DATA, &select(QUIESCE));
    assert_eq!(answer[8..17], [0, 9, 0x1d, 0, 0, 0, 0, 0, 0]);
    assert_eq!(completion.parameter, SCCB | 1, "the input is pending still");
    let (completion, answer) = machine.call(READ_EVENT_DATA, &select(VT220));
    assert_eq!(answer[8..16], *b"\x00\x08\x1a\x00\x00\x00\x00x");
    assert_eq!(completion.parameter, SCCB);

    assert_eq!(machine.response(READ_EVENT_DATA, &sccb(1, &[0; 3])), 0x0300);
    for function in [2, 0x80, 0xff] {
        assert_eq!(
            machine.response(READ_EVENT_DATA, &sccb(function, &[0; 100])),
            0x40f0
        );
    }
}

#[test]
fn shutdown_is_asked_for_once() {
    let mut machine = Machine::small();
    assert_eq!(machine.sclp.request_shutdown(), None);
    assert!(!machine.listen(VT220));
    assert!(machine.listen(VT220 | QUIESCE));
    let _ = machine.sclp.push_input(b"x");
    // Too little room for it, and then for both.
    assert_eq!(machine.read_events(8 + 6), (0x0300, vec![], true));
    let (response, events, more) = machine.read_events(4096);
    assert_eq!(response, 0x0020);
    assert_eq!(
        events,
        b"\x00\x09\x1d\x00\x00\x00\x00\x00\x00\x00\x08\x1a\x00\x00\x00\x00x"
    );
    assert!(!more);
    assert_eq!(machine.read_events(4096).0, 0x60f0);
}

#[test]
fn reset_forgets_the_guest() {
    let mut machine = with_consoles(Consoles::Both);
    machine.listen(0xffff_ffff);
    machine.write_event(0x02, &message());
    let _ = machine.sclp.push_input(b"x");
    let _ = machine.sclp.request_shutdown();
    machine.sclp.reset();
    assert_eq!(machine.sclp.state(), Default::default());
    assert!(!machine.listen(0xffff_ffff));
}

#[test]
fn a_saved_state_goes_on() {
    let mut machine = with_consoles(Consoles::Both);
    machine.listen(OPERATOR_COMMAND | VT220 | QUIESCE);
    machine.write_event(0x02, &message());
    let _ = machine.sclp.push_input(b"ls\n");
    let _ = machine.sclp.request_shutdown();
    let state = machine.sclp.state();
    let config = *machine.sclp.config();
    machine.sclp = Sclp::from_state(config, Box::new(|_: &[u8]| ()), state.clone()).unwrap();
    assert_eq!(machine.sclp.state(), state);
    let (_, events, _) = machine.read_events(4096);
    assert_eq!(events[9..], operator_command(0x01));
    assert_eq!(events[2], 0x1d);
}
