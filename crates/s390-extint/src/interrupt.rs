// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One external interruption as it is stored in the lowcore.

/// An external interruption: the code, and the parameters that the CPU stores beside it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExternalInterrupt {
    /// Interruption code, lowcore 0x86.
    pub code: u16,
    /// CPU address or subcode, lowcore 0x84.
    pub subcode: u16,
    /// External interruption parameter, lowcore 0x80.
    pub params: u32,
    /// 64-bit parameter, lowcore 0x11b8.
    pub params2: u64,
}

/// Interruption codes (Principles of Operation, chapter 6, "External Interruption").
impl ExternalInterrupt {
    /// Interrupt key.
    pub const INTERRUPT_KEY: u16 = 0x0040;
    /// Clock comparator.
    pub const CLOCK_COMPARATOR: u16 = 0x1004;
    /// CPU timer.
    pub const CPU_TIMER: u16 = 0x1005;
    /// Malfunction alert: another CPU entered the check-stop state.
    pub const MALFUNCTION_ALERT: u16 = 0x1200;
    /// Emergency signal, by SIGP.
    pub const EMERGENCY_SIGNAL: u16 = 0x1201;
    /// External call, by SIGP.
    pub const EXTERNAL_CALL: u16 = 0x1202;
    /// Timing alert.
    pub const TIMING_ALERT: u16 = 0x1406;
    /// Measurement alert.
    pub const MEASUREMENT_ALERT: u16 = 0x1407;
    /// Service signal: a service call is complete, or the service processor has an event.
    pub const SERVICE_SIGNAL: u16 = 0x2401;
    /// Shared by the control program's paravirtual interruptions: virtio and pfault.
    pub const VIRTIO: u16 = 0x2603;

    /// In the parameter of a service signal: an event is pending, to be fetched with Read Event
    /// Data.
    pub const SERVICE_EVENT_PENDING: u32 = 1;
    /// In the parameter of a service signal: the address of the completed service-call control
    /// block, or zero.
    pub const SERVICE_SCCB: u32 = 0xffff_fff8;
}

impl ExternalInterrupt {
    const fn plain(code: u16, subcode: u16) -> Self {
        ExternalInterrupt {
            code,
            subcode,
            params: 0,
            params2: 0,
        }
    }

    /// The clock comparator is earlier than the TOD clock.
    pub const fn clock_comparator() -> Self {
        Self::plain(Self::CLOCK_COMPARATOR, 0)
    }

    /// The CPU timer is negative.
    pub const fn cpu_timer() -> Self {
        Self::plain(Self::CPU_TIMER, 0)
    }

    /// An emergency signal from the CPU with this address.
    pub const fn emergency_signal(cpu: u16) -> Self {
        Self::plain(Self::EMERGENCY_SIGNAL, cpu)
    }

    /// An external call from the CPU with this address.
    pub const fn external_call(cpu: u16) -> Self {
        Self::plain(Self::EXTERNAL_CALL, cpu)
    }

    /// A service signal: `sccb` is the absolute address of the completed control block (its low
    /// three bits are dropped) or zero for an event alone.
    pub const fn service(sccb: u32, event_pending: bool) -> Self {
        ExternalInterrupt {
            code: Self::SERVICE_SIGNAL,
            subcode: 0,
            params: sccb & Self::SERVICE_SCCB
                | if event_pending {
                    Self::SERVICE_EVENT_PENDING
                } else {
                    0
                },
            params2: 0,
        }
    }

    /// Whether the CPU stores [`params`](Self::params) at 0x80. For the other codes it leaves
    /// that field as it was.
    pub const fn stores_params(&self) -> bool {
        !matches!(
            self.code,
            Self::INTERRUPT_KEY
                | Self::CLOCK_COMPARATOR
                | Self::CPU_TIMER
                | Self::MALFUNCTION_ALERT
                | Self::EMERGENCY_SIGNAL
                | Self::EXTERNAL_CALL
        )
    }

    /// Whether the CPU stores [`params2`](Self::params2) at 0x11b8.
    pub const fn stores_params2(&self) -> bool {
        self.code == Self::VIRTIO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_signal_keeps_the_block_and_the_event_bit_apart() {
        assert_eq!(ExternalInterrupt::service(0x1238, false).params, 0x1238);
        assert_eq!(ExternalInterrupt::service(0x1238, true).params, 0x1239);
        assert_eq!(ExternalInterrupt::service(0x123f, false).params, 0x1238);
        assert_eq!(ExternalInterrupt::service(0, true).params, 1);
    }

    #[test]
    fn signals_carry_the_sender() {
        let call = ExternalInterrupt::external_call(3);
        assert_eq!((call.code, call.subcode), (0x1202, 3));
        let emergency = ExternalInterrupt::emergency_signal(0xffff);
        assert_eq!((emergency.code, emergency.subcode), (0x1201, 0xffff));
    }

    #[test]
    fn only_codes_with_parameters_store_them() {
        for code in [0x40, 0x1004, 0x1005, 0x1200, 0x1201, 0x1202] {
            let plain = ExternalInterrupt::plain(code, 0);
            assert!(!plain.stores_params() && !plain.stores_params2());
        }
        let service = ExternalInterrupt::service(8, false);
        assert!(service.stores_params() && !service.stores_params2());
        let virtio = ExternalInterrupt::plain(0x2603, 0x0d00);
        assert!(virtio.stores_params() && virtio.stores_params2());
    }
}
