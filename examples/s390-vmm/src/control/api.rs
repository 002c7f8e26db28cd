// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The commands, and the resource that each of them is in HTTP.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{DiskConfig, NetConfig, ShareConfig};

/// Where all resources are; the name of the command follows.
const PREFIX: &str = "/api/v1/vm.";

/// A command to a running machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Command {
    /// The machine's state and devices.
    Info,
    /// What devices and queues have counted.
    Counters,
    /// The descriptor page as it is now, 4096 bytes.
    Page,
    /// Hold the CPUs, the devices and the guest's clock.
    Pause,
    /// Let them go on.
    Resume,
    /// Ask the guest to power off.
    PowerButton,
    /// Reset the machine and load the guest again.
    Reset,
    /// Add a disk.
    AddDisk(DiskConfig),
    /// Add a network interface.
    AddNet(NetConfig),
    /// Share a directory.
    AddShare(ShareConfig),
    /// Change the capacity of a disk.
    ResizeDisk {
        /// Which disk.
        disk: DeviceRef,
        /// New capacity in bytes; that of the image if not given.
        #[serde(default)]
        size: Option<u64>,
    },
    /// Take the link of a network interface up or down.
    Link {
        /// Number of the interface, from 0.
        #[serde(default)]
        net: usize,
        /// Whether it is up.
        up: bool,
    },
    /// Change the size of the balloon.
    Balloon {
        /// Bytes that the guest shall leave to the host, a multiple of 4096.
        size: u64,
    },
    /// What is in the balloon, and what the guest says of its memory.
    BalloonStatistics,
    /// Change the size of the virtio console's terminal.
    ConsoleSize {
        /// Characters in a line.
        columns: u16,
        /// Lines.
        rows: u16,
    },
}

/// Names one of several devices of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DeviceRef {
    /// By its number among those of its kind, from 0.
    Number(usize),
    /// By the file that it is on.
    Path(PathBuf),
}

impl fmt::Display for DeviceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceRef::Number(number) => number.fmt(f),
            DeviceRef::Path(path) => write!(f, "on {path:?}"),
        }
    }
}

/// How a command is asked for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Form {
    /// GET.
    Get,
    /// PUT without a body.
    Put,
    /// PUT with a JSON body.
    PutJson,
}

/// Every command with its form.
const COMMANDS: &[(&str, Form)] = &[
    ("info", Form::Get),
    ("counters", Form::Get),
    ("page", Form::Get),
    ("pause", Form::Put),
    ("resume", Form::Put),
    ("power-button", Form::Put),
    ("reset", Form::Put),
    ("add-disk", Form::PutJson),
    ("add-net", Form::PutJson),
    ("add-share", Form::PutJson),
    ("resize-disk", Form::PutJson),
    ("link", Form::PutJson),
    ("console-size", Form::PutJson),
    ("balloon", Form::PutJson),
    ("balloon-statistics", Form::Get),
];

/// Why a request is no command.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// No such resource.
    #[error("there is no {0}")]
    NotFound(String),
    /// The resource is there, but not for this method.
    #[error("{path} wants {method}")]
    Method {
        /// The resource.
        path: String,
        /// The method that it wants.
        method: &'static str,
    },
    /// The body is not what the command needs.
    #[error("{command} cannot be understood: {source}")]
    Body {
        /// Name of the command.
        command: &'static str,
        /// Cause.
        source: serde_json::Error,
    },
}

impl Form {
    fn method(self) -> &'static str {
        match self {
            Form::Get => "GET",
            Form::Put | Form::PutJson => "PUT",
        }
    }
}

impl Command {
    /// The command that a request asks for.
    pub(super) fn from_request(method: &str, path: &str, body: &[u8]) -> Result<Self, ApiError> {
        let (command, form) = path
            .strip_prefix(PREFIX)
            .and_then(|name| COMMANDS.iter().find(|(known, _)| *known == name))
            .copied()
            .ok_or_else(|| ApiError::NotFound(path.to_owned()))?;
        if method != form.method() {
            return Err(ApiError::Method {
                path: path.to_owned(),
                method: form.method(),
            });
        }
        let parse = || {
            let value = match form {
                Form::Get | Form::Put if body.trim_ascii().is_empty() => Value::from(command),
                _ => Value::from_iter([(command, serde_json::from_slice::<Value>(body)?)]),
            };
            serde_json::from_value(value)
        };
        parse().map_err(|source| ApiError::Body { command, source })
    }

