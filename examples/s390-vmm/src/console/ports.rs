// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The host's ends of the ports beside the console.

use std::collections::HashSet;

use s390_virtio_devices::console::{PortBackend, SocketPort};

use super::file::OutputFile;
use super::writer::WriterThread;
use crate::config::{PortConfig, PortTarget};
use crate::socket::ListeningSocket;
use crate::{Error, Result};

/// A port whose host's end is open.
pub(crate) struct Port {
    /// The name under which the guest finds it.
    pub(crate) name: String,
    /// For the device.
    pub(crate) backend: Box<dyn PortBackend>,
}

/// What has to stay until the run has ended.
#[derive(Debug)]
pub(crate) enum PortGuard {
    /// Writes the rest.
    File(#[allow(dead_code)] WriterThread, OutputFile),
    /// Removes the socket's file.
    Socket(#[allow(dead_code)] ListeningSocket),
}

impl PortGuard {
    /// Empties the port's file, if it is one: to be called when every other file is open, and
    /// locked.
    pub(crate) fn begin(&self) -> Result<()> {
        match self {
            PortGuard::File(_, file) => file.begin(),
            PortGuard::Socket(_) => Ok(()),
        }
    }
}

impl Port {
    /// Opens what the user asked for. To be called before there is another thread that makes files,
    /// as far as it is a socket.
    pub(crate) fn open(config: &PortConfig) -> Result<(Self, PortGuard)> {
        let (backend, guard): (Box<dyn PortBackend>, _) = match &config.target {
            PortTarget::File(path) => {
                let file = OutputFile::open("port", path)?;
                let writer = WriterThread::start(file.sink()?)?;
                (Box::new(writer.output()), PortGuard::File(writer, file))
            }
            PortTarget::Socket(path) => {
                let socket = ListeningSocket::bind("port", path)?;
                let port = SocketPort::new(socket.listener()?);
                let port = port.map_err(Error::host("create a device"))?;
                (Box::new(port), PortGuard::Socket(socket))
            }
        };
        let name = config.name.clone();
        Ok((Port { name, backend }, guard))
    }

    /// Opens all of them; sockets first, which have to be made in time.
    pub(crate) fn open_all(configs: &[PortConfig]) -> Result<(Vec<Self>, Vec<PortGuard>)> {
        let mut names = HashSet::new();
        if let Some(twice) = configs.iter().find(|config| !names.insert(&config.name)) {
            return Err(Error::PortTwice(twice.name.clone()));
        }
        let mut order: Vec<_> = configs.iter().enumerate().collect();
        order.sort_by_key(|(_, config)| matches!(config.target, PortTarget::File(_)));
        let mut opened = Vec::new();
        for (number, config) in order {
            opened.push((number, Self::open(config)?));
        }
        opened.sort_by_key(|(number, _)| *number);
        Ok(opened.into_iter().map(|(_, port)| port).unzip())
    }
}
