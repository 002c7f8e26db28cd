// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a virtio interruption tells the guest: code 0x2603, subcode 0x0d00.

use crate::ExternalInterrupt;

/// An event of the virtio transport of 2008.
///
/// A token is whatever the guest wrote beside the queue in the device page; its lowest bit is
/// reserved and reads as zero.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum VirtioEvent {
    /// Buffers of the queue with this token were used.
    Vring {
        /// Token of the queue.
        token: u64,
    },
    /// The configuration space of the device that owns the queue with this token changed.
    ConfigChanged {
        /// Token of any queue of the device.
        token: u64,
    },
    /// A descriptor was added to the device page (guests since Linux 2.6.36; older ones take
    /// the address for a token).
    DeviceAdded {
        /// Address of the new descriptor.
        desc: u64,
    },
}

impl VirtioEvent {
    /// The subcode of virtio. Some hosts put a CPU number in its low byte.
    pub const SUBCODE: u16 = 0x0d00;
    /// The part of the subcode that tells virtio from pfault.
    pub const SUBCODE_MASK: u16 = 0xff00;
    /// The part of the parameter that says which event it is.
    pub const PARAM_MASK: u32 = 0xff;
    /// Parameter of [`VirtioEvent::Vring`].
    pub const PARAM_VRING: u32 = 0;
    /// Parameter of [`VirtioEvent::ConfigChanged`].
    pub const PARAM_CONFIG_CHANGED: u32 = 1;
    /// Parameter of [`VirtioEvent::DeviceAdded`].
    pub const PARAM_DEVICE_ADDED: u32 = 2;

    /// Recognises an event from what the CPU stored. `None`: the interruption belongs to
    /// somebody else, such as pfault. A parameter that is not known means a vring event, as in
    /// Linux.
    pub const fn decode(code: u16, subcode: u16, params: u32, params2: u64) -> Option<Self> {
        if code != ExternalInterrupt::VIRTIO || subcode & Self::SUBCODE_MASK != Self::SUBCODE {
            return None;
        }
        let token = params2 & !1;
        Some(match params & Self::PARAM_MASK {
            Self::PARAM_CONFIG_CHANGED => VirtioEvent::ConfigChanged { token },
            Self::PARAM_DEVICE_ADDED => VirtioEvent::DeviceAdded { desc: params2 },
            _ => VirtioEvent::Vring { token },
        })
    }

    /// A token of zero: the guest has not set up the queue, and must never be told of it.
    pub const fn is_void(&self) -> bool {
        match *self {
            VirtioEvent::Vring { token } | VirtioEvent::ConfigChanged { token } => token & !1 == 0,
            VirtioEvent::DeviceAdded { .. } => false,
        }
    }
}

impl ExternalInterrupt {
    /// The interruption that carries `event`.
    pub const fn virtio(event: VirtioEvent) -> Self {
        let (params, params2) = match event {
            VirtioEvent::Vring { token } => (VirtioEvent::PARAM_VRING, token & !1),
            VirtioEvent::ConfigChanged { token } => (VirtioEvent::PARAM_CONFIG_CHANGED, token & !1),
            VirtioEvent::DeviceAdded { desc } => (VirtioEvent::PARAM_DEVICE_ADDED, desc),
        };
        ExternalInterrupt {
            code: Self::VIRTIO,
            subcode: VirtioEvent::SUBCODE,
            params,
            params2,
        }
    }

    /// The virtio event that this is, if it is one.
    pub const fn virtio_event(&self) -> Option<VirtioEvent> {
        VirtioEvent::decode(self.code, self.subcode, self.params, self.params2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_the_parameters_of_the_patch() {
        let token = 0x1234_5678_9abc_def0;
        let vring = ExternalInterrupt::virtio(VirtioEvent::Vring { token });
        assert_eq!((vring.code, vring.subcode), (0x2603, 0x0d00));
        assert_eq!((vring.params, vring.params2), (0, token));
        let config = ExternalInterrupt::virtio(VirtioEvent::ConfigChanged { token });
        assert_eq!((config.params, config.params2), (1, token));
        let added = ExternalInterrupt::virtio(VirtioEvent::DeviceAdded { desc: 0x1005 });
        assert_eq!((added.params, added.params2), (2, 0x1005));
    }

    #[test]
    fn the_lowest_bit_of_a_token_is_dropped_both_ways() {
        let sent = ExternalInterrupt::virtio(VirtioEvent::Vring { token: 0x1001 });
        assert_eq!(sent.params2, 0x1000);
        let event = VirtioEvent::decode(0x2603, 0x0d00, 1, 0x1001);
        assert_eq!(event, Some(VirtioEvent::ConfigChanged { token: 0x1000 }));
    }

    #[test]
    fn only_the_high_byte_of_the_subcode_counts() {
        let expected = Some(VirtioEvent::Vring { token: 2 });
        for cpu in 0..=0xff {
            assert_eq!(VirtioEvent::decode(0x2603, 0x0d00 | cpu, 0, 2), expected);
        }
        for subcode in [0x0600, 0x0680, 0x0000, 0x0c00, 0x0e00, 0x1d00] {
            assert_eq!(VirtioEvent::decode(0x2603, subcode, 0, 2), None);
        }
        assert_eq!(VirtioEvent::decode(0x2401, 0x0d00, 0, 2), None);
    }

    #[test]
    fn only_the_low_byte_of_the_parameter_counts() {
        let token = 0x10;
        let decode = |params| VirtioEvent::decode(0x2603, 0x0d00, params, token);
        assert_eq!(decode(0xffff_ff00), Some(VirtioEvent::Vring { token }));
        assert_eq!(decode(0x100), Some(VirtioEvent::Vring { token }));
        assert_eq!(decode(0x101), Some(VirtioEvent::ConfigChanged { token }));
        assert_eq!(
            decode(0x102),
            Some(VirtioEvent::DeviceAdded { desc: token })
        );
        assert_eq!(decode(3), Some(VirtioEvent::Vring { token }));
    }

    #[test]
    fn a_token_of_zero_is_void() {
        assert!(VirtioEvent::Vring { token: 0 }.is_void());
        assert!(VirtioEvent::ConfigChanged { token: 1 }.is_void());
        assert!(!VirtioEvent::Vring { token: 2 }.is_void());
        assert!(!VirtioEvent::DeviceAdded { desc: 0 }.is_void());
    }
}