    /// Method, path and body of the request that asks for this command.
    pub(super) fn to_request(
        &self,
    ) -> Result<(&'static str, String, Option<Value>), serde_json::Error> {
        let (name, body) = match serde_json::to_value(self)? {
            Value::Object(map) => map
                .into_iter()
                .next()
                .map(|(name, body)| (name, Some(body)))
                .unwrap_or_default(),
            Value::String(name) => (name, None),
            _ => Default::default(),
        };
        let form = COMMANDS.iter().find(|(known, _)| *known == name);
        let method = form.map_or("PUT", |(_, form)| form.method());
        Ok((method, format!("{PREFIX}{name}"), body))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::config::NetLink;

    fn disk(path: &str, read_only: bool) -> DiskConfig {
        DiskConfig {
            path: path.into(),
            read_only,
            ..DiskConfig::default()
        }
    }

    #[test]
    fn the_readme_has_every_resource() {
        let readme = include_str!("../../README.md");
        for (name, form) in COMMANDS {
            let put = format!("`vm.{name}`");
            let full = format!("`{} vm.{name}`", form.method());
            // In one row with another one, the method is not repeated.
            let found = readme.contains(&full) || *form == Form::Put && readme.contains(&put);
            assert!(found, "{full} is not in README.md");
        }
    }

    #[test]
    fn commands_survive_the_way() {
        for command in [
            Command::Info,
            Command::Counters,
            Command::Page,
            Command::Pause,
            Command::Resume,
            Command::PowerButton,
            Command::Reset,
            Command::AddDisk(disk("/a", true)),
            Command::AddNet(NetConfig {
                link: NetLink::Tap("tap0".into()),
                mac: Some("02:00:00:00:00:01".parse().unwrap()),
                mtu: Some(9000),
                bytes_per_second: NonZeroU64::new(1 << 40),
                frames_per_second: None,
            }),
            Command::AddNet(NetConfig {
                link: NetLink::Stream("/s".into()),
                mac: None,
                mtu: None,
                bytes_per_second: None,
                frames_per_second: NonZeroU64::new(1),
            }),
            Command::ResizeDisk {
                disk: DeviceRef::Number(1),
                size: Some(1 << 20),
            },
            Command::ResizeDisk {
                disk: DeviceRef::Path("/a".into()),
                size: None,
            },
            Command::Link { net: 1, up: false },
            Command::Balloon { size: 4096 },
            Command::BalloonStatistics,
            Command::ConsoleSize {
                columns: 132,
                rows: 43,
            },
        ] {
            let (method, path, body) = command.to_request().unwrap();
            let body = body.map_or(String::new(), |body| body.to_string());
            let back = Command::from_request(method, &path, body.as_bytes()).unwrap();
            assert_eq!(back, command);
        }
    }

    #[test]
    fn what_may_be_left_out_may_be_left_out() {
        let command = Command::from_request("PUT", "/api/v1/vm.add-disk", br#"{"path":"/a"}"#);
        assert_eq!(command.unwrap(), Command::AddDisk(disk("/a", false)));
    }

    #[test]
    fn wrong_requests_say_what_is_wrong() {
        for (method, path, body, sentence) in [
            ("GET", "/", "", "there is no /"),
            (
                "PUT",
                "/api/v1/vm.explode",
                "",
                "there is no /api/v1/vm.explode",
            ),
            ("GET", "/api/v1/vm.pause", "", "/api/v1/vm.pause wants PUT"),
            (
                "PUT",
                "/api/v1/vm.add-disk",
                "",
                "add-disk cannot be understood: EOF while parsing",
            ),
            (
                "PUT",
                "/api/v1/vm.add-disk",
                "{\"path\":",
                "add-disk cannot be understood: EOF while parsing",
            ),
            (
                "PUT",
                "/api/v1/vm.add-disk",
                "{}",
                "add-disk cannot be understood: missing field `path`",
            ),
            (
                "PUT",
                "/api/v1/vm.add-disk",
                r#"{"path":"a","readonyl":true}"#,
                "add-disk cannot be understood: unknown field `readonyl`",
            ),
            (
                "PUT",
                "/api/v1/vm.resize-disk",
                r#"{"disk":0,"size":-1}"#,
                "resize-disk cannot be understood: invalid value: integer `-1`",
            ),
            (
                "PUT",
                "/api/v1/vm.add-net",
                r#"{"tap":"t","mac":"1"}"#,
                "add-net cannot be understood: ",
            ),
            (
                "PUT",
                "/api/v1/vm.add-net",
                r#"{"tap":"t","stream":"s"}"#,
                "add-net cannot be understood: a network interface needs either tap=NAME or stream",
            ),
        ] {
            let error = Command::from_request(method, path, body.as_bytes()).unwrap_err();
            let error = error.to_string();
            assert!(error.starts_with(sentence), "{error}");
        }
    }
}
