// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Read SCP information and read CPU information.

use crate::sccb::Sccb;
use crate::{ebcdic, Config, Response};

/// Facility: read CPU information can be asked for.
const FACILITY_CPU_INFO: u64 = 0x0800_0000_0000_0000;
/// Byte 85: enhanced suppression on protection.
const ESOP: u8 = 0x02;

/// A CPU entry: core address at byte 0, features of nested virtualisation (none) up to byte 13, CPU
/// type at byte 14 (0: general purpose).
const CPU_ENTRY: usize = 16;
/// Where the CPU entries start in SCP information.
const SCP_INFO_CPUS: usize = 128;
/// Where they start in CPU information.
const CPU_INFO_CPUS: usize = 24;

/// Read SCP information.
pub(crate) fn read_scp_info(config: &Config, sccb: &mut Sccb) -> Response {
    if sccb.len() < SCP_INFO_CPUS + CPU_ENTRY * usize::from(config.cpus) {
        return Response::InsufficientLength;
    }
    sccb.clear_data();
    // Each of the two numbers has a wide field that counts when the narrow one is 0.
    let (size, number) = config.increments();
    match u8::try_from(size) {
        Ok(size) => sccb.put_u8(10, size),
        Err(_) => sccb.put_u32(100, size as u32),
    }
    match u16::try_from(number) {
        Ok(number) => sccb.put_u16(8, number),
        Err(_) => sccb.put_u64(104, number),
    }
    sccb.put_u16(16, config.cpus);
    sccb.put_u16(18, SCP_INFO_CPUS as u16);
    sccb.put(24, &ebcdic::from_latin1(&config.load_parameter));
    sccb.put_u64(48, FACILITY_CPU_INFO);
    sccb.put_u8(85, if config.esop { ESOP } else { 0 });
    sccb.put_u16(120, config.cpus - 1);
    sccb.put_u32(124, config.hmfai);
    put_cpus(config, sccb, SCP_INFO_CPUS);
    Response::ReadComplete
}

/// Read CPU information.
pub(crate) fn read_cpu_info(config: &Config, sccb: &mut Sccb) -> Response {
    let end = CPU_INFO_CPUS + CPU_ENTRY * usize::from(config.cpus);
    if sccb.len() < end {
        return Response::InsufficientLength;
    }
    sccb.clear_data();
    sccb.put_u16(8, config.cpus);
    sccb.put_u16(10, CPU_INFO_CPUS as u16);
    // No standby CPUs, behind the configured ones.
    sccb.put_u16(12, 0);
    sccb.put_u16(14, end as u16);
    put_cpus(config, sccb, CPU_INFO_CPUS);
    Response::ReadComplete
}

fn put_cpus(config: &Config, sccb: &mut Sccb, at: usize) {
    for cpu in 0..config.cpus {
        sccb.put_u8(at + CPU_ENTRY * usize::from(cpu), cpu as u8);
    }
}
