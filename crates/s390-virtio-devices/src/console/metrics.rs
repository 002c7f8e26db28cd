// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a console counts.

use super::handler::QueueRole;
use crate::metrics::{Counter, DeviceMetrics, QueueMetrics};

/// Counters of a console.
#[derive(Debug, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub struct ConsoleMetrics {
    /// Counters of each port; the first is the console.
    pub ports: Vec<PortMetrics>,
    /// The queue of buffers for control messages.
    pub control_rx_queue: QueueMetrics,
    /// The queue of control messages of the guest.
    pub control_tx_queue: QueueMetrics,
}

/// Counters of one port.
#[derive(Debug, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub struct PortMetrics {
    /// The queue of buffers for input.
    pub rx_queue: QueueMetrics,
    /// The queue of output.
    pub tx_queue: QueueMetrics,
    /// Bytes typed into the guest.
    pub rx_bytes: Counter,
    /// Bytes that the guest printed.
    pub tx_bytes: Counter,
    /// Times that the sink refused output, which is then lost.
    pub tx_errors: Counter,
    /// Bytes that the guest printed while nobody was there.
    pub tx_dropped: Counter,
}

impl ConsoleMetrics {
    /// Counters for this many ports.
    pub(super) fn new(ports: usize) -> Self {
        ConsoleMetrics {
            ports: (0..ports).map(|_| PortMetrics::default()).collect(),
            ..ConsoleMetrics::default()
        }
    }
}

impl DeviceMetrics for ConsoleMetrics {
    fn of_queue(&self, queue: u16) -> Option<&QueueMetrics> {
        match QueueRole::of(queue) {
            QueueRole::Rx(port) => self.ports.get(port).map(|port| &port.rx_queue),
            QueueRole::Tx(port) => self.ports.get(port).map(|port| &port.tx_queue),
            QueueRole::ControlRx => Some(&self.control_rx_queue),
            QueueRole::ControlTx => Some(&self.control_tx_queue),
        }
    }
}
