// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The numbers of the service-call interface: commands and response codes.

/// What a guest asks of the SCLP: the command word in R1 of `SERVC`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Read SCP information, 0x00020001, or forced, 0x00120001.
    ReadScpInfo,
    /// Read CPU information, 0x00010001.
    ReadCpuInfo,
    /// Write event mask, 0x00780005.
    WriteEventMask,
    /// Write event data, 0x00760005.
    WriteEventData,
    /// Read event data, 0x00770005.
    ReadEventData,
    /// Read storage element information 0x00040001, attach 0x00080001, assign 0x000d0001 and
    /// unassign 0x000c0001: there is no standby storage to speak of.
    Storage,
    /// A command that this SCLP does not have.
    Unknown(u32),
}

impl Command {
    /// Bits of the command word that name the command; the others are an operand.
    const CODE: u32 = 0xffff_00ff;

    /// Decodes a command word.
    pub const fn decode(word: u32) -> Self {
        match word & Self::CODE {
            0x0002_0001 | 0x0012_0001 => Command::ReadScpInfo,
            0x0001_0001 => Command::ReadCpuInfo,
            0x0078_0005 => Command::WriteEventMask,
            0x0076_0005 => Command::WriteEventData,
            0x0077_0005 => Command::ReadEventData,
            0x0004_0001 | 0x0008_0001 | 0x000d_0001 | 0x000c_0001 => Command::Storage,
            _ => Command::Unknown(word),
        }
    }
}

/// The response code of a SCCB, a big-endian halfword at offset 6.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Response {
    /// Information was stored.
    ReadComplete = 0x0010,
    /// The command was carried out.
    Complete = 0x0020,
    /// The SCCB crosses a 4 KiB boundary.
    BoundaryViolation = 0x0100,
    /// The SCLP does not have this command.
    InvalidCommand = 0x01f0,
    /// The SCCB is too short for what has to be stored or read.
    InsufficientLength = 0x0300,
    /// The function code is unknown, or nobody takes an event of this type.
    InvalidFunction = 0x40f0,
    /// No event is waiting.
    NoEvents = 0x60f0,
    /// A selective read names events that the guest's receive mask does not have.
    InvalidSelectionMask = 0x70f0,
    /// The event buffers do not fill the SCCB exactly.
    InconsistentLengths = 0x72f0,
    /// An event buffer is malformed inside.
    EventSyntax = 0x73f0,
    /// The length of the event masks is not 4.
    InvalidMaskLength = 0x74f0,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_apart_by_their_code_bits() {
        for (word, command) in [
            (0x0002_0001, Command::ReadScpInfo),
            (0x0012_0001, Command::ReadScpInfo),
            (0x0012_ff01, Command::ReadScpInfo),
            (0x0001_0001, Command::ReadCpuInfo),
            (0x0078_0005, Command::WriteEventMask),
            (0x0076_0005, Command::WriteEventData),
            (0x0077_0005, Command::ReadEventData),
            (0x0004_0001, Command::Storage),
            (0x0004_0301, Command::Storage),
            (0x0008_0001, Command::Storage),
            (0x000d_0001, Command::Storage),
            (0x000c_0001, Command::Storage),
            (0x0000_0000, Command::Unknown(0)),
            (0x0002_0002, Command::Unknown(0x0002_0002)),
            (0x8002_0001, Command::Unknown(0x8002_0001)),
        ] {
            assert_eq!(Command::decode(word), command, "{word:08x}");
        }
    }
}
